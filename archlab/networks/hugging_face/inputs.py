"""Inputs of transformers' networks by themselves: from what `forward` takes, and from sizes that the config names.

`input_ids` are TOKENS tokens, `pixel_values` pictures of the config's own size, and sounds as long as the network was
made for, or a second. Masks are left out: without one, everything is attended to. What `forward` needs beside its main
input, and this file doesn't know, is named in an error.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from archlab.errors import InputError
from archlab.networks.hugging_face.pictures import grid, image_token, picture_said, with_picture

TOKENS = 128
"""Tokens of a text for which no length was asked."""
PICTURE = 224
"""Height and width of pictures where the config names none."""
DETECTION = 800
"""The shorter side that detectors resize pictures to (Carion et al., End-to-End Object Detection with Transformers,
ECCV 2020, section 4)."""
SAMPLES = 16_000
"""Of a sound: one second."""
TRAJECTORY = 20
"""Steps of a trajectory (Chen et al., Decision Transformer, NeurIPS 2021, table 8: context length K = 20)."""
FLAT_PATCHES = 2_048
"""Patches of a picture (Lee et al., Pix2Struct, ICML 2023, section 2.2: the sequence length of the input)."""
FRAMES = 16
"""Of a video whose length the config doesn't name."""

Inputs = dict[str, Any]
"""Name -> shape, or text with an element type."""


def inputs_of(network: nn.Module, batch: int | None = None, seq: int | None = None) -> Inputs:
    """The inputs of a network of transformers, by name.

    Args:
        network: the network, built.
        batch: None for 1.
        seq: tokens of a text, samples or frames of a sound; None for the network's own.

    Raises:
        InputError: it isn't known what the network takes, or it takes no sequence and `seq` was given.
    """
    return _Maker(network, batch or 1, seq).inputs()


def left_out(network: nn.Module, given: Inputs) -> str:
    """A sentence about pictures and sounds that a network of several kinds of input takes, and wasn't given."""
    said = picture_said(network, given)
    parameters = inspect.signature(network.forward).parameters
    if said:
        return said
    others = [name for name in _OTHERS if name in parameters and name not in given]
    if "input_ids" not in given or not others:
        return ""
    return (
        f"Traced on text alone, without {' and '.join(others)}: what takes them is unused here, and its cost "
        "isn't counted. --input gives them."
    )


_OTHERS = ("pixel_values", "pixel_values_videos", "input_features", "input_values")


def unknown_inputs(network: nn.Module, names: Sequence[str]) -> str:
    """The message where it isn't known what a network is to be given: what its `forward` takes, and how to give it."""
    parameters = inspect.signature(network.forward).parameters
    taken = [
        name
        for name, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    ]
    what = f" as {', '.join(names)}" if names else ""
    example = names[0] if names else next(iter(taken), "input_ids")
    return (
        f"it isn't known what {type(network).__name__} is to be given{what}: its forward takes {', '.join(taken)}; "
        f"give the inputs yourself, each as --input {example}=1x3x224x224 or --input {example}=1x128:int64"
    )


