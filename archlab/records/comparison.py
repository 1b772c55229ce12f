"""What several runs say when they are held side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.config import Value
from archlab.records.display import Displayed, Shown

Conclusion = Literal["", "different", "equal", "unclear"]
"""What is claimed: a difference, one within the comparison's margin, or that these seeds can't tell. Empty: nothing."""


@dataclass(frozen=True, slots=True)
class Estimate(Shown):
    """A mean over seeds, with its 95 % interval. The bounds are None where n is too small to give any."""

    n: int
    mean: float
    low: float | None
    high: float | None
    values: tuple[float, ...] = ()
    """One value per seed, in the order of the comparison's seeds."""


@dataclass(frozen=True, slots=True)
class Difference(Shown):
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
    interval_p_value: float | None = None
    """The p value that belongs to the interval: below 0.05 exactly where it leaves out 0. It decides."""
    adjusted_p_value: float | None = None
    """The same, adjusted for all that the comparison asks; None where nothing is claimed of this metric."""
    conclusion: Conclusion = ""
    seeds_needed: int | None = None
    """About how many seeds would tell, where it is `unclear`; None where more than 1,000."""
    factor: str = ""
    """What differs between the two sides, where several things are varied: `norm`."""


@dataclass(frozen=True, slots=True)
class VariantResult(Shown):
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

    @property
    def ended(self) -> int:
        """Runs that came to an end, well or not."""
        return len(self.seeds) + self.diverged + self.failed

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
    """Of one factor at a time: each variant against that which has the factor's first value and is otherwise alike."""
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
    metric: str = "test_accuracy"
    """The primary metric: what is claimed is of it."""
    margin: float | None = None
    """Differences of the primary metric up to this count as equal; None where none is stated."""
    interactions: tuple[Difference, ...] = ()
    """Differences of differences in the primary metric; `baseline` and `variant` say of which, in words."""

    def conflict(self) -> str:
        """Differences between variants that are not there, or of a metric that one of them hasn't."""
        held = {variant.name: variant.metrics for variant in self.variants}
        for found in self.differences:
            for name in (found.baseline, found.variant):
                if name not in held:
                    return f"it has a difference of {name!r}, which is none of its variants"
                if found.metric not in held[name]:
                    return f"it has a difference in {found.metric!r}, of which {name!r} has no values"
        return ""

    @property
    def has_running(self) -> bool:
        """Whether a variant has BatchNorm, so that it was tested twice: with precise and with running statistics."""
        return any("test_accuracy_running" in variant.metrics for variant in self.variants)
