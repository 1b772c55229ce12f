"""The one rule by which a shape that leaves something out is completed.

A shape is shorthand if it stands for an input whose shape is known, and leaves out the batch, or all but one size.
Known are the shapes that the source was made for; of other networks the first input's, if the network begins with a
convolution. `3x224x224` then gets a batch of 1, and `96` the batch and channels too. Any other shape is given in full
and stays as it is: whatever has a name, an element type, values or another number of sizes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from archlab.errors import InputError
from archlab.networks.members import modules
from archlab.records import Shape


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it: `1x3x224x224`."""
    return "x".join(map(str, shape))


def completed(sizes: Shape, default: Shape, text: str) -> Shape:
    """A shape with the batch, and for a single number the channels, that were left out.

    Args:
        sizes: the shape as it was given.
        default: the input's known shape with the batch. Sizes of 0 are unknown: `beginning` tells rank and channels
            alone. Empty where nothing is known.
        text: what the user typed, for messages.

    Raises:
        InputError: a single number can't be completed, or the shape is none that a source of this shape takes.

    >>> completed((96,), (1, 3, 224, 224), "96"), completed((8, 8, 4), (1, 3, 0, 0), "8x8x4")
    ((1, 3, 96, 96), (8, 8, 4))
    """
    if not default:
        return sizes
    if len(sizes) == 1 and len(default) >= 3:
        return _square(sizes[0], default, text)
    if 0 in default:
        # Only the channels tell a picture without its batch from another input of as many sizes, boxes of 1x8x4 say.
        is_short = len(sizes) == len(default) - 1 and default[1] in (0, sizes[0])
        return (1, *sizes) if is_short else sizes
    if len(sizes) == len(default):
        return sizes
    if len(sizes) != len(default) - 1:
        raise InputError(
            f"the input {text!r} has {len(sizes)} sizes, expected {len(default)} as in {shape_text(default)} "
            f"(or {len(default) - 1} without the batch)"
        )
    if len(default) >= 3 and sizes[0] != default[1]:
        raise InputError(
            f"the input {text!r} has {sizes[0]} channels, expected {default[1]} as in {shape_text(default)}; if the "
            f"network can be built for other channels, there is an option for it (--option in_channels={sizes[0]})"
        )
    return (1, *sizes)


def _square(size: int, default: Shape, text: str) -> Shape:
    """A signal, square or cube of a size; where a source knows its frames (sizes before the last two), these stay."""
    if default[1] == 0:
        raise unknown(text)
    axes = len(default) - 2
    if 0 not in default:
        axes = min(2, axes)
    return (*default[: len(default) - axes], *[size] * axes)


def unknown(text: str) -> InputError:
    """The error where one number was given, and nothing tells what shape it is short for."""
    return InputError(
        f"the input {text!r} is one number, and it isn't known what shape the network takes: give all sizes with the "
        f"batch, as in 1x3x{text}x{text}, or an element type for a vector, as in {text}:float32 or {text}:int64"
    )


def beginning(network: nn.Module) -> Shape:
    """The shape of the first input with the batch, sizes of 0 for what isn't known; empty if no convolution is first.

    The first module with parameters of its own, in the order of registration, must be a convolution. Normalisations in
    front of it are passed over, since they keep the shape.

    >>> beginning(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 2)))
    (1, 3, 0, 0)
    >>> beginning(nn.Sequential(nn.Embedding(50, 8), nn.Conv1d(8, 6, 3)))
    ()
    """
    for module in modules(network):
        if isinstance(module, _ConvNd):
            return (1, module.in_channels, *[0] * len(module.kernel_size))
        is_leaf = bool(module._parameters) and not module._modules
        if is_leaf and not isinstance(module, (_NormBase, nn.GroupNorm)):
            return ()
    return ()
