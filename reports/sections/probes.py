"""How smooth the loss was while the networks trained, and how it looks around their trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from archlab.records import Probes
from archlab.reports.charts.probing import landscape_panel, smoothness_panel
from archlab.reports.material import Experiment, Material
from archlab.reports.templating import Section, chart_section

Probed = TypeVar("Probed")


def probe_sections(experiment: Experiment, material: Material, anchor: str) -> list[Section]:
    """A section of smoothness and one of landscapes, each where some run of the experiment was probed so."""
    found: dict[str, dict[int, Probes]] = {}
    for variant, runs in experiment.variants.items():
        for run in runs:
            probes = material.probes(run)
            if probes is not None:
                found.setdefault(variant, {})[run.config.seed] = probes
    smoothness = _probed({name: {seed: one.smoothness for seed, one in runs.items()} for name, runs in found.items()})
    landscapes = _probed({name: {seed: one.landscape for seed, one in runs.items()} for name, runs in found.items()})
    parts = []
    if smoothness:
        parts.append(chart_section("Smoothness of the loss", smoothness_panel(smoothness, f"{anchor}-smoothness")))
    if landscapes:
        parts.append(chart_section("Loss landscape", landscape_panel(landscapes, f"{anchor}-landscape")))
    return parts


def _probed(found: Mapping[str, Mapping[int, Probed | None]]) -> dict[str, dict[int, Probed]]:
    """What is there of something that each run may have; variants that have none are left out."""
    there = {name: {seed: one for seed, one in runs.items() if one is not None} for name, runs in found.items()}
    return {name: runs for name, runs in there.items() if runs}
