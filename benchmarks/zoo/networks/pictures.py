"""Networks that see pictures, films and volumes, of torchvision, timm and others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.zoo.entry import Entry, Inputs, library, noise, of


def torchvision(part: str, name: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of one of torchvision's parts."""

    def build() -> nn.Module:
        network: nn.Module = getattr(library(f"torchvision.models.{part}"), name)(
            weights=None, **({"weights_backbone": None} if part in ("detection", "segmentation") else {}), **options
        )
        return network

    return Entry("torchvision", name, build, inputs)


def some_pictures() -> Inputs:
    """Two pictures of unequal size in a list, as a detector takes them."""
    return [[torch.rand(3, 96, 128), torch.rand(3, 112, 96)]]


SMALL_SIDES = {"min_size": 96, "max_size": 128}
FILM = noise((1, 3, 8, 64, 64))

TORCHVISION = [
    torchvision(
        "detection",
        "fasterrcnn_resnet50_fpn",
        some_pictures,
        box_detections_per_img=5,
        rpn_post_nms_top_n_test=20,
        **SMALL_SIDES,
    ),
    torchvision(
        "detection", "fasterrcnn_mobilenet_v3_large_320_fpn", some_pictures, rpn_post_nms_top_n_test=20, **SMALL_SIDES
    ),
    torchvision(
        "detection",
        "maskrcnn_resnet50_fpn_v2",
        some_pictures,
        box_detections_per_img=5,
        rpn_post_nms_top_n_test=20,
        **SMALL_SIDES,
    ),
    torchvision(
        "detection",
        "keypointrcnn_resnet50_fpn",
        some_pictures,
        box_detections_per_img=5,
        rpn_post_nms_top_n_test=20,
        **SMALL_SIDES,
    ),
    torchvision("detection", "retinanet_resnet50_fpn_v2", some_pictures, **SMALL_SIDES),
    torchvision("detection", "fcos_resnet50_fpn", some_pictures, **SMALL_SIDES),
    torchvision("detection", "ssdlite320_mobilenet_v3_large", some_pictures),
    torchvision("segmentation", "deeplabv3_resnet50", noise((2, 3, 64, 64)), aux_loss=True),
    torchvision("segmentation", "fcn_resnet50", noise((2, 3, 64, 64))),
    torchvision("segmentation", "lraspp_mobilenet_v3_large", noise((2, 3, 64, 64))),
    torchvision("video", "r3d_18", FILM),
    torchvision("video", "r2plus1d_18", FILM),
    torchvision("video", "s3d", noise((1, 3, 16, 224, 224))),
    torchvision("video", "swin3d_t", FILM),
    torchvision("optical_flow", "raft_small", noise((1, 3, 128, 128), (1, 3, 128, 128))),
    torchvision("resnet", "resnet50", noise((1, 3, 224, 224))),
    torchvision("vision_transformer", "vit_b_16", noise((1, 3, 224, 224))),
    torchvision("googlenet", "googlenet", noise((1, 3, 96, 96)), init_weights=False),
    torchvision("quantization", "mobilenet_v2", noise((1, 3, 96, 96)), quantize=False),
]


def timm(name: str, size: int = 64, **options: Any) -> Entry:
    """A network of timm on a small picture."""
    return Entry("timm", name, of("timm:create_model", name, num_classes=10, **options), noise((1, 3, size, size)))


TIMM = [
    timm("resnet26d"),
    timm("vit_tiny_patch16_224", img_size=64),
    timm("deit3_small_patch16_224", img_size=64),
    timm("eva02_tiny_patch14_224", 56, img_size=56),
    timm("swinv2_tiny_window8_256", img_size=64),
    timm("convnextv2_atto"),
    timm("efficientnetv2_rw_t"),
    timm("maxvit_nano_rw_256", img_size=64),
    timm("coatnet_nano_rw_224", img_size=64),
    timm("mobilenetv4_conv_small"),
    timm("fastvit_t8"),
    timm("tiny_vit_5m_224", 224),
    timm("davit_tiny"),
    timm("mixer_s32_224", 224),
    timm("resmlp_12_224", 224),
    timm("volo_d1_224", 224),
    timm("xcit_nano_12_p16_224"),
    timm("edgenext_xx_small"),
    timm("gcvit_xxtiny", 224),
    timm("nest_tiny_jx", 224),
    timm("crossvit_tiny_240", 240),
    timm("halonet26t", 256),
    timm("lambda_resnet26t", 128),
    timm("botnet26t_256", 256),
    timm("eca_nfnet_l0"),
    timm("hrnet_w18_small"),
    timm("dla34"),
    timm("res2net50_26w_4s"),
    timm("vitamin_small_224", 224),
    timm("levit_conv_128s", 224),
]


