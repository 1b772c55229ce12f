"""What came of the runs: curves, final accuracy, paired differences, verdicts, BatchNorm over training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from archlab.analysis.claims import family
from archlab.analysis.findings import margin_text
from archlab.records import Examination, NormRecording, Run
from archlab.reports.charts.differences import difference_panel
from archlab.reports.charts.normalisation import normalisation_panel
from archlab.reports.charts.sweep import sweep_panel
from archlab.reports.charts.training import training_panel
from archlab.reports.material import Experiment, Material
from archlab.reports.sections.probes import probe_sections
from archlab.reports.sections.verdicts import verdicts_section
from archlab.reports.templating import Section, chart_section, render
from archlab.reports.text import metric

RECORDED_RUNS = 3
"""Recordings on a page: the first seed's of each variant, up to this many."""


def experiment_section(experiment: Experiment, material: Material, anchor: str, examination: Examination) -> Section:
    """A comparison or a set of runs, as far as there is something to show."""
    parts = []
    recordings = _recordings(experiment, material)
    if any(run.epochs for run in experiment.runs):
        parts.append(chart_section("Training", training_panel(experiment, material.curves, f"{anchor}-training")))
    comparison = experiment.comparison
    if comparison is not None:
        sweep = sweep_panel(comparison, f"{anchor}-sweep")
        if sweep is not None:
            parts.append(chart_section("What was varied", sweep))
        differences = difference_panel(comparison, f"{anchor}-differences")
        if differences is not None:
            shown = [(difference, False) for difference in comparison.differences]
            shown += [(interaction, True) for interaction in comparison.interactions]
            rows = [(difference, metric(difference.metric), interacts) for difference, interacts in shown]
            told: dict[str, object] = {
                "has_running": comparison.has_running,
                "rows": rows,
                "family": family(comparison),
                "margin": margin_text(comparison),
            }
            parts.append(chart_section("Paired differences", differences, "differences.html", **told))
    if examination.verdicts:
        drawn = [run.config.label for run, _ in recordings.values()]
        parts.append(verdicts_section(examination, f"{anchor}-verdicts", f"{anchor}-norm", drawn))
    parts += probe_sections(experiment, material, anchor)
    if recordings:
        panel = normalisation_panel(recordings, f"{anchor}-norm")
        parts.append(chart_section("BatchNorm over training", replace(panel, notes=(_shown(recordings), *panel.notes))))
    body = render("experiment.html", experiment=experiment, drawn=any(part.panels for part in parts))
    return Section(anchor, experiment.title, body, parts=tuple(parts))


def _shown(recordings: Mapping[str, tuple[Run, NormRecording]]) -> str:
    named = "; ".join(recordings)
    most = f", of {RECORDED_RUNS} variants at most" if len(recordings) == RECORDED_RUNS else ""
    return f"Of each variant the first seed that was recorded can be chosen{most}: {named}."


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
