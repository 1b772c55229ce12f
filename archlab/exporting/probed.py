"""What was probed of a run as rows of one long table, and as scalars by step for tools that know nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from archlab.analysis.probing import effective_smoothness
from archlab.records import Landscape, LayerSeries, Probes

if TYPE_CHECKING:
    from archlab.records import GradientCorrelation, Similarity, Smoothness

LAYER_PROBES = ("signals", "branches", "shift", "rank")
LONGEST_NAME = 250
"""Characters of a scalar's name: MLflow takes no more."""


class ProbeRow(NamedTuple):
    """One number that a probe found."""

    step: int | None
    """Optimiser steps done; None for the landscape, which is of the trained weights."""
    probe: str
    """The field of `records.Probes`."""
    layer: str | None
    """Its path, as the records have it; None where the number is of the whole network."""
    other: str | None
    """The second of two layers that are compared."""
    quantity: str
    x: float | None
    """The rate of a step along the gradient, the distance of two images, or the place along the first direction."""
    y: float | None
    """The place along the landscape's second direction."""
    value: float


def probe_rows(probes: Probes | None) -> Iterator[ProbeRow]:
    """Every number that was probed, but those that a layer has at no step, and an alignment once for two layers.

    The kernels of `Similarity.last`, which are no numbers of layers, are left out.
    """
    if probes is None:
        return
    if probes.smoothness is not None:
        yield from _smoothness(probes.smoothness)
    for name in LAYER_PROBES:
        series = getattr(probes, name)
        if series is not None:
            yield from _of_layers(name, series)
    if probes.similarity is not None:
        yield from _alignments(probes.similarity)
    if probes.correlation is not None:
        yield from _correlations(probes.correlation)
    if probes.landscape is not None:
        yield from _landscape(probes.landscape)


def scalars(rows: Iterable[ProbeRow]) -> Iterator[tuple[str, int, float]]:
    """Name, step and value of what is one number by step; without alignments, losses by rate, and the landscape.

    A name is `probe.PROBE.QUANTITY`, followed by `/LAYER`, or by `/` and the distance. What MLflow refuses in a name
    is `_`; names that would be the same are told apart by a number.
    """
    names: dict[tuple[Any, ...], str] = {}
    taken: set[str] = set()
    for row in rows:
        if row.step is None or row.other is not None or (row.probe == "smoothness" and row.x is not None):
            continue
        what = (row.probe, row.quantity, row.layer, row.x)
        if what not in names:
            names[what] = _free(_name(row), taken)
        yield names[what], row.step, row.value


def _name(row: ProbeRow) -> str:
    """What a scalar is called; a network that is itself one layer has no path."""
    end = (row.layer or "") if row.x is None else f"distance {row.x:.3f}"
    return f"probe.{row.probe}.{row.quantity}" + ("/" + re.sub(r"[^\w.\- ]", "_", end) if end else "")


def _free(name: str, taken: set[str]) -> str:
    found, number = name[:LONGEST_NAME], 1
    while found in taken:
        number += 1
        end = f" {number}"
        found = name[: LONGEST_NAME - len(end)] + end
    taken.add(found)
    return found


def _smoothness(found: Smoothness) -> Iterator[ProbeRow]:
    rates = np.asarray(found.rates).tolist()
    columns = {"loss": found.loss, "gradient_norm": found.gradient, "effective_beta": effective_smoothness(found)}
    for place, step in enumerate(found.steps):
        for quantity, values in columns.items():
            yield ProbeRow(step, "smoothness", None, None, quantity, None, None, float(values[place]))
        for quantity, matrix in (("loss_along", found.losses), ("gradient_change", found.changes)):
            for rate, value in zip(rates, matrix[place].tolist(), strict=True):
                yield ProbeRow(step, "smoothness", None, None, quantity, rate, None, value)


def _of_layers(name: str, series: LayerSeries) -> Iterator[ProbeRow]:
    has = {
        quantity: np.count_nonzero(~np.isnan(values), axis=0).tolist() for quantity, values in series.quantities.items()
    }
    for place, step in enumerate(series.steps):
        for quantity, values in series.quantities.items():
            row = values[place].tolist()
            for layer, some, value in zip(series.layers, has[quantity], row, strict=True):
                if some:
                    yield ProbeRow(step, name, layer, None, quantity, None, None, value)


def _alignments(found: Similarity) -> Iterator[ProbeRow]:
    for step, matrix in zip(found.steps, found.alignment.tolist(), strict=True):
        for place, layer in enumerate(found.layers):
            for other, value in zip(found.layers[place + 1 :], matrix[place][place + 1 :], strict=True):
                yield ProbeRow(step, "similarity", layer, other, "alignment", None, None, value)


def _correlations(found: GradientCorrelation) -> Iterator[ProbeRow]:
    for step, row in zip(found.steps, found.correlation.tolist(), strict=True):
        for distance, value in zip(found.distances.tolist(), row, strict=True):
            yield ProbeRow(step, "correlation", None, None, "correlation", distance, None, value)


def _landscape(found: Landscape) -> Iterator[ProbeRow]:
    places = found.coordinates.tolist()
    for y, row in zip(places, found.losses.tolist(), strict=True):
        for x, value in zip(places, row, strict=True):
            yield ProbeRow(None, "landscape", None, None, "loss", x, y, value)
