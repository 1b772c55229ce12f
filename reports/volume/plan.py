"""A picture as rectangles, lines and texts with their places, before it is written as SVG."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from archlab.reports.volume.scale import Scale
from archlab.reports.volume.tensors import Tensor

Point = tuple[float, float]
LETTER, SMALL_LETTER = 7.0, 6.5
"""Widths of a letter in the sizes that labels are written in."""


@dataclass(frozen=True, slots=True)
class Block:
    """A tensor in its place."""

    tensor: Tensor
    x: float
    """Of its front's left edge."""
    y: float
    """Of its front's upper edge."""
    width: float
    height: float
    depth: float

    @property
    def right(self) -> float:
        """The end of its side."""
        return self.x + self.width + self.depth

    @property
    def top(self) -> float:
        """The highest point of its lid."""
        return self.y - self.depth

    @property
    def lid(self) -> Point:
        """The middle of its lid."""
        return self.x + (self.width + self.depth) / 2, self.y - self.depth / 2

    @property
    def bottom(self) -> Point:
        """The middle of its front's lower edge."""
        return self.x + self.width / 2, self.y + self.height

    @property
    def side(self) -> Point:
        """The middle of its right side."""
        return self.x + self.width + self.depth / 2, self.y + self.height / 2 - self.depth / 2

    @property
    def entry(self) -> Point:
        """The middle of its front's left edge."""
        return self.x, self.y + self.height / 2


@dataclass(frozen=True, slots=True)
class Wire:
    """An arrow along some corners."""

    corners: tuple[Point, ...]
    skip: bool
    """Whether it goes past blocks that lie on another way to the same place."""


@dataclass(frozen=True, slots=True)
class Label:
    """A text, by its base line."""

    x: float
    y: float
    text: str
    style: Literal["size", "name", "map", "heading", "times"]
    anchor: Literal["start", "middle", "end"] = "middle"


@dataclass(slots=True)
class Plan:
    """What is drawn of one network, or of several below each other."""

    blocks: list[Block] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    rules: list[tuple[Point, Point]] = field(default_factory=list)
    """Thin lines: brackets of the axis, levels."""
    width: float = 0.0
    height: float = 0.0

    def add(self, other: Plan, down: float) -> None:
        """Put another plan below this one."""
        self.blocks += [Block(b.tensor, b.x, b.y + down, b.width, b.height, b.depth) for b in other.blocks]
        self.wires += [Wire(tuple((x, y + down) for x, y in w.corners), w.skip) for w in other.wires]
        self.labels += [Label(t.x, t.y + down, t.text, t.style, t.anchor) for t in other.labels]
        self.rules += [((a, b + down), (c, d + down)) for (a, b), (c, d) in other.rules]
        self.width, self.height = max(self.width, other.width), max(self.height, other.height + down)


def block(tensor: Tensor, scale: Scale, x: float, middle: float) -> Block:
    """A tensor whose front is centred on a height."""
    height = scale.height(tensor)
    return Block(tensor, x, middle - height / 2, scale.width(tensor), height, scale.depth(tensor))


def written(channels: int) -> str:
    """A number of channels, short enough to stand below a block."""
    return f"{channels:,}"


def label_width(tensor: Tensor) -> float:
    """The room that its number of channels takes, with some beside it."""
    return LETTER * len(written(tensor.channels)) + 3


def map_text(tensor: Tensor) -> str:
    """What its positions are: `24 × 24`, `197 tokens`, `vector`.

    >>> map_text(Tensor(0, "conv", "Conv2d", "", 64, (24, 24), ("height", "width")))
    '24 × 24'
    """
    sizes = " × ".join(f"{size:,}" for size in tensor.positions)
    if len(tensor.positions) != 1:
        return sizes or "vector"
    words = {"tokens": "tokens", "time": "steps", "length": "long"}
    return f"{sizes} {words.get(tensor.axes[0], 'positions')}"
