"""What a page is about: the records that were handed over, and what the store adds to them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from archlab.analysis.variants import runs_by_variant
from archlab.errors import InputError, StoreError
from archlab.records import Comparison, NormHealth, NormRecording, Probes, Profile, Run, Trace
from archlab.records.experiment import ExperimentResult
from archlab.reports import palette

if TYPE_CHECKING:
    from archlab.store import Store

Item = Trace | Profile | Run | Comparison | ExperimentResult | NormHealth
Record = TypeVar("Record", Trace, Profile, Comparison, ExperimentResult, NormHealth)
Held = TypeVar("Held")


@dataclass(frozen=True)
class Experiment:
    """Runs that belong together: those of a comparison, or loose ones of the same network and data."""

    title: str
    variants: Mapping[str, tuple[Run, ...]]
    """Runs by variant, the baseline first, seeds in order."""
    comparison: Comparison | None = None
    missing: int = 0
    """Runs that the comparison names and nobody has."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, variant by variant."""
        return tuple(run for runs in self.variants.values() for run in runs)

    @property
    def places(self) -> dict[str, int]:
        """Variant -> its place among the page's colours."""
        if self.comparison is not None:
            known = palette.places(self.comparison.variants)
            if known.keys() >= self.variants.keys():
                return known
        return palette.numbered(self.variants)

    @property
    def subject(self) -> str:
        """The network and its data, which the title names too."""
        about = self.comparison or self.runs[0].config
        return f"{about.network} on {about.dataset}"


@dataclass(frozen=True)
class Material:
    """Everything that one page shows."""

    traces: tuple[Trace, ...]
    experiments: tuple[Experiment, ...]
    profiles: tuple[Profile, ...] = ()
    results: tuple[ExperimentResult, ...] = ()
    """Named experiments, whose comparisons are among `experiments`."""
    healths: tuple[NormHealth, ...] = ()
    """Trained networks whose BatchNorm was examined."""
    store: Store | None = None
    command: str = ""
    problems: list[str] = field(default_factory=list)
    """What could not be read, in sentences."""

    def curves(self, run: Run) -> Mapping[str, Any] | None:
        """The run's curves by step from the store; None where there are none."""
        return self._held(lambda store: store.curves(run.key) or None)

    def recording(self, run: Run, last: int | None = None) -> NormRecording | None:
        """What the run's BatchNorm layers held, as `Store.recording` reads it; None where nothing was recorded."""
        return self._held(lambda store: store.recording(run.key, last))

    def probes(self, run: Run, *kinds: str) -> Probes | None:
        """What was probed of the run, or these fields of it, from the store; None where nothing was."""
        return self._held(lambda store: store.probes(run.key, *kinds))

    def _held(self, read: Callable[[Store], Held | None]) -> Held | None:
        """What the store holds; None without a store, and where it can't be read, which is noted."""
        try:
            return read(self.store) if self.store else None
        except (InputError, StoreError) as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return None


def gather(items: Sequence[Item], store: Store | None = None, command: str = "") -> Material:
    """The material of a page: traces, those of profiles behind them, comparisons, then runs that are in no comparison.

    The comparisons of named experiments come first.

    Raises:
        InputError: an item is none of the records that a page can show.
    """
    for item in items:
        if not isinstance(item, Item):
            raise InputError(
                "a page shows Trace, Profile, Run, Comparison, ExperimentResult and NormHealth records, got "
                f"{type(item).__name__}"
            )
    results = _unique(item for item in items if isinstance(item, ExperimentResult))
    named = [comparison for result in results for comparison in result.comparisons]
    comparisons = _unique([*named, *(item for item in items if isinstance(item, Comparison))])
    known = {item.key: item for item in items if isinstance(item, Run)}
    problems: list[str] = []
    if store:
        keys = dict.fromkeys(key for comparison in comparisons for key in comparison.runs if key not in known)
        known |= {run.key: run for run in store.available(keys)}
        from archlab.store import unreadable

        problems = unreadable(store, (key for key in keys if key not in known))
    claimed = {key for comparison in comparisons for key in comparison.runs}
    loose = [item for item in items if isinstance(item, Run) and item.key not in claimed]
    profiles = _unique(item for item in items if isinstance(item, Profile))
    traces = [*(item for item in items if isinstance(item, Trace)), *(profile.trace for profile in profiles)]
    return Material(
        traces=tuple(_unique(traces)),
        profiles=tuple(profiles),
        results=tuple(results),
        healths=tuple(_unique(item for item in items if isinstance(item, NormHealth))),
        experiments=_with_distinct_titles(
            [*(_compared(comparison, known) for comparison in comparisons), *_grouped(loose)]
        ),
        store=store,
        command=command,
        problems=problems,
    )


def _unique(items: Iterable[Record]) -> list[Record]:
    kept: list[Record] = []
    for item in items:
        if item not in kept:
            kept.append(item)
    return kept


def _with_distinct_titles(experiments: Sequence[Experiment]) -> tuple[Experiment, ...]:
    """The experiments; those of one title get what they compare behind it, and the time where that is the same too."""
    for detail in (_subject, _made):
        titles = [experiment.title for experiment in experiments]
        experiments = [
            replace(experiment, title=f"{experiment.title}{detail(experiment)}")
            if titles.count(experiment.title) > 1
            else experiment
            for experiment in experiments
        ]
    return tuple(experiments)


def _subject(experiment: Experiment) -> str:
    if experiment.comparison is None:
        return ": other runs"
    names = list(experiment.variants)
    return f": {' against '.join(names)}" if len(names) <= 3 else f": {len(names)} variants"


def _made(experiment: Experiment) -> str:
    return f", {experiment.comparison.created[:16].replace('T', ' ')}" if experiment.comparison else ""


def _compared(comparison: Comparison, known: Mapping[str, Run]) -> Experiment:
    named: dict[str, tuple[Run, ...]] = {variant.name: () for variant in comparison.variants}
    return Experiment(
        title=f"{comparison.network} on {comparison.dataset}",
        variants=named | runs_by_variant(known[key] for key in comparison.runs if key in known and known[key].epochs),
        comparison=comparison,
        missing=sum(key not in known for key in comparison.runs),
    )


def _grouped(runs: Sequence[Run]) -> list[Experiment]:
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.config.network, run.config.dataset), []).append(run)
    return [
        Experiment(f"{network} on {dataset}", runs_by_variant(members))
        for (network, dataset), members in groups.items()
    ]
