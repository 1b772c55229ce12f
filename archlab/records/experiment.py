"""A named experiment: a claim, how it is tried, what would refute it, and what came of trying."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.comparison import Comparison, Difference
from archlab.records.config import Value
from archlab.records.display import Displayed, Shown
from archlab.records.search import RateSearch

Direction = Literal["higher", "lower", "equal"]
Fulfilment = Literal["holds", "fails", "open"]
ClaimVerdict = Literal["comes out", "does not", "can't tell"]
Setting = Value | tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Expectation(Shown):
    """What a claim says of one difference: `variant` minus `baseline`, in the metric of its part."""

    variant: str
    """Name of a variant (`norm=none`), or of an interaction's second side (`norm=none minus norm=batch at lr=0.1`)."""
    direction: Direction
    baseline: str = ""
    """What it is held against; empty for a metric that is a difference itself (`running_error`), held against 0."""
    published: str = ""
    """What the source found there, in words and figures."""


@dataclass(frozen=True, slots=True)
class NamedNetwork(Shown):
    """One of several networks that a part compares."""

    network: str
    name: str = ""
    """What its variant is called; the network's source where it is empty."""
    options: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part(Shown):
    """One comparison of an experiment."""

    name: str
    expect: tuple[Expectation, ...]
    network: str = ""
    """Its source, of which `vary` makes the variants."""
    networks: tuple[NamedNetwork, ...] = ()
    """In place of `network` and `vary`: the variants are different networks, the first is the baseline."""
    options: dict[str, Value] = field(default_factory=dict)
    """Of the network, the same in all variants."""
    vary: dict[str, tuple[Value, ...]] = field(default_factory=dict)
    """Name of an option or a setting -> its values, the baseline's first; several are crossed."""
    metric: str = "test_accuracy"
    """What is expected something of: a comparison's metric, or one of `archlab.analysis.expectations.QUANTITIES`."""
    margin: float | None = None
    """Differences in it up to this count as equal, in its own unit (0.01 of an accuracy is one percentage point)."""
    rates: tuple[float, ...] = ()
    """For the metric `max_lr`: the lowest and the highest learning rate that is tried."""
    seeds: int | None = None
    """How many; by default the experiment's."""
    settings: dict[str, Value] = field(default_factory=dict)
    """Of its trainings, in place of the experiment's."""
    datasets: dict[str, dict[str, Value]] = field(default_factory=dict)
    """Name of a data set -> settings that replace the part's there."""


@dataclass(frozen=True, slots=True)
class Experiment(Displayed):
    """A claim of the literature and how to try it: data and text, from which comparisons are made."""

    SCHEMA: ClassVar[str] = "archlab.experiment/1"

    title: str
    claim: str
    source: str
    """Who says so, and where."""
    protocol: str
    """What is trained and measured, and how that differs from the source."""
    refuted: str
    """What would refute the claim."""
    look: str
    """What to look at on the page."""
    parts: tuple[Part, ...]
    name: str = ""
    """What `archlab experiment run` knows it by."""
    seeds: int = 6
    settings: dict[str, Value] = field(default_factory=dict)
    """What all trainings share."""
    datasets: dict[str, dict[str, Value]] = field(default_factory=dict)
    """Name of a data set -> settings that replace those there."""


@dataclass(frozen=True, slots=True)
class Outcome(Shown):
    """What came of one expectation."""

    part: str
    metric: str
    expectation: Expectation
    fulfilment: Fulfilment
    difference: Difference | None = None
    """None where a side has no run that ended well."""
    variant_mean: float | None = None
    """Over the seeds of the difference; of an interaction, the difference on its second side."""
    baseline_mean: float | None = None
    margin: float | None = None


@dataclass(frozen=True, slots=True)
class ExperimentResult(Displayed):
    """An experiment that was run: its comparisons, and the verdict on its claim."""

    SCHEMA: ClassVar[str] = "archlab.experiment-result/1"

    experiment: Experiment
    dataset: str
    verdict: ClaimVerdict
    outcomes: tuple[Outcome, ...]
    comparisons: tuple[Comparison, ...]
    """One for each part, but for those that search for learning rates."""
    searches: tuple[RateSearch, ...] = ()
    command: str = ""

    def conflict(self) -> str:
        """No outcome, or a comparison that is none."""
        if not self.outcomes:
            return "it has no outcomes"
        return next(filter(None, (comparison.conflict() for comparison in self.comparisons)), "")