def segmentation(name: str, **options: Any) -> Entry:
    """A decoder of segmentation_models_pytorch on a small ResNet."""
    options = {"encoder_name": "resnet18", "encoder_weights": None, "classes": 3} | options
    return Entry(
        "segmentation_models_pytorch", name, of(f"segmentation_models_pytorch:{name}", **options), noise((1, 3, 64, 64))
    )


SEGMENTATION = [
    segmentation("Unet", decoder_attention_type="scse"),
    segmentation("UnetPlusPlus"),
    segmentation("MAnet"),
    segmentation("Linknet"),
    segmentation("FPN"),
    segmentation("PSPNet"),
    segmentation("DeepLabV3Plus", encoder_name="mobilenet_v2"),
    segmentation("UPerNet"),
    segmentation("Segformer", encoder_name="mit_b0"),
    segmentation("DPT", encoder_name="tu-vit_tiny_patch16_224", dynamic_img_size=True),
]


def yolo(name: str, kind: str = "DetectionModel") -> Entry:
    """A network of ultralytics by its description."""
    return Entry("ultralytics", name, of(f"ultralytics.nn.tasks:{kind}", name, verbose=False), noise((1, 3, 64, 64)))


ULTRALYTICS = [
    yolo("yolov8n.yaml"),
    yolo("yolov5n.yaml"),
    yolo("yolo11n.yaml"),
    yolo("yolo12n.yaml"),
    yolo("yolov10n.yaml"),
    yolo("yolov9t.yaml"),
    yolo("yolo11n-seg.yaml", "SegmentationModel"),
    yolo("yolov8n-pose.yaml", "PoseModel"),
    yolo("yolo11n-obb.yaml", "OBBModel"),
    yolo("yolov8n-cls.yaml", "ClassificationModel"),
    yolo("rtdetr-l.yaml", "RTDETRDetectionModel"),
]


ONE_VOLUME = noise((1, 1, 32, 32, 32))


def volume(name: str, inputs: Callable[[], Inputs] = ONE_VOLUME, **options: Any) -> Entry:
    """A network of monai for volumes."""
    return Entry("monai", name, of(f"monai.networks.nets:{name}", **options), inputs)


MONAI = [
    volume(
        "UNet", spatial_dims=3, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2), num_res_units=2
    ),
    volume("BasicUNet", spatial_dims=3, in_channels=1, out_channels=2, features=(8, 8, 16, 32, 64, 8)),
    volume("AttentionUnet", spatial_dims=3, in_channels=1, out_channels=2, channels=(8, 16, 32), strides=(2, 2)),
    volume("SegResNet", init_filters=8),
    volume(
        "SegResNetVAE",
        input_image_size=(32, 32, 32),
        vae_estimate_std=False,
        vae_default_std=0.3,
        vae_nz=16,
        init_filters=8,
    ),
    volume("VNet"),
    volume(
        "DynUNet",
        spatial_dims=3,
        in_channels=1,
        out_channels=2,
        kernel_size=[3, 3, 3],
        strides=[1, 2, 2],
        upsample_kernel_size=[2, 2],
        filters=[8, 16, 32],
    ),
    volume(
        "UNETR",
        in_channels=1,
        out_channels=2,
        img_size=(32, 32, 32),
        feature_size=8,
        hidden_size=48,
        mlp_dim=96,
        num_heads=4,
    ),
    volume("SwinUNETR", noise((1, 1, 64, 64, 64)), in_channels=1, out_channels=2, feature_size=12),
    volume(
        "ViT",
        in_channels=1,
        img_size=(32, 32, 32),
        patch_size=(8, 8, 8),
        hidden_size=48,
        mlp_dim=96,
        num_layers=2,
        num_heads=4,
        classification=True,
    ),
    volume("DenseNet121", spatial_dims=3, in_channels=1, out_channels=2),
    volume("EfficientNetBN", model_name="efficientnet-b0", spatial_dims=3, in_channels=1, num_classes=2),
    volume(
        "AutoencoderKL",
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        channels=(8, 16),
        latent_channels=4,
        num_res_blocks=(1, 1),
        attention_levels=(False, True),
        norm_num_groups=8,
    ),
    volume(
        "DiffusionModelUNet",
        lambda: [torch.randn(1, 1, 16, 16, 16), torch.tensor([10])],
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        num_res_blocks=(1, 1),
        channels=(8, 16),
        attention_levels=(False, True),
        num_head_channels=8,
        norm_num_groups=8,
    ),
    volume("HighResNet", noise((1, 1, 16, 16, 16)), spatial_dims=3, in_channels=1, out_channels=2),
    volume("FlexibleUNet", noise((1, 3, 64, 64)), in_channels=3, out_channels=2, backbone="efficientnet-b0"),
]


