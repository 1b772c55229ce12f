"""Networks of transformers that see, hear and read."""

from __future__ import annotations

import torch

from benchmarks.zoo.entry import Entry, ids, named, padding_mask, text
from benchmarks.zoo.networks.hugging_face import SMALL, config, small, transformer

VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}


TEXT = SMALL | {"num_hidden_layers": 2}


SEEING_AND_READING = [
    transformer(
        "CLIPModel",
        text(pixel_values=(2, 3, 32, 32)),
        text_config=TEXT | {"eos_token_id": 999},
        vision_config=VISION,
        projection_dim=32,
    ),
    transformer("SiglipModel", text(pixel_values=(2, 3, 32, 32)), text_config=TEXT, vision_config=VISION),
    transformer(
        "CLIPSegForImageSegmentation",
        text(pixel_values=(2, 3, 32, 32)),
        text_config=TEXT,
        vision_config=VISION | {"num_hidden_layers": 4},
        extract_layers=[1, 2, 3],
        reduce_dim=16,
        projection_dim=64,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
    ),
    transformer(
        "ChineseCLIPModel",
        text(segments=True, pixel_values=(2, 3, 32, 32)),
        text_config=TEXT,
        vision_config=VISION,
        projection_dim=32,
    ),
    transformer(
        "AltCLIPModel",
        text(pixel_values=(2, 3, 32, 32)),
        text_config=TEXT | {"project_dim": 32},
        vision_config=VISION,
        projection_dim=32,
    ),
    transformer(
        "GroupViTModel",
        text(pixel_values=(2, 3, 64, 64)),
        text_config=TEXT,
        vision_config=VISION
        | {
            "image_size": 64,
            "depths": [2, 1, 1],
            "num_hidden_layers": 4,
            "num_group_tokens": [16, 8, 0],
            "num_output_groups": [16, 8, 8],
        },
        projection_dim=32,
        projection_intermediate_dim=64,
    ),
    transformer(
        "OwlViTForObjectDetection",
        text(batch=2, length=16, padded=3, pixel_values=(2, 3, 32, 32)),
        text_config=TEXT | {"max_position_embeddings": 16},
        vision_config=VISION,
        projection_dim=64,
    ),
    transformer(
        "BlipForConditionalGeneration",
        text(pixel_values=(2, 3, 32, 32)),
        text_config=TEXT | {"encoder_hidden_size": 64},
        vision_config=VISION,
        image_text_hidden_size=32,
    ),
    transformer(
        "Blip2ForConditionalGeneration",
        text(
            padded=0, input_ids=lambda: torch.cat([torch.full((2, 8), 5), ids(2, 16)], 1), pixel_values=(2, 3, 32, 32)
        ),
        vision_config=VISION,
        qformer_config=TEXT | {"encoder_hidden_size": 64},
        text_config=TEXT | {"model_type": "opt", "ffn_dim": 128, "word_embed_proj_dim": 64, "pad_token_id": 1},
        num_query_tokens=8,
        image_token_index=5,
    ),
    transformer(
        "FlavaModel",
        text(segments=True, pixel_values=(2, 3, 32, 32)),
        text_config=TEXT,
        image_config=VISION,
        multimodal_config={
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 128,
        },
        projection_dim=32,
        hidden_size=64,
    ),
    small(
        "ViltForQuestionAnswering",
        text(segments=True, pixel_values=(2, 3, 32, 32), pixel_mask=lambda: torch.ones(2, 32, 32, dtype=torch.int64)),
        image_size=32,
        patch_size=8,
        num_labels=5,
    ),
    small(
        "LayoutLMv3ForTokenClassification",
        text(bbox=lambda: torch.randint(0, 100, (2, 24, 4)).sort(-1).values, pixel_values=(2, 3, 32, 32)),
        input_size=32,
        patch_size=8,
        coordinate_size=11,
        shape_size=10,
    ),
    small(
        "LayoutLMForTokenClassification",
        text(segments=True, bbox=lambda: torch.randint(0, 100, (2, 24, 4)).sort(-1).values),
    ),
    small("LiltModel", text(bbox=lambda: torch.randint(0, 100, (2, 24, 4)).sort(-1).values), hidden_size=96),
    small(
        "VisualBertModel",
        text(
            length=16,
            padded=0,
            visual_embeds=(2, 6, 32),
            visual_attention_mask=lambda: torch.ones(2, 6),
            visual_token_type_ids=lambda: torch.ones(2, 6, dtype=torch.int64),
        ),
        visual_embedding_dim=32,
    ),
    small(
        "LxmertModel",
        text(segments=True, visual_feats=(2, 6, 32), visual_pos=lambda: torch.rand(2, 6, 4)),
        visual_feat_dim=32,
        l_layers=2,
        x_layers=1,
        r_layers=1,
    ),
    small("GitForCausalLM", text(padded=3, pixel_values=(2, 3, 32, 32)), vision_config=VISION),
    transformer(
        "LlavaForConditionalGeneration",
        text(
            padded=0, input_ids=lambda: torch.cat([torch.full((2, 16), 5), ids(2, 8)], 1), pixel_values=(2, 3, 32, 32)
        ),
        text_config=config("LlamaConfig", **TEXT),
        vision_config=config("CLIPVisionConfig", **VISION),
        image_token_index=5,
    ),
    transformer(
        "PaliGemmaForConditionalGeneration",
        text(
            padded=0, input_ids=lambda: torch.cat([torch.full((2, 16), 5), ids(2, 8)], 1), pixel_values=(2, 3, 32, 32)
        ),
        text_config=config("GemmaConfig", head_dim=16, num_key_value_heads=2, **TEXT),
        vision_config=config("SiglipVisionConfig", **VISION),
        image_token_index=5,
        projection_dim=64,
    ),
    transformer(
        "Idefics3ForConditionalGeneration",
        text(
            padded=0,
            input_ids=lambda: torch.cat([torch.full((1, 4), 5), ids(1, 8)], 1),
            attention_mask=lambda: torch.ones(1, 12, dtype=torch.int64),
            pixel_values=(1, 1, 3, 32, 32),
        ),
        text_config=config("LlamaConfig", pad_token_id=0, **TEXT),
        vision_config=VISION,
        scale_factor=2,
        image_token_id=5,
    ),
    transformer(
        "Qwen2VLForConditionalGeneration",
        text(
            batch=1,
            padded=0,
            length=12,
            input_ids=lambda: torch.cat([torch.full((1, 4), 5), ids(1, 8)], 1),
            mm_token_type_ids=lambda: torch.tensor([[1] * 4 + [0] * 8]),
            pixel_values=(16, 3 * 2 * 8 * 8),
            image_grid_thw=lambda: torch.tensor([[1, 4, 4]]),
        ),
        text_config=TEXT | {"num_key_value_heads": 2, "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]}},
        vision_config={"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8},
        image_token_id=5,
        vision_start_token_id=6,
    ),
    transformer(
        "Pix2StructForConditionalGeneration",
        named(
            flattened_patches=lambda: torch.cat(
                [
                    torch.arange(1.0, 33).view(2, 16, 1) % 8,
                    torch.arange(1.0, 33).view(2, 16, 1) % 4,
                    torch.randn(2, 16, 192),
                ],
                2,
            ),
            attention_mask=lambda: padding_mask(2, 16, 4),
            decoder_input_ids=lambda: ids(2, 6),
        ),
        text_config={"vocab_size": 1000, "hidden_size": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4},
        vision_config={
            "hidden_size": 64,
            "patch_embed_hidden_size": 192,
            "d_ff": 128,
            "d_kv": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
        },
    ),
    transformer(
        "VisionEncoderDecoderModel",
        named(pixel_values=(2, 3, 32, 32), decoder_input_ids=lambda: ids(2, 8)),
        encoder=lambda: config("ViTConfig", **VISION)().to_dict(),
        decoder=lambda: config(
            "TrOCRConfig",
            d_model=64,
            decoder_layers=2,
            decoder_attention_heads=4,
            decoder_ffn_dim=128,
            vocab_size=1000,
            cross_attention_hidden_size=64,
        )().to_dict(),
    ),
    transformer(
        "EncoderDecoderModel",
        text(decoder_input_ids=lambda: ids(2, 8)),
        encoder=lambda: config("BertConfig", **TEXT)().to_dict(),
        decoder=lambda: config("BertConfig", is_decoder=True, add_cross_attention=True, **TEXT)().to_dict(),
    ),
    transformer(
        "VisionTextDualEncoderModel",
        text(segments=True, pixel_values=(2, 3, 32, 32)),
        vision_config=lambda: config("ViTConfig", **VISION)().to_dict(),
        text_config=lambda: config("BertConfig", **TEXT)().to_dict(),
        projection_dim=32,
    ),
    transformer(
        "GroundingDinoForObjectDetection",
        text(
            segments=True,
            length=12,
            padded=2,
            pixel_values=(2, 3, 64, 64),
            pixel_mask=lambda: torch.ones(2, 64, 64, dtype=torch.int64),
        ),
        backbone_config=config(
            "SwinConfig",
            image_size=64,
            patch_size=4,
            embed_dim=16,
            depths=[1, 1, 2, 1],
            num_heads=[1, 2, 2, 4],
            window_size=2,
            out_features=["stage2", "stage3", "stage4"],
        ),
        text_config=config("BertConfig", **TEXT),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        num_queries=10,
    ),
    small(
        "BridgeTowerModel",
        text(pixel_values=(2, 3, 32, 32), pixel_mask=lambda: torch.ones(2, 32, 32, dtype=torch.int64)),
        text_config=TEXT | {"num_hidden_layers": 2},
        vision_config={"hidden_size": 64, "num_hidden_layers": 2, "image_size": 32, "patch_size": 8},
        num_hidden_layers=2,
    ),
    transformer(
        "AlignModel",
        text(segments=True, pixel_values=(2, 3, 64, 64)),
        text_config=TEXT | {"projection_dim": 160},
        vision_config={"width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640, "image_size": 64},
        projection_dim=160,
    ),
    transformer(
        "PerceiverForMaskedLM",
        named(inputs=lambda: ids(2, 32, 262), attention_mask=lambda: padding_mask(2, 32, 6)),
        num_latents=16,
        d_latents=64,
        d_model=64,
        num_self_attends_per_block=2,
        num_self_attention_heads=4,
        num_cross_attention_heads=4,
        max_position_embeddings=32,
        qk_channels=64,
        v_channels=64,
    ),
    small(
        "TapasModel",
        named(
            input_ids=lambda: ids(2, 24),
            attention_mask=lambda: padding_mask(2, 24, 4),
            token_type_ids=lambda: torch.zeros(2, 24, 7, dtype=torch.int64),
        ),
    ),
    small("MarkupLMModel", text(segments=True)),
    small(
        "DecisionTransformerModel",
        named(
            states=(2, 5, 7),
            actions=(2, 5, 3),
            rewards=(2, 5, 1),
            returns_to_go=(2, 5, 1),
            timesteps=lambda: torch.arange(5).repeat(2, 1),
            attention_mask=lambda: padding_mask(2, 5, 1),
        ),
        state_dim=7,
        act_dim=3,
        n_layer=2,
        n_head=4,
    ),
    transformer(
        "MusicgenForCausalLM",
        text(batch=4, padded=0, vocabulary=64, attention_mask=None),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        ffn_dim=128,
        vocab_size=64,
        num_codebooks=2,
    ),
]

ENTRIES: list[Entry] = [*SEEING_AND_READING]
