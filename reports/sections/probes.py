"""What was probed: layers and the loss while the networks trained, and the loss around their trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from archlab.records import Probes
from archlab.reports.charts.layers import layers_panel
from archlab.reports.charts.probing import landscape_panel, smoothness_panel
from archlab.reports.charts.similarity import correlation_panel, similarity_panel
from archlab.reports.material import Experiment, Material
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
    if layers:
        parts.append(chart_section("Signals by depth", layers_panel(layers, f"{anchor}-layers", places)))
    if similarity:
        panel = similarity_panel(similarity, f"{anchor}-similarity", alike)
        parts.append(chart_section("Similarity of layers", panel))
    if correlation:
        parts.append(
            chart_section("Gradients at near images", correlation_panel(correlation, f"{anchor}-correlation", places))
        )
    if smoothness:
        parts.append(
            chart_section("Smoothness of the loss", smoothness_panel(smoothness, f"{anchor}-smoothness", places))
        )
    if landscapes:
        parts.append(chart_section("Loss landscape", landscape_panel(landscapes, f"{anchor}-landscape")))
    return parts


def _of_layers(probes: Probes) -> Probes | None:
    return probes if probes.signals or probes.rank or probes.shift else None


def _probed(found: Mapping[str, Mapping[int, Probed | None]]) -> dict[str, dict[int, Probed]]:
    """What is there of something that each run may have; variants that have none are left out."""
    there = {name: {seed: one for seed, one in runs.items() if one is not None} for name, runs in found.items()}
    return {name: runs for name, runs in there.items() if runs}
