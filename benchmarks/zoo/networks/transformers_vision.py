"""Networks of transformers that see pictures and films."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.zoo.entry import Entry, Inputs, named
from benchmarks.zoo.networks.hugging_face import config, small, transformer


def pictures(size: int = 32, **others: Any) -> Callable[[], Inputs]:
    """What an image processor gives for two pictures."""
    return named(pixel_values=(2, 3, size, size), **others)


VIT = {"image_size": 32, "patch_size": 8}


RESNET = {"embedding_size": 16, "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 2, 1]}


SWIN = {
    "image_size": 64,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1, 2, 1],
    "num_heads": [1, 2, 2, 4],
    "window_size": 4,
}


FILM = {"image_size": 32, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}


CLASSIFIERS = [
    small("ViTForImageClassification", pictures(), **VIT),
    small("DeiTForImageClassificationWithTeacher", pictures(), **VIT),
    small("BeitForImageClassification", pictures(), use_relative_position_bias=True, **VIT),
    small("Data2VecVisionForImageClassification", pictures(), **VIT),
    small("Dinov2ForImageClassification", pictures(), **VIT),
    small("Dinov2WithRegistersModel", pictures(), **VIT),
    small("DINOv3ViTModel", pictures(), **VIT),
    small(
        "ViTMAEForPreTraining",
        pictures(),
        decoder_hidden_size=32,
        decoder_num_attention_heads=4,
        decoder_num_hidden_layers=2,
        decoder_intermediate_size=64,
        **VIT,
    ),
    small("ViTMSNModel", pictures(), **VIT),
    small("IJepaModel", pictures(), **VIT),
    transformer("SwinForImageClassification", pictures(64), **(SWIN | {"window_size": 2})),
    transformer("Swinv2ForImageClassification", pictures(64), **SWIN),
    transformer("ConvNextForImageClassification", pictures(64), hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]),
    transformer("ConvNextV2ForImageClassification", pictures(64), hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]),
    transformer("ResNetForImageClassification", pictures(64), **RESNET),
    transformer("RegNetForImageClassification", pictures(64), groups_width=8, **RESNET),
    transformer(
        "BitForImageClassification",
        pictures(64),
        hidden_sizes=[32, 64, 96, 128],
        depths=[1, 1, 2, 1],
        embedding_size=32,
        num_groups=4,
    ),
    transformer(
        "LevitForImageClassification",
        pictures(64),
        image_size=64,
        hidden_sizes=[32, 48, 64],
        num_attention_heads=[2, 3, 4],
        key_dim=[8, 8, 8],
    ),
    transformer(
        "MobileViTForImageClassification",
        pictures(64),
        image_size=64,
        hidden_sizes=[32, 48, 64],
        neck_hidden_sizes=[16, 16, 24, 32, 48, 64, 96],
    ),
    transformer("MobileViTV2ForImageClassification", pictures(64), image_size=64, width_multiplier=0.5),
    transformer("MobileNetV1ForImageClassification", pictures(64), depth_multiplier=0.25),
    transformer("MobileNetV2ForImageClassification", pictures(64), depth_multiplier=0.35),
    transformer(
        "EfficientNetForImageClassification", pictures(64), width_coefficient=0.5, depth_coefficient=0.5, hidden_dim=640
    ),
    transformer("PoolFormerForImageClassification", pictures(64), hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1]),
    transformer(
        "FocalNetForImageClassification",
        pictures(64),
        image_size=64,
        embed_dim=16,
        depths=[1, 1, 2, 1],
        hidden_sizes=[16, 32, 64, 128],
    ),
    transformer("CvtForImageClassification", pictures(64)),
    transformer(
        "PvtForImageClassification",
        pictures(64),
        image_size=64,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 2, 1],
        num_attention_heads=[1, 2, 3, 4],
    ),
    transformer(
        "PvtV2ForImageClassification",
        pictures(64),
        image_size=64,
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 2, 1],
        num_attention_heads=[1, 2, 3, 4],
    ),
    transformer(
        "HieraForImageClassification",
        pictures(64),
        image_size=[64, 64],
        embed_dim=16,
        num_heads=[1, 2, 4, 8],
        depths=[1, 1, 2, 1],
    ),
    transformer(
        "SwiftFormerForImageClassification",
        pictures(64),
        image_size=64,
        depths=[1, 1, 2, 1],
        embed_dims=[16, 32, 48, 64],
    ),
    transformer("HGNetV2ForImageClassification", pictures(64)),
    transformer("TextNetForImageClassification", pictures(64)),
]


FILMS = [
    small("VideoMAEForVideoClassification", named(pixel_values=(2, 4, 3, 32, 32)), **FILM),
    small(
        "TimesformerForVideoClassification",
        named(pixel_values=(2, 4, 3, 32, 32)),
        image_size=32,
        patch_size=8,
        num_frames=4,
    ),
    small(
        "VivitForVideoClassification",
        named(pixel_values=(2, 4, 3, 32, 32)),
        image_size=32,
        num_frames=4,
        tubelet_size=[2, 8, 8],
    ),
    small(
        "VJEPA2Model",
        named(pixel_values_videos=(1, 4, 3, 32, 32)),
        crop_size=32,
        patch_size=8,
        frames_per_clip=4,
        pred_hidden_size=32,
        pred_num_attention_heads=4,
        pred_num_hidden_layers=2,
    ),
]


DEPTHS = [
    transformer(
        "GLPNForDepthEstimation",
        pictures(64),
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 2, 3, 4],
        decoder_hidden_size=32,
    ),
    small(
        "DPTForDepthEstimation",
        pictures(),
        num_hidden_layers=4,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
        **VIT,
    ),
    transformer(
        "DepthAnythingForDepthEstimation",
        pictures(56),
        backbone_config=config(
            "Dinov2Config",
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            image_size=56,
            patch_size=14,
            out_indices=[1, 2, 3, 4],
            apply_layernorm=True,
            reshape_hidden_states=False,
        ),
        reassemble_hidden_size=32,
        patch_size=14,
        neck_hidden_sizes=[16, 16, 32, 32],
        fusion_hidden_size=16,
    ),
    transformer(
        "Swin2SRForImageSuperResolution",
        pictures(32),
        image_size=32,
        embed_dim=32,
        depths=[2, 2],
        num_heads=[2, 2],
        window_size=8,
    ),
    transformer(
        "VitMatteForImageMatting",
        named(pixel_values=(1, 4, 64, 64)),
        backbone_config=config(
            "VitDetConfig",
            num_channels=4,
            image_size=64,
            pretrain_image_size=64,
            patch_size=16,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            out_features=["stage2"],
        ),
        hidden_size=32,
        fusion_hidden_sizes=[32, 16, 16, 8],
        convstream_hidden_sizes=[8, 16, 24],
    ),
    transformer("SuperPointForKeypointDetection", named(pixel_values=(1, 3, 64, 64))),
]

ENTRIES: list[Entry] = [*CLASSIFIERS, *FILMS, *DEPTHS]
