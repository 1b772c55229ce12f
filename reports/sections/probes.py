"""What was probed: layers and the loss while the networks trained, and the loss around their trained weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from archlab.analysis.chance import has_learnt
from archlab.records import Probes
from archlab.reports.charts.layers import layers_panel
from archlab.reports.charts.probing import landscape_panel, smoothness_panel
from archlab.reports.charts.similarity import correlation_panel, similarity_panel
from archlab.reports.material import Experiment, Material
from archlab.reports.panel import Panel
from archlab.reports.templating import Section, chart_section

Probed = TypeVar("Probed")


def probe_sections(experiment: Experiment, material: Material, anchor: str) -> list[Section]:
    """A section of each kind of probe that some run of the experiment had."""
    found: dict[str, dict[int, Probes]] = {}
    for variant, runs in experiment.variants.items():
        for run in runs:
            probes = material.probes(run)
            if probes is not None:
                found.setdefault(variant, {})[run.config.seed] = probes
    layers = _probed({name: {seed: _of_layers(one) for seed, one in runs.items()} for name, runs in found.items()})
    similarity = _probed({name: {seed: one.similarity for seed, one in runs.items()} for name, runs in found.items()})
    correlation = _probed({name: {seed: one.correlation for seed, one in runs.items()} for name, runs in found.items()})
    smoothness = _probed({name: {seed: one.smoothness for seed, one in runs.items()} for name, runs in found.items()})
    landscapes = _probed({name: {seed: one.landscape for seed, one in runs.items()} for name, runs in found.items()})
    samples = {name: {run.config.train_samples for run in runs} for name, runs in experiment.variants.items()}
    alike = [name for name in similarity if samples[name] == samples[next(iter(similarity))]]
    parts, places = [], experiment.places
    smoothness, flat = _off_plateau(smoothness, experiment)
    landscapes, flat_landscapes = _off_plateau(landscapes, experiment)
    if layers:
        parts.append(chart_section("Signals by depth", layers_panel(layers, f"{anchor}-layers", places)))
    if similarity:
        panel = similarity_panel(similarity, f"{anchor}-similarity", alike)
        parts.append(chart_section("Similarity of layers", panel))
    if correlation:
        parts.append(
            chart_section("Gradients at near images", correlation_panel(correlation, f"{anchor}-correlation", places))
        )
    if smoothness or flat:
        bands = smoothness_panel(smoothness, f"{anchor}-smoothness", places) if smoothness else None
        parts.append(_with_plateaus("Smoothness of the loss", f"{anchor}-smoothness", bands, flat))
    if landscapes or flat_landscapes:
        around = landscape_panel(landscapes, f"{anchor}-landscape") if landscapes else None
        parts.append(_with_plateaus("Loss landscape", f"{anchor}-landscape", around, flat_landscapes))
    return parts


def _off_plateau(
    found: dict[str, dict[int, Probed]], experiment: Experiment
) -> tuple[dict[str, dict[int, Probed]], list[str]]:
    """Those of which some run is above chance at its end, and the names of those that never left their plateau.

    Where a loss is flat, everything along it is smooth, which says nothing about what else the network has.
    """
    flat = [name for name in found if all(has_learnt(run) is False for run in experiment.variants[name])]
    return {name: runs for name, runs in found.items() if name not in flat}, flat


def _with_plateaus(title: str, anchor: str, panel: Panel | None, flat: Sequence[str]) -> Section:
    """The section of a probe of the loss, which names the variants that are not drawn."""
    if flat:
        chance = (
            f"{', '.join(flat)}: not drawn, since {'it' if len(flat) == 1 else 'they'} never left the plateau of the "
            "loss of guessing and ended at chance. There the loss is flat in every direction, which is no sign of a "
            "smooth one: train longer, or with another learning rate, until it learns."
        )
        panel = replace(panel or Panel(anchor, ()), notes=(chance, *(panel.notes if panel else ())))
    assert panel is not None
    return chart_section(title, panel)


def _of_layers(probes: Probes) -> Probes | None:
    """The probes, if they looked at the layers more than at the end, as every training does: that is no course."""
    once = probes.signals is None or len(probes.signals.steps) == 1
    if not once or probes.rank or probes.shift:
        return probes
    return None


def _probed(found: Mapping[str, Mapping[int, Probed | None]]) -> dict[str, dict[int, Probed]]:
    """What is there of something that each run may have; variants that have none are left out."""
    there = {name: {seed: one for seed, one in runs.items() if one is not None} for name, runs in found.items()}
    return {name: runs for name, runs in there.items() if runs}
