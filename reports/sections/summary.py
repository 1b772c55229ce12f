"""What was found, and what was run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from archlab.analysis.headline import Headline, headline, runs_headline
from archlab.analysis.metrics import METRICS
from archlab.analysis.variants import shared_items
from archlab.records import Comparison, Estimate, Examination, TrainingConfig
from archlab.records.settings import keyed
from archlab.records.settings import settings as declared
from archlab.reports.charts.outcome import outcome_chart
from archlab.reports.material import Experiment, Material
from archlab.reports.panel import Panel
from archlab.reports.strip import Series, Strip, strip
from archlab.reports.templating import Section, render
from archlab.reports.text import metric, moment

COLUMN_VARIANTS = 4
"""Up to so many variants, the table has one column per variant and one row per metric; else the other way round."""


@dataclass(frozen=True)
class MetricCell:
    """One metric of one variant: the mean, and what it rests on."""

    mean: str
    basis: str
    estimate: Estimate | None = None


NO_MEASUREMENT = MetricCell("–", "")


@dataclass(frozen=True)
class ExperimentSummary:
    """One experiment as the summary tells it."""

    title: str
    anchor: str
    headline: Headline | None
    outcome: Panel | None
    """The picture of what every run ended at."""
    findings: tuple[str, ...]
    facts: Mapping[str, str]
    metrics: tuple[str, ...]
    """Titles of the metrics that some variant has."""
    variants: tuple[str, ...]
    places: tuple[int, ...]
    """Of the variants among the page's colours."""
    cells: tuple[tuple[MetricCell, ...], ...]
    """One row per metric, one column per variant."""
    upright: bool
    """Whether the table is written so, and not turned."""
    strips: tuple[Strip | None, ...]
    """A picture for each row of the table: of its metric in all variants, or of the first metric in its variant."""
    unfinished: tuple[str, ...]
    examination: Examination


def summary_section(material: Material, anchors: Mapping[int, str], examinations: Sequence[Examination]) -> Section:
    """The findings in sentences, the worst verdicts, the metrics of each variant, and what was run."""
    summaries = [
        _summary(experiment, anchors[place], examinations[place])
        for place, experiment in enumerate(material.experiments)
    ]
    body = render(
        "summary.html",
        summaries=summaries,
        traces=material.traces,
        profiles=material.profiles,
        problems=material.problems,
    )
    panels = tuple(summary.outcome for summary in summaries if summary.outcome is not None)
    return Section("summary", "Summary", body, panels)


def _summary(experiment: Experiment, anchor: str, examination: Examination) -> ExperimentSummary:
    comparison = experiment.comparison
    outcome = outcome_chart(comparison) if comparison else None
    found = _compared(comparison) if comparison else _measured(experiment)
    names = dict.fromkeys(one.name for one in METRICS)
    names |= dict.fromkeys(name for cells in found.values() for name in cells)
    shown = [name for name in names if any(name in cells for cells in found.values())]
    cells = tuple(tuple(found[name].get(one, NO_MEASUREMENT) for name in found) for one in shown)
    upright = len(found) <= COLUMN_VARIANTS
    unfinished = tuple(
        f"{run.key} is {run.status}" + (f": {run.error}" if run.error else "")
        for run in experiment.runs
        if run.status != "finished"
    )
    return ExperimentSummary(
        title=experiment.title,
        anchor=anchor,
        headline=headline(comparison) if comparison else runs_headline(experiment.runs),
        outcome=Panel(f"{anchor}-outcome", (outcome,)) if outcome else None,
        findings=comparison.findings if comparison else (),
        facts=facts(experiment),
        metrics=tuple(metric(name).titled("test_accuracy_running" in shown) for name in shown),
        variants=tuple(found),
        cells=cells,
        upright=upright,
        places=tuple(experiment.places[name] for name in found),
        strips=_strips(dict(zip(shown, cells, strict=True)), [experiment.places[name] for name in found], upright),
        unfinished=() if comparison else unfinished,
        examination=examination,
    )


