"""How a network's tensors grow and shrink from its input to its output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from archlab.records.document import Document
from archlab.records.trace import Shape


@dataclass(frozen=True, slots=True)
class Stage:
    """One block, or neighbouring layers that give the same shape."""

    paths: tuple[str, ...]
    """The layers that it consists of."""
    kinds: tuple[str, ...]
    shape: Shape
    """What comes out, without the batch."""
    parameters: int
    macs: int

    @property
    def channels(self) -> int:
        """The first axis behind the batch; 0 for a result without any."""
        return self.shape[0] if self.shape else 0

    @property
    def spatial(self) -> Shape:
        """The axes behind the channels."""
        return self.shape[1:]


@dataclass(frozen=True, slots=True)
class Growth(Document):
    """The stages of a network, in the order of execution."""

    SCHEMA: ClassVar[str] = "archlab.growth/1"

    network: str
    inputs: tuple[Shape, ...]
    stages: tuple[Stage, ...]
