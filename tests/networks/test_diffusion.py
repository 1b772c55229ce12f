import json
from pathlib import Path
from typing import Any

import pytest

from archlab.errors import SourceError
from archlab.networks import resolve
from archlab.tracing import trace

pytest.importorskip("diffusers", reason="hf: sources of diffusers need diffusers (archlab[hf])")

BLOCKS = {"block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8}
UNET = {
    "_class_name": "UNet2DConditionModel",
    **BLOCKS,
    "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": 24,
    "sample_size": 16,
}
HEADS = {"num_attention_heads": 2, "attention_head_dim": 8, "num_layers": 1}

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (UNET, {"sample": (1, 4, 16, 16), "timestep": (1,), "encoder_hidden_states": (1, 77, 24)}),
    (
        {"_class_name": "UNet2DModel", **BLOCKS, "down_block_types": ["DownBlock2D"] * 2}
        | {"up_block_types": ["UpBlock2D"] * 2, "sample_size": 16},
        {"sample": (1, 3, 16, 16), "timestep": (1,)},
    ),
    (
        {"_class_name": "AutoencoderKL", "block_out_channels": [8], "norm_num_groups": 4, "sample_size": 32},
        {"sample": (1, 3, 32, 32)},
    ),
    (
        {"_class_name": "DiTTransformer2DModel", **HEADS, "sample_size": 8, "num_embeds_ada_norm": 10},
        {"hidden_states": (1, 4, 8, 8), "timestep": (1,), "class_labels": (1,)},
    ),
    (
        {"_class_name": "SD3Transformer2DModel", **HEADS, "sample_size": 8, "pos_embed_max_size": 8}
        | {"caption_projection_dim": 16, "joint_attention_dim": 12, "pooled_projection_dim": 6},
        {
            "hidden_states": (1, 16, 8, 8),
            "encoder_hidden_states": (1, 333, 12),
            "pooled_projections": (1, 6),
            "timestep": (1,),
        },
    ),
    (
        {"_class_name": "FluxTransformer2DModel", **HEADS, "num_single_layers": 1, "axes_dims_rope": [2, 2, 4]}
        | {"in_channels": 8, "joint_attention_dim": 12, "pooled_projection_dim": 6, "guidance_embeds": True},
        {
            "hidden_states": (1, 4096, 8),
            "encoder_hidden_states": (1, 512, 12),
            "pooled_projections": (1, 6),
            "timestep": (1,),
            "img_ids": (4096, 3),
            "txt_ids": (512, 3),
            "guidance": (1,),
        },
    ),
]


def folder(path: Path, config: dict[str, Any]) -> str:
    (path / "config.json").write_text(json.dumps(config))
    return f"hf:{path}"


@pytest.mark.filterwarnings("ignore")  # of diffusers' own
@pytest.mark.parametrize(("config", "inputs"), CASES, ids=[case[0]["_class_name"] for case in CASES])
def test_inputs_by_themselves(tmp_path: Path, config: dict[str, Any], inputs: dict[str, Any]) -> None:
    source = resolve(folder(tmp_path, config))
    found = trace(source)
    assert dict(zip(found.input_names, found.inputs, strict=True)) == inputs
    assert found.totals.parameters == sum(parameter.numel() for parameter in source.build().parameters())
    assert found.totals.macs > 0
    assert not [note for note in found.notes if "real arithmetic" in note]


def test_options_are_fields_of_the_config(tmp_path: Path) -> None:
    found = trace(folder(tmp_path, UNET), sample_size=8, seq=5)
    assert found.inputs == ((1, 4, 8, 8), (1,), (1, 5, 24))
    with pytest.raises(SourceError, match=r"has no option 'sample_siz': did you mean sample_size"):
        resolve(folder(tmp_path, UNET), {"sample_siz": 8})
    with pytest.raises(SourceError, match="has no other heads"):
        resolve(folder(tmp_path, UNET), {"task": "causal-lm"})
    with pytest.raises(
        SourceError, match=r"names the class 'UNet2DModl', which diffusers .* has none of: did you mean"
    ):
        resolve(folder(tmp_path, {"_class_name": "UNet2DModl"}))
