"""What was found, and what was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from archlab.records import Run
from archlab.reports.charts.outcome import outcome_text
from archlab.reports.material import Experiment, Material
from archlab.reports.section import Section, render

METRICS = ("test_accuracy", "test_accuracy_running", "test_loss", "train_accuracy", "train_loss", "seconds")


@dataclass(frozen=True)
class Finding:
    """One experiment as the summary tells it."""

    title: str
    findings: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """Variant, and a text for each metric."""
    failed: str


def summary_section(material: Material) -> Section:
    """The findings in sentences, the metrics of each variant, and what was run."""
    body = render(
        "summary.html",
        experiments=[_finding(experiment) for experiment in material.experiments],
        traces=material.traces,
        single=len(material.experiments) == 1,
    )
    return Section("summary", "Summary", body)


def _finding(experiment: Experiment) -> Finding:
    comparison = experiment.comparison
    if comparison is None:
        found = {name: {metric: _of_runs(runs, metric) for metric in METRICS} for name, runs in experiment.variants.items()}
        failed = [run for run in experiment.runs if run.status != "finished"]
    else:
        found = {
            variant.name: {
                metric: outcome_text(variant.metrics[metric], metric) if metric in variant.metrics else ""
                for metric in (*METRICS, *(name for name in variant.metrics if name not in METRICS))
            }
            for variant in comparison.variants
        }
        failed = []
    metrics = tuple(dict.fromkeys(metric for row in found.values() for metric, text in row.items() if text))
    return Finding(
        title=experiment.title,
        findings=comparison.findings if comparison else (),
        facts=tuple(facts(experiment).items()),
        metrics=metrics,
        rows=tuple((name, tuple(row.get(metric) or "–" for metric in metrics)) for name, row in found.items()),
        failed=_failures(experiment, failed),
    )


def _of_runs(runs: tuple[Run, ...], metric: str) -> str:
    from archlab.reports.text import quantity

    values = [run.metric(metric) for run in runs]
    shown = [quantity(metric, value) for value in values if value is not None]
    return ", ".join(shown[:6]) + (" …" if len(shown) > 6 else "")


def _failures(experiment: Experiment, failed: list[Run]) -> str:
    if experiment.comparison is not None:
        counts = {variant.name: variant.failed for variant in experiment.comparison.variants if variant.failed}
        return "; ".join(f"{number} of {name}" for name, number in counts.items())
    return "; ".join(f"{run.key} ({run.status})" for run in failed)


def facts(experiment: Experiment) -> Mapping[str, str]:
    """What was run, as pairs of a name and a value."""
    comparison = experiment.comparison
    runs = experiment.runs
    pairs = {}
    if comparison is not None:
        pairs = {"network": comparison.network, "data": comparison.dataset, "variants": ", ".join(v.name for v in comparison.variants)}
        pairs["seeds"] = ", ".join(map(str, comparison.seeds))
        pairs |= {name.replace("_", " "): str(value) for name, value in comparison.settings.items()}
        pairs["made"] = comparison.created
    elif runs:
        config = runs[0].config
        pairs = {
            "network": config.network,
            "data": config.dataset,
            "runs": str(len(runs)),
            "seeds": ", ".join(map(str, sorted({run.config.seed for run in runs}))),
            "epochs": str(config.epochs),
            "batch size": str(config.batch_size),
            "learning rate": str(config.learning_rate),
            "parameters": f"{runs[0].parameters:,}" if runs[0].parameters else "",
        }
    return {name: value for name, value in pairs.items() if value}
