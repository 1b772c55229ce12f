"""Inputs of diffusers' networks by themselves: from what `forward` takes, and from sizes that the config names.

Denoisers get a noisy picture (or latent) of the config's own size, a step, and a text of as many tokens as their
pipelines give; autoencoders a picture.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from archlab.errors import InputError
from archlab.networks.hugging_face.inputs import unknown_inputs

Inputs = dict[str, Any]

LATENT = 64
"""Height and width of a latent where the config names none: 512 pixels, an eighth each."""
PICTURE = 512
"""Height and width of an autoencoder's pictures where the config names none."""
SAMPLES = 2**16
"""Of an autoencoder's sound."""
LTX_LATENT = (21, 16, 22)
"""Frames, height and width of LTX-Video's latent: 161 frames of 512 x 704 pixels (HaCohen et al., LTX-Video,
arXiv:2501.00103), an eighth (and one) and a thirty-second each."""
FRAMES = 16
"""Of a video whose length the config doesn't name."""
TEXT_TOKENS = {
    "Flux": 512,
    "SD3": 77 + 256,
    "PixArt": 300,
    "Sana": 300,
    "Lumina": 256,
    "AuraFlow": 256,
    "Wan": 512,
    "LTXVideo": 128,
    "Kandinsky3": 128,
    "Mochi": 256,
    "HunyuanVideo": 256,
    "QwenImage": 512,
}
"""How a class's name begins -> tokens that its pipeline gives it (SD3: CLIP's and T5's); others get CLIP's 77."""
_CHANNELS = ("in_channels", "audio_channels", "input_channels")
"""Fields that say how many channels an autoencoder's input has."""
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
        if "timestep" not in self.parameters and self.name.startswith(("Autoencoder", "VQ", "AsymmetricAutoencoder")):
            return self.picture()
        if channels is None:
            return None
        if self.name.startswith("LTXVideo"):
            return (self.batch, math.prod(LTX_LATENT), channels)
        if self.name.startswith("UNetSpatioTemporal"):
            return (self.batch, self.get("num_frames") or FRAMES, channels, *self.sides())
        if self.is_packed:
            return (self.batch, LATENT * LATENT, channels)
        height, width = self.sides()
        if self.name.startswith("CogVideoX"):
            frames = (self.get("sample_frames") - 1) // self.get("temporal_compression_ratio") + 1
            return (self.batch, frames, channels, self.get("sample_height"), self.get("sample_width"))
        if self.name.startswith("UNet1D"):
            return (self.batch, channels, height)
        if "3D" in self.name or "Motion" in self.name or "Wan" in self.name:
            return (self.batch, channels, FRAMES + 1 if "Wan" in self.name else FRAMES, height, width)
        return (self.batch, channels, height, width)

    def picture(self) -> tuple[int, ...] | None:
        """What an autoencoder takes: a picture, a video or a sound, by its first convolution."""
        kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
        first = next((module for module in self.network.modules() if isinstance(module, kinds)), None)
        channels = next((size for name in _CHANNELS if (size := self.get(name))), None)
        if first is None or not isinstance(channels, int):
            return None
        axes = len(first.kernel_size)
        sizes = {1: (SAMPLES,), 2: self.sides(), 3: (FRAMES + 1, *self.sides())}[axes]
        return (self.batch, channels, *sizes)

    @property
    def is_packed(self) -> bool:
        """Whether a picture comes as a sequence of its patches, with a position for each."""
        return bool({"img_ids", "img_shapes"} & self.parameters.keys())

    def shapes(self) -> list[Any]:
        """Frames, height and width of each picture in patches, as lists of tensors that hold them."""
        return [[torch.tensor([1, LATENT, LATENT])]] * self.batch

    def second_step(self, name: str) -> str | None:
        """The step that a consistency model goes to, where it can't do without."""
        return f"{self.batch}:int64" if self.parameters[name].default is inspect.Parameter.empty else None

    def mask(self, name: str) -> str | None:
        """Says of each token of the text that it is one, where a network can't do without."""
        is_needed = self.parameters[name].default is inspect.Parameter.empty or self.name.startswith("Kandinsky3")
        return f"{self.batch}x{self.tokens()}:int64=ones" if is_needed else None

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
        if width is None:
            return None
        if self.name.startswith("UNetSpatioTemporal"):
            return (self.batch, 1, width)  # what its pipeline gives is one vector, of a picture
        # AnimateDiff's pipelines repeat the text for each frame.
        count = self.batch * FRAMES if "Motion" in self.name else self.batch
        return (count, self.tokens(), width)

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

    def control(self) -> tuple[int, ...] | None:
        channels = self.get("conditioning_channels")
        if channels is None or "pooled_projections" in self.parameters or self.is_packed:
            return self.noisy()  # a latent of the same size
        height, width = self.sides()
        return (self.batch, channels, 8 * height, 8 * width)


_INPUTS: dict[str, Callable[[_Maker], Any]] = {
    "sample": _Maker.noisy,
    "hidden_states": _Maker.noisy,
    "timestep": lambda maker: (maker.batch,) if maker.name.startswith("Hunyuan") else f"{maker.batch}:int64",
    "timestep_r": lambda maker: maker.second_step("timestep_r"),
    "r_timestep": lambda maker: maker.second_step("r_timestep"),
    "encoder_hidden_states": _Maker.text,
    "encoder_attention_mask": lambda maker: maker.mask("encoder_attention_mask"),
    "encoder_hidden_states_mask": lambda maker: maker.mask("encoder_hidden_states_mask"),
    "img_shapes": _Maker.shapes,
    "added_time_ids": lambda maker: (maker.batch, 3),
    **dict.fromkeys(["original_size", "target_size", "crop_coords"], lambda maker: (maker.batch, 2)),
    **{
        name: partial(lambda size, maker: size if maker.name.startswith("LTXVideo") else None, size)
        for name, size in zip(("num_frames", "height", "width"), LTX_LATENT, strict=True)
    },
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
