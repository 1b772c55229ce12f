"""Pictures for networks that read text and pictures in one sequence, where the config says what a picture becomes.

Such a network puts what its vision part makes of a picture in the places of the image tokens among `input_ids`, and
refuses another number of them. How many there are is asked of the network itself: its `get_image_features`, run on
tensors without values. Where that needs values, the number follows from the config's sizes of patches.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

PICTURE = 448
"""Height and width where the config names none, as for networks that take pictures of any size."""
IMAGE_TOKENS = ("image_token_id", "image_token_index", "media_placeholder_token_id")
"""What configs call the token in whose places a picture is put."""
_VISION = ("vision_config", "vision_tower_config", "image_config")

Inputs = dict[str, Any]


def image_token(config: Any) -> int | None:
    """The number of the token in whose places a picture is put; None where a config has none."""
    known = (getattr(config, name, None) for name in IMAGE_TOKENS)
    return next((token for token in known if isinstance(token, int)), None)


def with_picture(network: nn.Module, parameters: Mapping[str, Any], shape: tuple[int, ...], text: int) -> Inputs:
    """`input_ids` with the image tokens of a picture before the text, and that picture; empty where it isn't known how.

    Args:
        network: the network, built without values.
        parameters: those of its `forward`.
        shape: of one batch of pictures, as the config has it.
        text: tokens of each text.
    """
    config: Any = network.config
    token = image_token(config)
    vision = next((part for name in _VISION if (part := getattr(config, name, None)) is not None), None)
    if "pixel_values" not in parameters or vision is None:
        return {}
    if "aspect_ratio_ids" in parameters:
        return _tiles(config, vision, shape, text)
    if token is None:
        return {}
    if "image_grid_thw" in parameters:
        given, count = grid(vision, shape[0])
        if not _takes_rows(network, given):
            return {}
    else:
        given, count = _features(network, parameters, vision, shape)
    if not count:
        return {}
    ids = _sequence(config, token, shape[0], count, text)
    if "mm_token_type_ids" in parameters:
        given["mm_token_type_ids"] = (ids == token).int()
    return {"input_ids": ids, **given}


def picture_said(network: nn.Module, given: Mapping[str, Any]) -> str:
    """A sentence about the picture that each sequence holds, if one was made for it."""
    ids = given.get("input_ids")
    if not isinstance(ids, Tensor):
        return ""
    count = ids[0].tolist().count(image_token(network.config))
    height, width = _pixels(network, given)
    takes = f"{count:,} image tokens" if count > 1 else "one image token"
    return (
        f"Each sequence is one picture of {height:,} x {width:,} pixels, which takes {takes}, and a text of "
        f"{ids.shape[1] - count:,} tokens. A processor may scale or cut a picture otherwise; --input gives others."
    )


def _pixels(network: nn.Module, given: Mapping[str, Any]) -> tuple[int, int]:
    grid = given.get("image_grid_thw")
    if grid is None:
        pictures = given["pixel_values"]
        shape = tuple(pictures.shape) if isinstance(pictures, Tensor) else pictures
        return shape[-2], shape[-1]
    vision = next(part for name in _VISION if (part := getattr(network.config, name, None)) is not None)
    patch = _side(vision.patch_size)
    return int(grid[0, 1]) * patch, int(grid[0, 2]) * patch


def _sequence(config: Any, token: int, batch: int, count: int, text: int) -> Tensor:
    """Image tokens, then a token that means nothing else."""
    taken = {value for name, value in config.to_dict().items() if isinstance(value, int) and "token" in name}
    plain = next(number for number in range(1, len(taken) + 2) if number not in taken)
    ids = torch.full((batch, count + text), plain, dtype=torch.int64)
    ids[:, :count] = token
    return ids


def grid(vision: Any, batch: int) -> tuple[Inputs, int]:
    """A picture as the rows of its patches, with the grid that they lie in; and its image tokens."""
    patch = _side(getattr(vision, "patch_size", None) or 0)
    merge = getattr(vision, "spatial_merge_size", None)
    channels = next((value for name in _CHANNELS if isinstance(value := getattr(vision, name, None), int)), 3)
    if not patch or not isinstance(merge, int):
        return {}, 0
    size = getattr(vision, "image_size", None)
    side = (size if isinstance(size, int) else PICTURE) // (patch * merge) * merge
    frames = getattr(vision, "temporal_patch_size", None) or 1
    grid = torch.tensor([[1, side, side]] * batch)
    rows = (batch * side * side, channels * frames * patch * patch)
    return {"pixel_values": rows, "image_grid_thw": grid}, (side // merge) ** 2


def _takes_rows(network: nn.Module, given: Inputs) -> bool:
    """Whether what embeds patches takes each as a row, and is no convolution over pictures."""
    columns = given["pixel_values"][1] if given else 0
    return any(
        module.in_features == columns
        if isinstance(module, nn.Linear)
        else isinstance(module, nn.Conv3d) and module.in_channels * math.prod(module.kernel_size) == columns
        for module in network.modules()
    )


_CHANNELS = ("in_channels", "in_chans", "num_channels")


def _side(size: Any) -> int:
    return size if isinstance(size, int) else size[-1]


def _tiles(config: Any, vision: Any, shape: tuple[int, ...], text: int) -> Inputs:
    """A picture of one tile, padded to as many as the network takes (Mllama); cross-attention reads it."""
    batch, *picture = shape
    tiles = vision.max_num_tiles
    mask = torch.zeros((batch, 1, tiles), dtype=torch.int64)
    mask[:, :, 0] = 1
    token = image_token(config)
    return {
        "input_ids": _sequence(config, 0 if token is None else token, batch, 1, text),
        "pixel_values": (batch, 1, tiles, *picture),
        "aspect_ratio_ids": torch.ones((batch, 1), dtype=torch.int64),
        "aspect_ratio_mask": mask,
        # Without it, what transformers attends to is cut to the text's length.
        "cross_attention_mask": mask[:, None].repeat(1, 1 + text, 1, 1),
    }


def _features(
    network: nn.Module, parameters: Mapping[str, Any], vision: Any, shape: tuple[int, ...]
) -> tuple[Inputs, int]:
    """One picture per sequence, in the first form that the network takes; and its image tokens."""
    config: Any = network.config
    latents = getattr(getattr(config, "perceiver_config", None), "resampler_n_latents", None)
    scale = getattr(config, "scale_factor", None) or 1
    patch = _side(getattr(vision, "patch_size", None) or 0)
    if "pixel_attention_mask" in parameters and patch:
        # These look for pictures of zeros alone, which are padding, and so need values.
        pictures = torch.ones((shape[0], 1, *shape[1:]))
        return {"pixel_values": pictures}, latents or (shape[-1] // patch) ** 2 // scale**2
    queries = getattr(config, "num_query_tokens", None)
    if queries:
        return {"pixel_values": shape}, queries
    merge = getattr(config, "spatial_merge_size", None)
    if "image_sizes" in parameters and isinstance(merge, int) and patch:
        height, width = (size // (patch * merge) for size in shape[-2:])
        return {"pixel_values": shape, "image_sizes": torch.tensor([shape[-2:]] * shape[0])}, height * width
    make = getattr(network, "get_image_features", None)
    taken = inspect.signature(make).parameters if make is not None else {}
    for pixels, others in _forms(taken, shape):
        count = _made(network, pixels, others)
        if count and count % shape[0] == 0:
            given: Inputs = {name: torch.tensor(value) for name, value in others.items()}
            return {"pixel_values": pixels, **given}, count // shape[0]
    return {}, 0


def _forms(
    parameters: Mapping[str, Any], shape: tuple[int, ...]
) -> Iterator[tuple[tuple[int, ...], dict[str, list[list[int]]]]]:
    sizes = {"image_sizes": [list(shape[-2:])] * shape[0]} if "image_sizes" in parameters else {}
    if not sizes:
        yield shape, {}
        return
    yield shape, sizes
    yield shape, {}
    for crops in range(1, 11):  # a picture and its crops, as many as its processor makes of this size
        yield (shape[0], crops, *shape[1:]), sizes


def _made(network: Any, pixels: tuple[int, ...], others: Mapping[str, Any]) -> int:
    """The number of features that a network makes of pictures; 0 where it fails."""
    try:
        with torch.device("meta"), torch.no_grad():
            made = network.get_image_features(pixel_values=torch.empty(pixels), **others)
    except Exception:  # whatever the network raises for this form: another one is tried, else text alone is given
        return 0
    found = getattr(made, "pooler_output", made)
    parts = found if isinstance(found, (list, tuple)) else [found]
    width = network.config.get_text_config().hidden_size
    if not all(isinstance(part, Tensor) and part.shape[-1:] == (width,) for part in parts):
        return 0
    return sum(math.prod(part.shape[:-1]) for part in parts)
