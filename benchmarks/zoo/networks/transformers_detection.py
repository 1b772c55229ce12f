"""Networks of transformers that find things in pictures, and their outlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.zoo.entry import Entry, named
from benchmarks.zoo.networks.hugging_face import config, small, transformer
from benchmarks.zoo.networks.transformers_vision import RESNET, SWIN, VIT, pictures


def pixel_mask(size: int) -> Callable[[], Tensor]:
    """What a detector's processor gives for two pictures, the second of which is padded on the right."""

    def mask() -> Tensor:
        made = torch.ones(2, size, size, dtype=torch.int64)
        made[1, :, size * 3 // 4 :] = 0
        return made

    return mask


BACKBONE = config("ResNetConfig", out_features=["stage4"], **RESNET)


BACKBONE_PYRAMID = config("ResNetConfig", out_features=["stage2", "stage3", "stage4"], **RESNET)


DETR: dict[str, Any] = {
    "backbone_config": BACKBONE,
    "use_pretrained_backbone": False,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 10,
}


PYRAMID_STAGES = ["stage1", "stage2", "stage3", "stage4"]


HYBRID_ENCODER: dict[str, Any] = {
    "backbone_config": config("RTDetrResNetConfig", out_features=["stage2", "stage3", "stage4"], **RESNET),
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [32, 48, 64],
    "encoder_ffn_dim": 64,
    "encoder_attention_heads": 4,
    "d_model": 32,
    "decoder_in_channels": [32, 32, 32],
    "decoder_ffn_dim": 64,
    "decoder_attention_heads": 4,
    "decoder_layers": 2,
    "num_queries": 10,
}


SEGMENTERS = [
    transformer(
        "SegformerForSemanticSegmentation",
        pictures(64),
        hidden_sizes=[16, 32, 48, 64],
        depths=[1, 1, 2, 1],
        num_attention_heads=[1, 2, 3, 4],
        decoder_hidden_size=32,
    ),
    transformer(
        "MaskFormerForInstanceSegmentation",
        pictures(64, pixel_mask=pixel_mask(64)),
        backbone_config=config("SwinConfig", out_features=PYRAMID_STAGES, **SWIN),
        decoder_config=config(
            "DetrConfig",
            **{name: value for name, value in DETR.items() if "backbone" not in name},
            backbone_config=BACKBONE,
        ),
        fpn_feature_size=32,
        mask_feature_size=32,
        num_queries=10,
    ),
    transformer(
        "Mask2FormerForUniversalSegmentation",
        pictures(64, pixel_mask=pixel_mask(64)),
        backbone_config=config("SwinConfig", out_features=PYRAMID_STAGES, **SWIN),
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=64,
        dim_feedforward=64,
        encoder_layers=2,
        decoder_layers=3,
        num_attention_heads=4,
        num_queries=10,
    ),
    transformer(
        "OneFormerForUniversalSegmentation",
        pictures(64, task_inputs=lambda: torch.randint(0, 1000, (2, 77)), pixel_mask=pixel_mask(64)),
        backbone_config=config("SwinConfig", out_features=PYRAMID_STAGES, **SWIN),
        hidden_dim=32,
        mask_dim=32,
        conv_dim=32,
        encoder_feedforward_dim=64,
        dim_feedforward=64,
        encoder_layers=2,
        decoder_layers=3,
        num_attention_heads=4,
        num_queries=10,
        is_training=False,
    ),
    transformer(
        "UperNetForSemanticSegmentation",
        pictures(64),
        backbone_config=config(
            "ConvNextConfig", hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], out_features=PYRAMID_STAGES
        ),
        hidden_size=32,
        auxiliary_in_channels=48,
    ),
    small(
        "BeitForSemanticSegmentation",
        pictures(),
        num_hidden_layers=4,
        out_indices=[1, 2, 3, 4],
        use_relative_position_bias=True,
        auxiliary_channels=16,
        **VIT,
    ),
    transformer(
        "SamModel",
        named(pixel_values=(1, 3, 64, 64), input_points=(1, 1, 2, 2)),
        vision_config=config(
            "SamVisionConfig",
            hidden_size=32,
            output_channels=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_pos_feats=16,
            image_size=64,
            patch_size=8,
            window_size=4,
            global_attn_indexes=[1],
            mlp_dim=64,
        ),
        prompt_encoder_config=config("SamPromptEncoderConfig", hidden_size=32, image_size=64, patch_size=8),
        mask_decoder_config=config(
            "SamMaskDecoderConfig", hidden_size=32, mlp_dim=64, num_attention_heads=4, iou_head_hidden_dim=32
        ),
    ),
    small(
        "SegGptForImageSegmentation",
        named(pixel_values=(1, 3, 32, 32), prompt_pixel_values=(1, 3, 32, 32), prompt_masks=(1, 3, 32, 32)),
        num_hidden_layers=4,
        image_size=[64, 32],
        patch_size=8,
        pretrain_image_size=32,
        merge_index=0,
        intermediate_hidden_state_indices=[1, 2, 3],
        decoder_hidden_size=16,
    ),
]


DETECTORS = [
    transformer("DetrForObjectDetection", pictures(64, pixel_mask=pixel_mask(64)), **DETR),
    transformer(
        "DetrForSegmentation",
        pictures(64, pixel_mask=pixel_mask(64)),
        **(
            DETR
            | {
                "encoder_attention_heads": 8,
                "backbone_config": config("ResNetConfig", out_features=PYRAMID_STAGES, **RESNET),
            }
        ),
    ),
    transformer("ConditionalDetrForObjectDetection", pictures(64, pixel_mask=pixel_mask(64)), **DETR),
    transformer("TableTransformerForObjectDetection", pictures(64, pixel_mask=pixel_mask(64)), **DETR),
    transformer(
        "DabDetrForObjectDetection",
        pictures(64, pixel_mask=pixel_mask(64)),
        hidden_size=32,
        **{name: value for name, value in DETR.items() if name != "d_model"},
    ),
    transformer(
        "DeformableDetrForObjectDetection",
        pictures(64, pixel_mask=pixel_mask(64)),
        **(DETR | {"backbone_config": BACKBONE_PYRAMID}),
    ),
    transformer("RTDetrForObjectDetection", pictures(64, pixel_mask=pixel_mask(64)), **HYBRID_ENCODER),
    transformer("RTDetrV2ForObjectDetection", pictures(64, pixel_mask=pixel_mask(64)), **HYBRID_ENCODER),
    transformer(
        "DFineForObjectDetection",
        pictures(64, pixel_mask=pixel_mask(64)),
        **(
            HYBRID_ENCODER
            | {
                "backbone_config": config(
                    "HGNetV2Config",
                    out_features=["stage2", "stage3", "stage4"],
                    hidden_sizes=[16, 32, 48, 64],
                    stem_channels=[3, 8, 16],
                    stage_in_channels=[16, 16, 32, 48],
                    stage_mid_channels=[8, 8, 16, 16],
                    stage_out_channels=[16, 32, 48, 64],
                    stage_num_blocks=[1, 1, 1, 1],
                    stage_numb_of_layers=[2, 2, 2, 2],
                ),
                "decoder_n_points": [4, 4, 4],
            }
        ),
    ),
    small("YolosForObjectDetection", pictures(), num_detection_tokens=10, **(VIT | {"image_size": [32, 32]})),
]

ENTRIES: list[Entry] = [*SEGMENTERS, *DETECTORS]
