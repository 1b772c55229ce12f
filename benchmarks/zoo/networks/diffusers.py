"""Networks of diffusers that take the noise from pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.zoo.entry import Entry, Inputs, named, of, padding_mask


def step() -> torch.Tensor:
    """The time of each of two samples."""
    return torch.tensor([10, 500])


def diffuser(name: str, inputs: Callable[[], Inputs], **settings: Any) -> Entry:
    """A network of diffusers, by its class and settings."""
    return Entry("diffusers", name, of(f"diffusers:{name}", **settings), inputs)


CROSS = {
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
}


DOWN_AND_UP = {
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}


PICTURES = [
    diffuser(
        "UNet2DModel",
        named(sample=(2, 3, 32, 32), timestep=step),
        sample_size=32,
        block_out_channels=(16, 32),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    ),
    diffuser(
        "UNet2DConditionModel",
        named(
            sample=(2, 4, 16, 16),
            timestep=step,
            encoder_hidden_states=(2, 7, 32),
            encoder_attention_mask=lambda: padding_mask(2, 7, 2),
        ),
        **CROSS,
        **DOWN_AND_UP,
    ),
    diffuser(
        "ControlNetModel",
        named(sample=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 32), controlnet_cond=(2, 3, 128, 128)),
        down_block_types=DOWN_AND_UP["down_block_types"],
        conditioning_embedding_out_channels=(8, 16, 16, 32),
        **CROSS,
    ),
    diffuser(
        "DiTTransformer2DModel",
        named(hidden_states=(2, 4, 16, 16), timestep=step, class_labels=lambda: torch.tensor([1, 2])),
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        sample_size=16,
        out_channels=8,
        num_embeds_ada_norm=10,
    ),
    diffuser(
        "PixArtTransformer2DModel",
        named(
            hidden_states=(2, 4, 16, 16),
            timestep=step,
            encoder_hidden_states=(2, 7, 24),
            encoder_attention_mask=lambda: padding_mask(2, 7, 2),
        ),
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        sample_size=16,
        cross_attention_dim=32,
        caption_channels=24,
        use_additional_conditions=False,
    ),
    diffuser(
        "SD3Transformer2DModel",
        named(
            hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24), pooled_projections=(2, 16)
        ),
        sample_size=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=24,
        caption_projection_dim=32,
        pooled_projection_dim=16,
        in_channels=4,
        out_channels=4,
    ),
    diffuser(
        "FluxTransformer2DModel",
        named(
            hidden_states=(2, 16, 16),
            timestep=lambda: torch.tensor([0.1, 0.5]),
            encoder_hidden_states=(2, 7, 24),
            pooled_projections=(2, 16),
            img_ids=(16, 3),
            txt_ids=(7, 3),
        ),
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=24,
        pooled_projection_dim=16,
        axes_dims_rope=(4, 4, 8),
    ),
    diffuser(
        "HunyuanDiT2DModel",
        named(
            hidden_states=(1, 4, 16, 16),
            timestep=lambda: torch.tensor([10.0]),
            encoder_hidden_states=(1, 7, 24),
            text_embedding_mask=lambda: padding_mask(1, 7, 2),
            encoder_hidden_states_t5=(1, 9, 24),
            text_embedding_mask_t5=lambda: padding_mask(1, 9, 2),
            image_meta_size=(1, 6),
            style=lambda: torch.tensor([0]),
            image_rotary_emb=lambda: (torch.randn(64, 8), torch.randn(64, 8)),
        ),
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        patch_size=2,
        activation_fn="gelu-approximate",
        sample_size=16,
        num_layers=4,
        cross_attention_dim=24,
        cross_attention_dim_t5=24,
        text_len=7,
        text_len_t5=9,
        hidden_size=32,
        pooled_projection_dim=16,
    ),
    diffuser(
        "SanaTransformer2DModel",
        named(
            hidden_states=(2, 4, 16, 16),
            timestep=step,
            encoder_hidden_states=(2, 7, 24),
            encoder_attention_mask=lambda: padding_mask(2, 7, 2),
        ),
        in_channels=4,
        out_channels=4,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        num_cross_attention_heads=4,
        cross_attention_head_dim=8,
        cross_attention_dim=32,
        caption_channels=24,
        sample_size=16,
    ),
    diffuser(
        "AuraFlowTransformer2DModel",
        named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24)),
        sample_size=16,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=24,
        caption_projection_dim=32,
        pos_embed_max_size=64,
    ),
    diffuser(
        "Lumina2Transformer2DModel",
        named(
            hidden_states=(2, 4, 16, 16),
            timestep=step,
            encoder_hidden_states=(2, 7, 24),
            encoder_attention_mask=lambda: padding_mask(2, 7, 2),
        ),
        sample_size=16,
        in_channels=4,
        hidden_size=24,
        num_layers=1,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=16,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(128, 128, 128),
        cap_feat_dim=24,
    ),
    diffuser(
        "PriorTransformer",
        named(
            hidden_states=(2, 16),
            timestep=step,
            proj_embedding=(2, 16),
            encoder_hidden_states=(2, 7, 16),
            attention_mask=lambda: padding_mask(2, 7, 2).bool(),
        ),
        num_attention_heads=4,
        attention_head_dim=8,
        num_layers=2,
        embedding_dim=16,
        num_embeddings=7,
        additional_embeddings=4,
    ),
    diffuser(
        "UVit2DModel",
        named(
            input_ids=lambda: torch.randint(0, 50, (2, 8, 8)),
            encoder_hidden_states=(2, 7, 24),
            pooled_text_emb=(2, 20),
            micro_conds=(2, 5),
        ),
        hidden_size=32,
        cond_embed_dim=20,
        micro_cond_encode_dim=4,
        micro_cond_embed_dim=20,
        encoder_hidden_size=24,
        vocab_size=60,
        codebook_size=50,
        in_channels=32,
        block_out_channels=32,
        num_res_blocks=1,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        sample_size=8,
        block_num_heads=4,
    ),
    diffuser(
        "StableCascadeUNet",
        named(
            sample=(1, 4, 16, 16),
            timestep_ratio=lambda: torch.tensor([0.5]),
            clip_text_pooled=(1, 1, 16),
            clip_text=(1, 7, 16),
            clip_img=(1, 1, 16),
        ),
        in_channels=4,
        out_channels=4,
        conditioning_dim=32,
        block_out_channels=(32, 64),
        num_attention_heads=(0, 4),
        down_num_layers_per_block=(1, 1),
        up_num_layers_per_block=(1, 1),
        clip_text_in_channels=16,
        clip_text_pooled_in_channels=16,
        clip_image_in_channels=16,
        block_types_per_layer=(
            ("SDCascadeResBlock", "SDCascadeTimestepBlock"),
            ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),
        ),
        timestep_ratio_embedding_dim=16,
        down_blocks_repeat_mappers=(1, 1),
        up_blocks_repeat_mappers=(1, 1),
    ),
]

ENTRIES: list[Entry] = [*PICTURES]
