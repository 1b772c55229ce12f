"""What is wrong with an experiment's runs, the worst first, with what to do about it."""

from __future__ import annotations

from collections.abc import Collection

from archlab.analysis.verdicts import LAST_ROWS, examine
from archlab.records import Examination
from archlab.records.verdict import LEVELS
from archlab.reports.material import Experiment, Material
from archlab.reports.templating import Section, render

TITLES = {"problem": "Problems", "warning": "Warnings", "note": "Notes", "good": "Looked at, and in order"}


def examined(experiment: Experiment, material: Material) -> Examination:
    """The verdicts on an experiment's runs, those among them that failed before their first epoch."""
    runs = {run.key: run for run in experiment.runs}
    comparison = experiment.comparison
    if comparison is not None and material.store is not None:
        # The experiment's section says what is missing.
        others = material.store.available(key for key in comparison.runs if key not in runs)
        runs |= {run.key: run for run in others}
    if not runs:
        return Examination(())
    return examine(
        tuple(runs.values()),
        lambda key: material.recording(runs[key], LAST_ROWS),
        lambda key: material.curves(runs[key]),
        lambda key: material.probes(runs[key], "signals"),
        comparison=comparison,
    )


def verdicts_section(examination: Examination, anchor: str, layers: str = "", drawn: Collection[str] = ()) -> Section:
    """The verdicts by level.

    Args:
        examination: with at least one verdict.
        anchor: of the section.
        layers: anchor of the panel that shows BatchNorm layers.
        drawn: variants that have a run in it.
    """
    groups = [(level, TITLES[level], found) for level in LEVELS if (found := examination.at(level))]
    return Section(anchor, "Verdicts", render("verdicts.html", groups=groups, layers=layers, drawn=drawn))
