"""The largest learning rates at which a network trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archlab.records.comparison import Difference, Estimate
from archlab.records.config import Value
from archlab.records.display import Displayed, Shown


@dataclass(frozen=True, slots=True)
class VariantRates(Shown):
    """One variant's largest learning rates that did not diverge."""

    name: str
    rates: tuple[float | None, ...]
    """One per seed, in the order of the search's seeds; None where all diverged, or a run failed."""
    log10: Estimate | None
    """Of their decimal logarithms; None where there is none."""
    above: int = 0
    """How many did not diverge at the highest rate that was tried, and count with it: theirs may be larger."""
    below: int = 0
    """How many diverged even at the lowest; they are in no mean."""
    failed: int = 0
    """How many have no rate since a run failed."""


@dataclass(frozen=True, slots=True)
class RateSearch(Displayed):
    """The largest learning rate of each variant and seed that does not diverge, and the paired ratios.

    The first variant is the baseline.
    """

    SCHEMA: ClassVar[str] = "archlab.max-lr/1"

    network: str
    dataset: str
    seeds: tuple[int, ...]
    grid: tuple[float, ...]
    """The rates that could be tried, the lowest first: what is found is one of them, and the next one diverged."""
    variants: tuple[VariantRates, ...]
    differences: tuple[Difference, ...] = ()
    """Of the decimal logarithms, variant - baseline: 10 to their power is a ratio."""
    settings: dict[str, Value] = field(default_factory=dict)
    """What all runs share."""
    command: str = ""
