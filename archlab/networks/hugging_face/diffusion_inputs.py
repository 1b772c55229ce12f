"""Inputs of diffusers' networks by themselves: from what `forward` takes, and from sizes that the config names.

Denoisers get a noisy picture (or latent) of the config's own size, a step, and a text of as many tokens as their
pipelines give; autoencoders a picture.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn

from archlab.errors import InputError
from archlab.networks.hugging_face.inputs import unknown_inputs

Inputs = dict[str, Any]

LATENT = 64
"""Height and width of a latent where the config names none: 512 pixels, an eighth each."""
PICTURE = 512
"""Height and width of an autoencoder's pictures where the config names none."""
FRAMES = 16
"""Of a video whose length the config doesn't name."""
TEXT_TOKENS = {"Flux": 512, "SD3": 77 + 256, "PixArt": 300, "Sana": 300, "Lumina": 256, "AuraFlow": 256, "Wan": 512}
"""How a class's name begins -> tokens that its pipeline gives it (SD3: CLIP's and T5's); others get CLIP's 77."""
_TEXT_SIZES = (
    "caption_channels",
    "joint_attention_dim",
    "encoder_hid_dim",
    "text_embed_dim",
    "text_dim",
    "cap_feat_dim",
    "cross_attention_dim",
    "embedding_dim",
)
"""Fields that say how wide the text is, the one that decides first."""


def inputs_of(network: nn.Module, batch: int | None = None, seq: int | None = None) -> Inputs:
    """The inputs of a network of diffusers, by name; `seq` are the tokens of its text.

    Raises:
        InputError: it isn't known what the network takes, or it takes no text and `seq` was given.
    """
    return _Maker(network, batch or 1, seq).inputs()


class _Maker:
    def __init__(self, network: nn.Module, batch: int, seq: int | None) -> None:
        self.network = network
        self.batch = batch
        self.seq = seq
        self.config: Any = network.config
        self.parameters = inspect.signature(network.forward).parameters
        self.name = type(network).__name__

    def get(self, name: str) -> Any:
        return self.config.get(name)

    def inputs(self) -> Inputs:
        found: Inputs = {}
        unknown = []
        for name, parameter in self.parameters.items():
            make = _INPUTS.get(name)
            value = make(self) if make is not None else None
            if value is not None:
                found[name] = value
            elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
                unknown.append(name)
        if unknown or not found:
            raise InputError(unknown_inputs(self.network, unknown))
        if self.seq is not None and "encoder_hidden_states" not in found:
            raise InputError(f"{self.name} takes no text ({', '.join(found)}): leave --seq (seq=) out")
        return found

    def noisy(self) -> tuple[int, ...] | None:
        """The picture, latent or video, or the tokens of it."""
        channels = self.get("in_channels")
        if self.name.startswith("Prior"):
            return (self.batch, self.get("embedding_dim"))
        if channels is None:
            return None
        if self.is_packed:
            return (self.batch, LATENT * LATENT, channels)
        height, width = self.sides()
        if self.name.startswith("CogVideoX"):
            frames = (self.get("sample_frames") - 1) // self.get("temporal_compression_ratio") + 1
            return (self.batch, frames, channels, self.get("sample_height"), self.get("sample_width"))
        if self.name.startswith("UNet1D"):
            return (self.batch, channels, height)
        if "Motion" in self.name:
            return None  # it takes its text once per frame of the video, which is unusual
        if "3D" in self.name or "Wan" in self.name:
            return (self.batch, channels, FRAMES + 1 if "Wan" in self.name else FRAMES, height, width)
        return (self.batch, channels, height, width)

    @property
    def is_packed(self) -> bool:
        """Whether a picture comes as a sequence of its patches, with a position for each."""
        return "img_ids" in self.parameters

    def sides(self) -> tuple[int, int]:
        is_denoiser = {"timestep", "timestep_ratio"} & self.parameters.keys()
        size = self.get("sample_size") or (LATENT if is_denoiser else PICTURE)
        return (size, size) if isinstance(size, int) else (size[0], size[-1])

    def tokens(self) -> int:
        if self.seq is not None:
            return self.seq
        known = next((count for start, count in TEXT_TOKENS.items() if self.name.startswith(start)), 77)
        return self.get("max_text_seq_length") or known

    def text(self) -> tuple[int, ...] | None:
        sizes = (self.get(name) for name in _TEXT_SIZES)
        width = next((size for size in sizes if size), None)
        if isinstance(width, (list, tuple)):
            width = width[0]
        return None if width is None else (self.batch, self.tokens(), width)

    def pooled(self) -> tuple[int, ...] | None:
        width = self.get("pooled_projection_dim")
        return (self.batch, width) if width else None

    def labels(self) -> Any:
        kind = self.get("class_embed_type")
        if kind in ("projection", "simple_projection"):
            return (self.batch, self.get("projection_class_embeddings_input_dim"))
        is_conditioned = self.name.startswith("DiT") or self.get("num_class_embeds") is not None or kind is not None
        return f"{self.batch}:int64" if is_conditioned else None

    def conditions(self) -> Any:
        """What some denoisers are told beside the text: SDXL's pooled text and sizes, PixArt's resolution."""
        if self.get("addition_embed_type") == "text_time":
            width = self.get("projection_class_embeddings_input_dim") - 6 * self.get("addition_time_embed_dim")
            return {"text_embeds": (self.batch, width), "time_ids": (self.batch, 6)}
        if self.name.startswith("PixArt"):
            given = self.get("use_additional_conditions") or self.get("sample_size") == 128
            is_asked = given and self.get("use_additional_conditions") is not False
            sizes: dict[str, Any] = {"resolution": (self.batch, 2), "aspect_ratio": (self.batch, 1)}
            return sizes if is_asked else dict.fromkeys(sizes)
        return None

    def positions(self, count: int) -> tuple[int, ...]:
        return (count, len(self.get("axes_dims_rope") or (16, 56, 56)))

    def control(self) -> tuple[int, ...]:
        height, width = self.sides()
        return (self.batch, self.get("conditioning_channels"), 8 * height, 8 * width)


_INPUTS: dict[str, Callable[[_Maker], Any]] = {
    "sample": _Maker.noisy,
    "hidden_states": _Maker.noisy,
    "timestep": lambda maker: f"{maker.batch}:int64",
    "encoder_hidden_states": _Maker.text,
    "pooled_projections": _Maker.pooled,
    "class_labels": _Maker.labels,
    "added_cond_kwargs": _Maker.conditions,
    "img_ids": lambda maker: maker.positions(LATENT * LATENT),
    "txt_ids": lambda maker: maker.positions(maker.tokens()),
    "guidance": lambda maker: (maker.batch,) if maker.get("guidance_embeds") else None,
    "controlnet_cond": _Maker.control,
    "proj_embedding": lambda maker: (maker.batch, maker.get("embedding_proj_dim") or maker.get("embedding_dim")),
}
"""Name of a parameter -> its input; None where the network isn't made for one."""