def lucid(kind: str, inputs: Callable[[], Inputs], **options: Any) -> Entry:
    """A network of vit-pytorch: `file:Class`."""
    return Entry("vit_pytorch", kind, of(f"vit_pytorch.{kind}", **options), inputs)


ONE_PICTURE = noise((1, 3, 64, 64))
VIT = {"image_size": 64, "patch_size": 16, "num_classes": 10, "dim": 32, "depth": 2, "heads": 4, "mlp_dim": 64}
VIT_PYTORCH = [
    lucid("vit:ViT", ONE_PICTURE, **VIT),
    lucid("simple_vit:SimpleViT", ONE_PICTURE, **VIT),
    lucid("deepvit:DeepViT", ONE_PICTURE, **VIT),
    lucid("cait:CaiT", ONE_PICTURE, cls_depth=1, **VIT),
    lucid("t2t:T2TViT", ONE_PICTURE, dim=32, image_size=64, depth=2, heads=4, mlp_dim=64, num_classes=10),
    lucid(
        "cct:CCT",
        ONE_PICTURE,
        img_size=64,
        embedding_dim=32,
        n_conv_layers=2,
        num_layers=2,
        num_heads=4,
        num_classes=10,
    ),
    lucid(
        "cross_vit:CrossViT",
        ONE_PICTURE,
        image_size=64,
        num_classes=10,
        depth=1,
        sm_dim=32,
        lg_dim=48,
        sm_patch_size=8,
        sm_enc_heads=2,
        lg_patch_size=16,
        lg_enc_heads=2,
    ),
    lucid(
        "twins_svt:TwinsSVT",
        ONE_PICTURE,
        num_classes=10,
        s1_emb_dim=16,
        s2_emb_dim=32,
        s3_emb_dim=48,
        s4_emb_dim=64,
        s1_local_patch_size=4,
        s2_local_patch_size=4,
        s3_local_patch_size=2,
        s4_local_patch_size=1,
        s1_global_k=4,
        s2_global_k=4,
        s3_global_k=2,
        s4_global_k=1,
    ),
    lucid(
        "regionvit:RegionViT",
        noise((1, 3, 224, 224)),
        dim=(16, 32, 48, 64),
        depth=(1, 1, 1, 1),
        window_size=7,
        num_classes=10,
    ),
    lucid(
        "nest:NesT",
        ONE_PICTURE,
        image_size=64,
        patch_size=4,
        dim=24,
        heads=3,
        num_hierarchies=3,
        block_repeats=(1, 1, 2),
        num_classes=10,
    ),
    lucid(
        "na_vit:NaViT",
        lambda: [[[torch.randn(3, 64, 64), torch.randn(3, 32, 48)], [torch.randn(3, 48, 48)]]],
        token_dropout_prob=0.1,
        **VIT,
    ),
    lucid(
        "vit_3d:ViT",
        noise((1, 3, 8, 32, 32)),
        image_size=32,
        image_patch_size=8,
        frames=8,
        frame_patch_size=2,
        num_classes=10,
        dim=32,
        depth=2,
        heads=4,
        mlp_dim=64,
    ),
    lucid(
        "vivit:ViViT",
        noise((1, 3, 8, 32, 32)),
        image_size=32,
        image_patch_size=8,
        frames=8,
        frame_patch_size=2,
        num_classes=10,
        dim=32,
        spatial_depth=2,
        temporal_depth=2,
        heads=4,
        mlp_dim=64,
    ),
    lucid("learnable_memory_vit:ViT", ONE_PICTURE, **VIT),
    lucid(
        "max_vit:MaxViT",
        noise((1, 3, 224, 224)),
        num_classes=10,
        dim_conv_stem=16,
        dim=16,
        dim_head=8,
        depth=(1, 1),
        window_size=7,
    ),
]

ENTRIES: list[Entry] = [*TORCHVISION, *TIMM, *SEGMENTATION, *ULTRALYTICS, *MONAI, *VIT_PYTORCH]
