"""How large a tensor is drawn: one scale for a whole picture, whatever number of networks is in it.

Width is channels, height and depth are the map; tokens and steps are height alone. Both scales are linear. Where sizes
span so much that half of the blocks would be slivers, an axis goes by the square root of the size, and the key says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from archlab.reports.volume.tensors import Tensor

WIDTHS_PIXELS = 430.0
"""What the widths of the largest network's blocks sum to: with gaps and labels it then fits a page's width."""
HEIGHT_PIXELS = 160.0
"""The height of the largest map."""
MOST_PER_CHANNEL, MOST_PER_POSITION = 1.8, 6.0
LEAST_MEDIAN = 4.0
"""Pixels that the median block is wide, even where the picture grows beyond a page for it."""
LINEAR_SPAN = 64.0
"""The largest size, as a multiple of the median one, up to which an axis is linear."""
DEPTH_SHARE = 0.3
"""A position in depth, seen aslant, is drawn this much to the right and as much up."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Pixels for sizes: in proportion, or in proportion to their square root."""

    pixels: float
    """Of size 1."""
    root: bool = False

    def __call__(self, size: float) -> float:
        """The length of a size in pixels."""
        return self.pixels * (math.sqrt(size) if self.root else size)

    def size(self, pixels: float) -> float:
        """The size of a length."""
        return (pixels / self.pixels) ** (2 if self.root else 1)


@dataclass(frozen=True, slots=True)
class Scale:
    """The scales of a picture: of channels, and of positions in a map."""

    channels: Axis
    positions: Axis

    def width(self, tensor: Tensor) -> float:
        """Of the front."""
        return self.channels(tensor.channels)

    def height(self, tensor: Tensor) -> float:
        """Of the front: the map's, the number of tokens, or one position of a vector."""
        return self.positions(height_of(tensor))

    def depth(self, tensor: Tensor) -> float:
        """How far its side goes to the right, and up; 0 where it has one axis of positions or none."""
        return DEPTH_SHARE * self.positions(depth_of(tensor))


def height_of(tensor: Tensor) -> int:
    """Positions from its bottom to its top; of a volume (depth, height, width) the height."""
    return tensor.positions[-2] if len(tensor.positions) > 1 else math.prod(tensor.positions)


def depth_of(tensor: Tensor) -> int:
    """Positions from its front to its back: the width of its map."""
    return tensor.positions[-1] if len(tensor.positions) > 1 else 0


def scale_of(networks: Sequence[Sequence[Tensor]]) -> Scale:
    """The scale at which all networks of a picture are drawn."""
    every = [tensor for network in networks for tensor in network]
    channels = _axis([tensor.channels for tensor in every])
    longest = max(sum(channels(tensor.channels) for tensor in network) for network in networks)
    wide = min(WIDTHS_PIXELS / longest, MOST_PER_CHANNEL)
    middle = median(channels(tensor.channels) for tensor in every)
    wide = max(wide, min(LEAST_MEDIAN / middle, MOST_PER_CHANNEL))
    positions = _axis([max(height_of(tensor), depth_of(tensor)) for tensor in every])
    highest = max(positions(max(height_of(tensor), depth_of(tensor))) for tensor in every)
    high = min(HEIGHT_PIXELS / highest, MOST_PER_POSITION)
    return Scale(Axis(wide, channels.root), Axis(high, positions.root))


def _axis(sizes: Sequence[int]) -> Axis:
    return Axis(1.0, max(sizes) > LINEAR_SPAN * median(sizes))
