"""What another tool says about a trace."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown

Quantity = Literal["input shape", "output shape", "parameters", "macs"]


@dataclass(frozen=True, slots=True)
class Discrepancy(Shown):
    """One value that the other tool has otherwise."""

    path: str
    """The row; empty for the whole network."""
    kind: str
    quantity: Quantity
    ours: str
    """What archlab says: a number, or a shape as `1x10`."""
    theirs: str
    explanation: str = ""
    """Where the difference comes from, with the sums that make it up; empty if nobody knows."""


@dataclass(frozen=True, slots=True)
class Verification(Displayed):
    """A trace beside the numbers of another tool, row by row."""

    SCHEMA: ClassVar[str] = "archlab.verification/1"

    network: str
    witness: str
    """Name and version of the other tool."""
    compared: int
    """Values compared: shapes, parameters and MACs of all rows that both have, and the totals."""
    discrepancies: tuple[Discrepancy, ...] = ()
    notes: tuple[str, ...] = ()
    """Rows that only one of them has."""
    inputs: tuple[tuple[int, ...], ...] = field(default=())

    @property
    def unexplained(self) -> tuple[Discrepancy, ...]:
        """The discrepancies without an explanation."""
        return tuple(item for item in self.discrepancies if not item.explanation)
