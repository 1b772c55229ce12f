"""What sets two networks apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Layer, Shape, Totals

Change = Literal["equal", "renamed", "changed", "added", "removed"]


@dataclass(frozen=True, slots=True)
class Side(Shown):
    """One of the two networks."""

    network: str
    inputs: tuple[Shape, ...]
    totals: Totals
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerDiff(Shown):
    """A layer of either network, or one of each that belong together."""

    change: Change
    """`renamed`: equal in everything but the path. `changed`: the fields in `fields` differ."""
    depth: int
    """By the tree of calls, from 1; of the second network where both have the layer."""
    before: Layer | None
    """In the first network; None where it was added."""
    after: Layer | None
    """In the second network; None where it was removed."""
    fields: tuple[str, ...] = ()
    """Names of `Layer`'s fields in which the two differ."""

    @property
    def layer(self) -> Layer:
        """The layer as the second network has it, or as the first had it."""
        layer = self.after or self.before
        assert layer is not None, "a difference is about a layer"
        return layer


@dataclass(frozen=True, slots=True)
class Diff(Displayed):
    """Two networks side by side, their trees aligned."""

    SCHEMA: ClassVar[str] = "archlab.diff/1"

    before: Side
    after: Side
    layers: tuple[LayerDiff, ...]
    """Parents before children, in the order of execution."""

    @property
    def is_empty(self) -> bool:
        """Whether the networks are equal in all that is compared, the names included."""
        return all(layer.change == "equal" for layer in self.layers)

    def count(self, change: Change) -> int:
        """How many layers changed in that way."""
        return sum(layer.change == change for layer in self.layers)
