"""What files of weights hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import ClassVar

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Shape


@dataclass(frozen=True, slots=True)
class StoredTensor(Shown):
    """One tensor of a checkpoint."""

    name: str
    shape: Shape
    dtype: str
    """As safetensors spell it: F32, BF16, I64."""
    bytes: int

    @property
    def elements(self) -> int:
        """Numbers that it holds; of a packed type (quantised weights in I32, say), each may hold several weights."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Checkpoint(Displayed):
    """The tensors of a checkpoint, from its headers alone."""

    SCHEMA: ClassVar[str] = "archlab.checkpoint/1"

    path: str
    files: tuple[str, ...]
    tensors: tuple[StoredTensor, ...]

    @property
    def elements(self) -> int:
        """Numbers in all tensors."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def by_dtype(self) -> dict[str, int]:
        """Element type -> numbers of it, the most first."""
        found: dict[str, int] = {}
        for tensor in self.tensors:
            found[tensor.dtype] = found.get(tensor.dtype, 0) + tensor.elements
        return dict(sorted(found.items(), key=lambda item: -item[1]))
