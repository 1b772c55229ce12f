"""What a store holds."""

from __future__ import annotations

from dataclasses import dataclass

from archlab.records.comparison import Comparison
from archlab.records.display import Shown
from archlab.records.run import Run


@dataclass(frozen=True, slots=True)
class Contents(Shown):
    """The runs and comparisons of a store, each the oldest first."""

    path: str
    runs: tuple[Run, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
