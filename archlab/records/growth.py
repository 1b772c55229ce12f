"""How a network's tensors grow and shrink from its input to its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from archlab.records.display import Displayed, Shown
from archlab.records.trace import FEATURE_AXES, Shape


@dataclass(frozen=True, slots=True)
class Stage(Shown):
    """One block, or neighbouring layers that give the same shape, or a series of equal ones."""

    paths: tuple[str, ...]
    """The layers that it consists of. Of a series, each layer's copies follow each other: with 2 repeats
    `(blocks.0.norm, blocks.1.norm, blocks.0.relu, blocks.1.relu)`."""
    kinds: tuple[str, ...]
    shape: Shape
    """What comes out, without the batch."""
    parameters: int
    """Of all that it consists of, as the MACs are."""
    macs: int
    axes: tuple[str, ...] = ()
    """What each axis of the shape is: `channels` or `features`, `height`, `tokens`, `time`, ...; "" for one that isn't
    known. Empty in records of an older archlab: then the first is taken for channels."""
    repeats: int = 1
    """How many equal ones in a row it stands for."""
    parts: tuple[int, ...] = ()
    """Where one block ends in a concatenation over the channels: those of each part, in order. A dense block with 64
    channels going in and four layers of 32 has `(64, 32, 32, 32, 32)`."""

    @property
    def feature_axis(self) -> int | None:
        """The axis of channels or features, which the layer's weights make; None where there is none or none known."""
        if not self.axes:
            return 0 if self.shape else None
        return next((axis for axis, name in enumerate(self.axes) if name in FEATURE_AXES), None)

    @property
    def channels(self) -> int:
        """Channels of the maps, or features of each token or step; 0 where they aren't known."""
        axis = self.feature_axis
        return 0 if axis is None else self.shape[axis]

    @property
    def spatial(self) -> Shape:
        """The other axes: the map's, tokens, time."""
        axis = self.feature_axis
        return self.shape if axis is None else self.shape[:axis] + self.shape[axis + 1 :]

    @property
    def positions(self) -> tuple[str, ...]:
        """What the axes of `spatial` are; empty in records of an older archlab."""
        return tuple(name for name in self.axes if name not in FEATURE_AXES)

    @property
    def height(self) -> int | None:
        """The first axis of a map, in pixels; None where the result is none."""
        is_map = not self.axes or any(name in ("height", "depth", "length") for name in self.axes)
        return self.spatial[0] if is_map and self.spatial else None


@dataclass(frozen=True, slots=True)
class Growth(Displayed):
    """The stages of a network, in the order of execution."""

    SCHEMA: ClassVar[str] = "archlab.growth/1"

    network: str
    inputs: tuple[Shape, ...]
    stages: tuple[Stage, ...]