class _Maker:
    def __init__(self, network: nn.Module, batch: int, seq: int | None) -> None:
        self.network = network
        self.batch = batch
        self.seq = seq
        self.config: Any = network.config
        self.parameters = inspect.signature(network.forward).parameters
        self.uses_seq = False

    def inputs(self) -> Inputs:
        main = getattr(self.network, "main_input_name", "input_ids")
        wanted = [main] if main in self.parameters else []
        needed = [
            name
            for name, parameter in self.parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ]
        wanted += [name for name in needed if name not in wanted]
        if hasattr(self.network, "get_text_features") and hasattr(self.network, "get_image_features"):
            wanted += [name for name in (*_BOTH, *_PATCHES) if name in self.parameters and name not in wanted]
        if "input_ids" in self.parameters and "pixel_values" in wanted and image_token(self.config) is not None:
            wanted += [name for name in ("input_ids",) if name not in wanted]
        if "input_ids" in wanted:
            wanted += [name for name in _BESIDE_TEXT if name in self.parameters and name not in wanted]
        kind = getattr(self.config, "model_type", "")
        wanted += [name for name in _COMPANIONS.get(kind, ()) if name in self.parameters and name not in wanted]
        if getattr(self.config, "is_encoder_decoder", False):
            wanted += [name for name in ("decoder_input_ids",) if name in self.parameters and name not in wanted]
        found = {name: self._input(name) for name in wanted}
        if "input_ids" in found and "pixel_values" in self.parameters and not found.keys() & {*_PATCHES}:
            text = self.length(TOKENS, "max_position_embeddings", "n_positions")
            found |= with_picture(self.network, self.parameters, self.picture(), text)
        if not found or any(value is None for value in found.values()):
            unknown = [name for name, value in found.items() if value is None]
            raise InputError(unknown_inputs(self.network, unknown))
        if self.seq is not None and not self.uses_seq:
            raise InputError(
                f"{type(self.network).__name__} takes no sequence whose length can be chosen ({', '.join(found)}): "
                "leave --seq (seq=) out, or give the inputs themselves (--input)"
            )
        return found

    def _input(self, name: str) -> Any:
        make = _INPUTS.get(name)
        return None if make is None else make(self)

    def named(self, *names: str, of: Sequence[str] = ("",)) -> Any:
        """The first field of these names that the config has, or one of its parts."""
        for part in of:
            config = getattr(self.config, part, None) if part else self.config
            for name in names:
                value = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
                if value is not None:
                    return value
        return None

    def length(self, default: int, *limits: str) -> int:
        """The length of a sequence: what was asked for, else a default within the limits that the config names."""
        self.uses_seq = True
        if self.seq is not None:
            return self.seq
        text = self.config.get_text_config()
        known = [getattr(text, limit, None) for limit in limits]
        return min([default, *(limit for limit in known if isinstance(limit, int) and limit > 0)])

    def tokens(self) -> str:
        return f"{self.batch}x{self.length(TOKENS, 'max_position_embeddings', 'n_positions')}:int64"

    def decoder_tokens(self) -> str:
        return f"{self.batch}x{self.length(TOKENS, 'max_target_positions', 'max_position_embeddings')}:int64"

    def picture(self) -> tuple[int, ...]:
        parts = ("", "vision_config", "image_config", "backbone_config", "encoder", "vision_backbone_config")
        channels = self.named("num_channels", "in_channels", "in_chans", "num_image_channels", of=parts)
        size = self.named("image_size", "img_size", "input_size", "crop_size", of=parts)
        if isinstance(size, Mapping):
            size = (size.get("height", PICTURE), size.get("width", PICTURE))
        if size is None:
            size = DETECTION if "ObjectDetection" in type(self.network).__name__ else PICTURE
        height, width = (size, size) if isinstance(size, int) else (size[-2], size[-1])
        shape = (channels if isinstance(channels, int) else 3, height, width)
        frames = self.named("num_frames", of=parts)
        if getattr(self.config, "model_type", "") in _VIDEOS:
            return (self.batch, frames or FRAMES, *shape)
        return (self.batch, *shape)

    def patches(self) -> tuple[int, ...]:
        """A picture, or its patches one by one, with their place in it or without."""
        vision = self.named("vision_config") or self.config
        if "flattened_patches" in self.parameters:  # a row and a column before each, as Pix2Struct's processor has them
            return (self.batch, FLAT_PATCHES, 2 + vision.patch_embed_hidden_size)
        if "spatial_shapes" in self.parameters:
            return (self.batch, vision.num_patches, vision.num_channels * vision.patch_size**2)
        if {"grid_thw", "image_grid_thw"} & self.parameters.keys() and "input_ids" not in self.parameters:
            rows: tuple[int, ...] = grid(vision, self.batch)[0]["pixel_values"]
            return rows
        return self.picture()

    def places(self) -> Any:
        """Height and width of a picture in patches, of each sequence."""
        import torch

        vision = self.named("vision_config") or self.config
        side = int(vision.num_patches**0.5)
        return torch.tensor([[side, side]] * self.batch)

    def anything(self) -> Any:
        """What a Perceiver takes: tokens, a picture, or features where it has no preprocessor."""
        name = type(self.network).__name__
        if name.endswith(("MaskedLM", "SequenceClassification")):
            return self.tokens()
        if "ImageClassification" in name:
            return self.picture()
        return (self.batch, self.length(TOKENS), self.config.d_model) if name.endswith("PerceiverModel") else None

    def boxes(self) -> Any:
        """The box of each token: numbers that are looked up, or fractions of the page."""
        length = self.length(TOKENS, "max_position_embeddings")
        is_fraction = getattr(self.config, "model_type", "") in ("bros", "udop")
        return (self.batch, length, 4) if is_fraction else f"{self.batch}x{length}x4:int64"

    def places_of_picture(self) -> Any:
        """Where among the tokens those of the picture are (Kosmos-2): first."""
        import torch

        mask = torch.zeros((self.batch, self.length(TOKENS, "max_position_embeddings")), dtype=torch.int64)
        mask[:, : self.config.latent_query_num] = 1
        return mask

    def all_attended(self, frames: int) -> str:
        return f"{self.batch}x{frames}:int64=ones"

    def video(self) -> tuple[int, ...]:
        batch, *shape = self.picture()
        frames = self.named("frames_per_clip", "num_frames", of=("", "vision_config", "video_config"))
        return (batch, frames if isinstance(frames, int) else FRAMES, *shape)

    def series(self) -> tuple[int, ...]:
        """Values of a time series, as the PatchTST family takes them."""
        return (self.batch, self.length(self.config.context_length), self.config.num_input_channels)

    def steps(self, features: int) -> tuple[int, ...]:
        """Something about each step of a trajectory."""
        return (self.batch, self.length(TRAJECTORY), features)

    def wave(self) -> tuple[int, ...]:
        bins = self.named("num_mel_bins")
        if bins is not None and self.named("max_length") and self.named("patch_size"):
            return (self.batch, self.length(self.named("max_length")), bins)
        channels = 1 if getattr(self.config, "model_type", "") == "dac" else self.named("audio_channels")
        samples = self.length(SAMPLES)
        return (self.batch, channels, samples) if channels else (self.batch, samples)

    def spectrogram(self) -> tuple[int, ...]:
        if getattr(self.config, "model_type", "") == "clap":
            audio = self.config.audio_config
            # The encoder scales it to a square of spec_size; by as many frames as that square holds.
            frames = audio.spec_size**2 // audio.num_mel_bins
            return (self.batch, 4 if audio.enable_fusion else 1, frames, audio.num_mel_bins)
        parts = ("", "audio_config", "audio_encoder_config", "encoder_config", "text_config")
        bins = self.named("num_mel_bins", "input_feat_per_channel", "feature_size", "input_dim", of=parts) or 80
        positions = self.named("max_source_positions", of=parts)
        if getattr(self.config, "model_type", "") in _BINS_FIRST and positions:
            return (self.batch, bins, 2 * positions)
        bins = self.named("feature_projection_input_dim", of=parts) or bins
        return (self.batch, self.length(1_000), bins)


