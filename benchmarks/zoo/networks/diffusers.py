"""Networks of diffusers: what takes noise from pictures, films and sounds, and what codes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.zoo.entry import Entry, Inputs, named, noise, of, padding_mask


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
CODER = {
    "block_out_channels": (16, 32),
    "norm_num_groups": 8,
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
}

PICTURES = [
    diffuser("UNet2DModel", named(sample=(2, 3, 32, 32), timestep=step), sample_size=32, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, attention_head_dim=8, down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D")),
    diffuser("UNet2DConditionModel", named(sample=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 32), encoder_attention_mask=lambda: padding_mask(2, 7, 2)), **CROSS, **DOWN_AND_UP),
    diffuser("ControlNetModel", named(sample=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 32), controlnet_cond=(2, 3, 128, 128)), down_block_types=DOWN_AND_UP["down_block_types"], conditioning_embedding_out_channels=(8, 16, 16, 32), **CROSS),
    diffuser("DiTTransformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, class_labels=lambda: torch.tensor([1, 2])), num_attention_heads=4, attention_head_dim=8, num_layers=2, sample_size=16, out_channels=8, num_embeds_ada_norm=10),
    diffuser("PixArtTransformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24), encoder_attention_mask=lambda: padding_mask(2, 7, 2)), num_attention_heads=4, attention_head_dim=8, num_layers=2, sample_size=16, cross_attention_dim=32, caption_channels=24, use_additional_conditions=False),
    diffuser("SD3Transformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24), pooled_projections=(2, 16)), sample_size=16, num_layers=2, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=24, caption_projection_dim=32, pooled_projection_dim=16, in_channels=4, out_channels=4),
    diffuser("FluxTransformer2DModel", named(hidden_states=(2, 16, 16), timestep=lambda: torch.tensor([0.1, 0.5]), encoder_hidden_states=(2, 7, 24), pooled_projections=(2, 16), img_ids=(16, 3), txt_ids=(7, 3)), in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=24, pooled_projection_dim=16, axes_dims_rope=(4, 4, 8)),
    diffuser("HunyuanDiT2DModel", named(hidden_states=(1, 4, 16, 16), timestep=lambda: torch.tensor([10.0]), encoder_hidden_states=(1, 7, 24), text_embedding_mask=lambda: padding_mask(1, 7, 2), encoder_hidden_states_t5=(1, 9, 24), text_embedding_mask_t5=lambda: padding_mask(1, 9, 2), image_meta_size=(1, 6), style=lambda: torch.tensor([0]), image_rotary_emb=lambda: (torch.randn(64, 8), torch.randn(64, 8))), num_attention_heads=4, attention_head_dim=8, in_channels=4, patch_size=2, activation_fn="gelu-approximate", sample_size=16, num_layers=4, cross_attention_dim=24, cross_attention_dim_t5=24, text_len=7, text_len_t5=9, hidden_size=32, pooled_projection_dim=16),
    diffuser("SanaTransformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24), encoder_attention_mask=lambda: padding_mask(2, 7, 2)), in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=4, num_cross_attention_heads=4, cross_attention_head_dim=8, cross_attention_dim=32, caption_channels=24, sample_size=16),
    diffuser("AuraFlowTransformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24)), sample_size=16, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4, joint_attention_dim=24, caption_projection_dim=32, pos_embed_max_size=64),
    diffuser("Lumina2Transformer2DModel", named(hidden_states=(2, 4, 16, 16), timestep=step, encoder_hidden_states=(2, 7, 24), encoder_attention_mask=lambda: padding_mask(2, 7, 2)), sample_size=16, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1, num_attention_heads=3, num_kv_heads=1, multiple_of=16, axes_dim_rope=(4, 2, 2), axes_lens=(128, 128, 128), cap_feat_dim=24),
    diffuser("PriorTransformer", named(hidden_states=(2, 16), timestep=step, proj_embedding=(2, 16), encoder_hidden_states=(2, 7, 16), attention_mask=lambda: padding_mask(2, 7, 2).bool()), num_attention_heads=4, attention_head_dim=8, num_layers=2, embedding_dim=16, num_embeddings=7, additional_embeddings=4),
    diffuser("UVit2DModel", named(input_ids=lambda: torch.randint(0, 50, (2, 8, 8)), encoder_hidden_states=(2, 7, 24), pooled_text_emb=(2, 20), micro_conds=(2, 5)), hidden_size=32, cond_embed_dim=20, micro_cond_encode_dim=4, micro_cond_embed_dim=20, encoder_hidden_size=24, vocab_size=60, codebook_size=50, in_channels=32, block_out_channels=32, num_res_blocks=1, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, sample_size=8, block_num_heads=4),
    diffuser("Kandinsky3UNet", named(sample=(1, 4, 32, 32), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 7, 24), encoder_attention_mask=lambda: padding_mask(1, 7, 2)), block_out_channels=(32, 64), layers_per_block=1, groups=8, attention_head_dim=8, cross_attention_dim=24, encoder_hid_dim=24, time_embedding_dim=32),
    diffuser("StableCascadeUNet", named(sample=(1, 4, 16, 16), timestep_ratio=lambda: torch.tensor([0.5]), clip_text_pooled=(1, 1, 16), clip_text=(1, 7, 16), clip_img=(1, 1, 16)), in_channels=4, out_channels=4, conditioning_dim=32, block_out_channels=(32, 64), num_attention_heads=(0, 4), down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), clip_text_in_channels=16, clip_text_pooled_in_channels=16, clip_image_in_channels=16, block_types_per_layer=(("SDCascadeResBlock", "SDCascadeTimestepBlock"), ("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock")), timestep_ratio_embedding_dim=16, down_blocks_repeat_mappers=(1, 1), up_blocks_repeat_mappers=(1, 1)),
]

CODERS = [
    diffuser("AutoencoderKL", noise((1, 3, 32, 32)), **CODER),
    diffuser("VQModel", noise((1, 3, 32, 32)), num_vq_embeddings=32, vq_embed_dim=4, latent_channels=4, **CODER),
    diffuser("AsymmetricAutoencoderKL", noise((1, 3, 32, 32)), down_block_types=CODER["down_block_types"], up_block_types=CODER["up_block_types"], down_block_out_channels=(16, 32), up_block_out_channels=(16, 32), norm_num_groups=8, layers_per_down_block=1, layers_per_up_block=1),
    diffuser("AutoencoderTiny", noise((1, 3, 32, 32)), encoder_block_out_channels=(16, 16, 16, 16), decoder_block_out_channels=(16, 16, 16, 16)),
    diffuser("AutoencoderDC", noise((1, 3, 32, 32)), attention_head_dim=8, encoder_block_out_channels=(16, 32), decoder_block_out_channels=(16, 32), encoder_block_types=("ResBlock", "EfficientViTBlock"), decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)), latent_channels=8, decoder_norm_types="rms_norm", decoder_act_fns="silu"),
    diffuser("ConsistencyDecoderVAE", noise((1, 3, 32, 32)), encoder_block_out_channels=(16, 32), encoder_down_block_types=CODER["down_block_types"], encoder_layers_per_block=1, encoder_norm_num_groups=8, decoder_block_out_channels=(16, 32), decoder_down_block_types=("ResnetDownsampleBlock2D",) * 2, decoder_up_block_types=("ResnetUpsampleBlock2D",) * 2, decoder_layers_per_block=1, decoder_norm_num_groups=8),
    diffuser("AutoencoderOobleck", noise((1, 2, 1024)), encoder_hidden_size=8, decoder_channels=8, decoder_input_channels=8, downsampling_ratios=[2, 4], channel_multiples=[1, 2]),
    diffuser("AutoencoderKLTemporalDecoder", named(sample=(2, 3, 32, 32), num_frames=2), block_out_channels=(32, 32), layers_per_block=1, down_block_types=CODER["down_block_types"]),
]

FILMS_AND_SOUNDS = [
    diffuser("UNet1DModel", named(sample=(2, 14, 32), timestep=step), block_out_channels=(32, 64), down_block_types=("DownResnetBlock1D", "DownResnetBlock1D"), up_block_types=("UpResnetBlock1D",), mid_block_type="MidResTemporalBlock1D", out_block_type="OutConv1DBlock", in_channels=14, out_channels=14, time_embedding_type="positional", use_timestep_embedding=True, act_fn="mish", layers_per_block=1),
    diffuser("UNet3DConditionModel", named(sample=(1, 4, 4, 16, 16), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 7, 32)), down_block_types=("CrossAttnDownBlock3D", "DownBlock3D"), up_block_types=("UpBlock3D", "CrossAttnUpBlock3D"), **(CROSS | {"block_out_channels": (32, 64)})),
    diffuser("UNetMotionModel", named(sample=(1, 4, 4, 16, 16), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 7, 32)), block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, cross_attention_dim=32, num_attention_heads=2, motion_num_attention_heads=2, down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"), up_block_types=("UpBlockMotion", "CrossAttnUpBlockMotion")),
    diffuser("UNetSpatioTemporalConditionModel", named(sample=(1, 2, 8, 16, 16), timestep=lambda: torch.tensor(10.0), encoder_hidden_states=(1, 1, 32), added_time_ids=(1, 3)), block_out_channels=(32, 64), down_block_types=("CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"), up_block_types=("UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"), addition_time_embed_dim=32, projection_class_embeddings_input_dim=96, cross_attention_dim=32, num_attention_heads=(2, 4), layers_per_block=1),
    diffuser("CogVideoXTransformer3DModel", named(hidden_states=(1, 2, 4, 16, 16), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 8, 24)), num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=16, text_embed_dim=24, num_layers=2, sample_width=16, sample_height=16, sample_frames=8, max_text_seq_length=8),
    diffuser("LatteTransformer3DModel", named(hidden_states=(1, 4, 2, 16, 16), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 7, 24), enable_temporal_attentions=True), num_attention_heads=4, attention_head_dim=8, num_layers=2, sample_size=16, patch_size=2, cross_attention_dim=32, caption_channels=24, in_channels=4, out_channels=8, norm_type="ada_norm_single", num_embeds_ada_norm=100, video_length=2, attention_bias=True, norm_elementwise_affine=False),
    diffuser("LTXVideoTransformer3DModel", named(hidden_states=(1, 32, 4), encoder_hidden_states=(1, 7, 24), timestep=lambda: torch.tensor([10]), encoder_attention_mask=lambda: padding_mask(1, 7, 2), num_frames=2, height=4, width=4), in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=8, cross_attention_dim=32, num_layers=2, caption_channels=24),
    diffuser("WanTransformer3DModel", named(hidden_states=(1, 4, 2, 16, 16), timestep=lambda: torch.tensor([10]), encoder_hidden_states=(1, 7, 24)), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=24, freq_dim=32, ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=32),
    diffuser("StableAudioDiTModel", named(hidden_states=(2, 8, 16), timestep=lambda: torch.tensor([10.0, 20.0]), encoder_hidden_states=(2, 7, 24), global_hidden_states=(2, 1, 32), encoder_attention_mask=lambda: padding_mask(2, 7, 2).bool()), sample_size=16, in_channels=8, out_channels=8, num_layers=2, attention_head_dim=8, num_attention_heads=4, num_key_value_attention_heads=2, cross_attention_dim=24, time_proj_dim=32, global_states_input_dim=32, cross_attention_input_dim=24),
]

ENTRIES: list[Entry] = [*PICTURES, *CODERS, *FILMS_AND_SOUNDS]
