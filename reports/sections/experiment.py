"""What came of the runs: curves, final accuracy, paired differences, BatchNorm over training."""

from __future__ import annotations

from archlab.records import NormRecording, Run
from archlab.reports.chart import Panel
from archlab.reports.charts.normalisation import normalisation_panel
from archlab.reports.charts.outcome import accuracy_chart, difference_panel
from archlab.reports.charts.training import training_panel
from archlab.reports.material import Experiment, Material
from archlab.reports.section import Section, render

RECORDED_RUNS = 3
"""Recordings on a page: the first seed's of each variant, up to this many."""


def experiment_section(experiment: Experiment, material: Material, anchor: str) -> Section:
    """A comparison or a set of runs, as far as there is something to show."""
    parts = []
    if any(experiment.variants.values()):
        panel = training_panel(experiment, material, f"{anchor}-training")
        parts.append(_part(f"{anchor}-training", "Training", "training.html", panel))
    comparison = experiment.comparison
    if comparison is not None and comparison.variants:
        outcome = Panel(f"{anchor}-outcome", (accuracy_chart(comparison),))
        parts.append(_part(f"{anchor}-outcome", "Test accuracy", "outcome.html", outcome))
        differences = difference_panel(comparison, f"{anchor}-differences")
        if differences is not None:
            part = _part(
                f"{anchor}-differences", "Paired differences", "differences.html", differences, comparison=comparison
            )
            parts.append(part)
    recordings = _recordings(experiment, material)
    if recordings:
        norms = normalisation_panel(recordings, f"{anchor}-norm")
        parts.append(_part(f"{anchor}-norm", "BatchNorm over training", "normalisation.html", norms))
    body = render("experiment.html", experiment=experiment, problems=material.problems)
    return Section(anchor, experiment.title, body, parts=tuple(parts))


def _part(anchor: str, title: str, template: str, panel: Panel, **values: object) -> Section:
    return Section(anchor, title, render(template, panel=panel, **values), (panel,))


def _recordings(experiment: Experiment, material: Material) -> dict[str, tuple[Run, NormRecording]]:
    """The recording of each variant's first recorded seed."""
    found: dict[str, tuple[Run, NormRecording]] = {}
    for variant, runs in experiment.variants.items():
        for run in runs:
            recording = material.recording(run)
            if recording is not None and recording.layers and len(recording.steps):
                found[f"{variant}, seed {run.config.seed}"] = (run, recording)
                break
        if len(found) == RECORDED_RUNS:
            break
    return found