_VIDEOS = frozenset(["videomae", "timesformer", "vivit", "xclip"])
"""Types whose pictures are frames of a video."""
_BINS_FIRST = frozenset(["whisper", "qwen2_audio", "qwen2_audio_encoder", "voxtral", "voxtral_encoder"])
"""Types whose spectrograms have the bins first, and one length: two frames for each of the encoder's positions."""

_BOTH = ("input_ids", "pixel_values")
"""What networks take that compare texts and pictures."""
_PATCHES = ("pixel_attention_mask", "spatial_shapes")
"""What says which of a picture's patches there are."""
_BESIDE_TEXT = ("bbox", "visual_feats", "visual_pos")
"""What documents and pictures of objects have beside their text."""
_REGIONS = 36
"""Of a picture (Tan and Bansal, LXMERT, EMNLP 2019, section 2.1)."""

_COMPANIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(["bridgetower", "vilt", "xclip", "udop"], ("pixel_values",)),
    "blip": ("input_ids",),
    "kosmos-2": ("input_ids", "image_embeds_position_mask"),
    "decision_transformer": ("actions", "rewards", "returns_to_go", "timesteps"),
    "layoutlmv2": ("image",),
    **dict.fromkeys(["clap"], ("input_features",)),
}
"""Type -> inputs that its `forward` takes as optional, and can't do without."""

_INPUTS: dict[str, Callable[[_Maker], Any]] = {
    "input_ids": _Maker.tokens,
    "decoder_input_ids": _Maker.decoder_tokens,
    "pixel_values": _Maker.patches,
    "hidden_states": lambda maker: maker.patches() if "grid_thw" in maker.parameters else None,
    "flattened_patches": _Maker.patches,
    "grid_thw": lambda maker: grid(maker.config, maker.batch)[0]["image_grid_thw"],
    "spatial_shapes": _Maker.places,
    "pixel_attention_mask": lambda maker: maker.all_attended(maker.patches()[1]),
    "inputs": _Maker.anything,
    "qformer_input_ids": _Maker.tokens,
    "visual_feats": lambda maker: (maker.batch, _REGIONS, maker.config.visual_feat_dim),
    "visual_pos": lambda maker: (maker.batch, _REGIONS, maker.config.visual_pos_dim),
    "input_values": _Maker.wave,
    "input_features": _Maker.spectrogram,
    "pixel_values_videos": _Maker.video,
    "past_values": _Maker.series,
    "bbox": _Maker.boxes,
    "image_embeds_position_mask": _Maker.places_of_picture,
    "states": lambda maker: maker.steps(maker.config.state_dim),
    "actions": lambda maker: maker.steps(maker.config.act_dim),
    "rewards": lambda maker: maker.steps(1),
    "returns_to_go": lambda maker: maker.steps(1),
    "timesteps": lambda maker: f"{maker.batch}x{maker.length(TRAJECTORY)}:int64",
}
"""Name of a parameter -> its input."""