def _strips(
    cells: Mapping[str, tuple[MetricCell, ...]], places: Sequence[int], upright: bool
) -> tuple[Strip | None, ...]:
    """Pictures of the metrics, of which running and precise ones share a scale; or of each variant's first metric."""
    rows = {
        name: [_series(place, cell) for place, cell in zip(places, row, strict=True) if cell.estimate]
        for name, row in cells.items()
    }
    if all(len(row) == 1 and len(row[0].values) < 2 for row in rows.values()):
        return (None,) * len(rows)  # a single run has nothing beside it
    scales: dict[str, list[float]] = {}
    for name, row in rows.items():
        scales.setdefault(_scale(name), []).extend(bound for series in row for bound in series.extent)
    if upright or not rows:
        return tuple(strip(row, min(scales[_scale(name)]), max(scales[_scale(name)])) for name, row in rows.items())
    first = next(iter(rows))
    scale = [bound for series in rows[first] for bound in series.extent]
    drawn = {series.place: strip([series], min(scale), max(scale)) for series in rows[first]}
    return tuple(drawn.get(place) for place in places)


def _scale(name: str) -> str:
    return name.removesuffix("_running")


def _series(place: int, cell: MetricCell) -> Series:
    assert cell.estimate is not None
    return Series(place, cell.estimate.mean, cell.estimate.low, cell.estimate.high, cell.estimate.values)


def _compared(comparison: Comparison) -> dict[str, dict[str, MetricCell]]:
    return {
        variant.name: {name: _cell(name, estimate) for name, estimate in variant.metrics.items()}
        for variant in comparison.variants
    }


def _cell(name: str, estimate: Estimate) -> MetricCell:
    measured = metric(name)
    basis = ", ".join(filter(None, (measured.unit.interval(estimate), f"n = {estimate.n}")))
    return MetricCell(measured.written(estimate.mean), basis, estimate)


def _measured(experiment: Experiment) -> dict[str, dict[str, MetricCell]]:
    """Of loose runs: means with n, and no interval, since nobody paired or planned them."""
    found: dict[str, dict[str, MetricCell]] = {}
    for variant, runs in experiment.variants.items():
        ended = [run for run in runs if run.epochs]
        values = {one: [value for run in ended if (value := one.of(run)) is not None] for one in METRICS}
        found[variant] = {
            one.name: MetricCell(
                one.written(fmean(held)),
                _range(held, one.unit.number(min(held)), one.unit.number(max(held))),
                Estimate(len(held), fmean(held), None, None, tuple(held)),
            )
            for one, held in values.items()
            if held
        }
    return found


def _range(values: list[float], low: str, high: str) -> str:
    return f"{low} to {high}, n = {len(values)}" if len(values) > 1 else "n = 1"


def facts(experiment: Experiment) -> dict[str, str]:
    """What was run, as pairs of a name and a value."""
    comparison, runs = experiment.comparison, experiment.runs
    if comparison is None:
        settings = shared_items([run.deciding for run in runs])
        count, seeds = len(runs), tuple(sorted({run.config.seed for run in runs}))
        parameters = {name: found[0].parameters for name, found in experiment.variants.items() if found}
        last = {"started": moment(runs[0].created)}
    else:
        settings, count, seeds = comparison.settings, len(comparison.runs), comparison.seeds
        parameters = {one.name: one.parameters for one in comparison.variants}
        last = {"made": moment(comparison.created)}
    about = comparison or runs[0].config
    pairs = {
        "network": about.network,
        "data": about.dataset,
        "variants": "; ".join(variant.name for variant in comparison.variants) if comparison else "",
        "seeds": _listed(seeds),
        "runs": f"{count:,}" if count else "",
    }
    named = {name: value for name, value in settings.items() if name not in ("network", "dataset")}
    named = keyed(named, declared(TrainingConfig).values())  # without what is as it was before there was a choice
    pairs |= {name.replace("_", " "): str(value) for name, value in named.items()}
    pairs |= _parameters({name: held for name, held in parameters.items() if held}) | last
    return {name: value for name, value in pairs.items() if value}


def _parameters(counts: Mapping[str, int]) -> dict[str, str]:
    """The networks' parameters: of each of a few, or from the smallest to the largest."""
    distinct = sorted(set(counts.values()))
    if len(distinct) > 1 and len(counts) <= COLUMN_VARIANTS:
        return {f"parameters of {name}": f"{count:,}" for name, count in counts.items()}
    return {"parameters": " to ".join(f"{count:,}" for count in dict.fromkeys((*distinct[:1], *distinct[-1:])))}


def _listed(seeds: tuple[int, ...]) -> str:
    if len(seeds) > 4 and seeds == tuple(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))
