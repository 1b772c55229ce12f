"""What several runs say when they are held side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from archlab.records.config import Value
from archlab.records.display import Displayed


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over seeds, with its 95 % interval. The bounds are None where n is too small to give any."""

    n: int
    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...] = ()
    """One value per seed, in the order of the comparison's seeds."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The paired difference variant - baseline over the seeds both have, with its 95 % interval."""

    n: int
    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided, by sign-flip permutation; None for n < 2."""
    correlation: float | None
    """Between the two sides over the seeds: what the pairing achieved; None where a side doesn't vary."""
    metric: str = ""
    baseline: str = ""
    variant: str = ""
    values: tuple[float, ...] = ()
    """One difference per seed."""


@dataclass(frozen=True, slots=True)
class VariantResult:
    """One variant's runs, condensed."""

    name: str
    metrics: dict[str, Estimate]
    options: dict[str, Value] = field(default_factory=dict)
    """The settings that make it this variant."""
    failed: int = 0
    """Runs that broke off, and are in no estimate."""
    seeds: tuple[int, ...] = ()
    """Seeds of the runs that are in the estimates, in the order of their values."""
    parameters: int = 0
    """Of the network, in this variant."""
    diverged: int = 0
    """Runs whose loss left the bound (`archlab.training.divergence`): a result, which is in no estimate."""
    censored: int = 0
    """Runs in the estimates that ended before they reached the target (`TrainingConfig.until`)."""


@dataclass(frozen=True, slots=True)
class Comparison(Displayed):
    """Runs of several variants with the same seeds, and the paired differences between them.

    The first variant is the baseline.
    """

    SCHEMA: ClassVar[str] = "archlab.comparison/1"

    network: str
    dataset: str
    seeds: tuple[int, ...]
    variants: tuple[VariantResult, ...]
    differences: tuple[Difference, ...]
    findings: tuple[str, ...] = ()
    """Sentences in plain words that claim no more than the intervals carry."""
    key: str = ""
    """Name in the store."""
    runs: tuple[str, ...] = ()
    """Keys of the runs, variant by variant and seed by seed."""
    settings: dict[str, Value] = field(default_factory=dict)
    """What all variants share: epochs, batch size, learning rate."""
    environment: dict[str, Value] = field(default_factory=dict)
    command: str = ""
    created: str = ""
