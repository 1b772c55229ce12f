"""A run's recorded curves as tables for the terminal: loss and accuracy, and what its BatchNorm layers did.

*What drift is.* Over a layer's channels, how far the running statistics went from the first record to the last: of the
mean the root of the mean square, in standard deviations of the layer at the end; of the variance the factor by which it
grew or shrank, as its geometric mean.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archlab.analysis.curves import band, stacked
from archlab.tables.sparkline import sparkline
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    import numpy as np

    from archlab.records import NormRecording

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

CURVE_WIDTH = 32
"""Characters of a curve."""
SHOWN_LAYERS = 20
"""BatchNorm layers that are shown."""
CURVE_TITLES = {
    "train_loss": ("train loss", ".4f"),
    "train_accuracy": ("train accuracy", ".1%"),
    "learning_rate": ("learning rate", ".3g"),
}
"""The learning rate is shown where it changes."""


def curves_table(curves: Mapping[str, Array], *, plain: bool = False) -> Table:
    """One row per curve by step: its first and last value, and its course; `plain` draws in ASCII."""
    rows = []
    for name, (title, form) in CURVE_TITLES.items():
        values = _told(curves, name)
        if not values or (name == "learning_rate" and len(set(values)) == 1):
            continue
        rows.append(
            Row((title, format(values[0], form), sparkline(values, CURVE_WIDTH, plain=plain), format(values[-1], form)))
        )
    steps = len(curves["step"])
    return Table(
        columns=(
            Column("curve", ""),
            Column("first", "first", "right"),
            Column("course", f"{steps:,} steps"),
            Column("last", "last", "right"),
        ),
        rows=tuple(rows),
        title="By step, each batch as it was trained on",
    )


def courses_table(variants: Mapping[str, Sequence[Mapping[str, Array]]], *, plain: bool = False) -> Table:
    """One row per variant and curve: the course of the mean over its runs, those of a curve between the same bounds.

    Args:
        variants: name -> the curves by step of its runs.
        plain: draw in ASCII.
    """
    import numpy as np

    rows: list[Row] = []
    lengths = {len(curves["step"]) for runs in variants.values() for curves in runs}
    for name, (title, form) in CURVE_TITLES.items():
        if name == "learning_rate":
            continue
        means = {}
        for variant, runs in variants.items():
            means[variant] = band(stacked([curves[name] for curves in runs])).mean
        known = np.concatenate(list(means.values()))
        known = known[np.isfinite(known)]
        if not len(known):
            continue
        bounds = float(known.min()), float(known.max())
        low, high = (format(value, form) for value in bounds)
        rows.append(Row((f"{title}, {low} to {high}", None, None), emphasis="strong"))
        rows += [
            Row(
                (variant, len(variants[variant]), sparkline(mean.tolist(), CURVE_WIDTH, plain=plain, bounds=bounds)),
                depth=1,
            )
            for variant, mean in means.items()
        ]
    return Table(
        columns=(
            Column("variant", "", wraps=True),
            Column("n", "n", "right"),
            Column("course", f"{max(lengths):,} steps" if len(lengths) == 1 else "first to last step"),
        ),
        rows=tuple(rows),
        title="By step, mean over the runs, each batch as it was trained on",
    )


def _told(curves: Mapping[str, Array], name: str) -> list[float]:
    """The values of a curve, without the steps of which a watched training told none."""
    values: list[float] = curves[name].tolist() if name in curves else []
    return [value for value in values if not math.isnan(value)]


def norms_table(recording: NormRecording, *, plain: bool = False, title: str = "") -> Table:
    """One row per BatchNorm layer: how far its running statistics went, and the course of the variance's mean.

    Of many layers those whose means went furthest are shown.
    """
    moved = {path: drift(layer["running_mean"], layer["running_var"]) for path, layer in recording.layers.items()}
    furthest = sorted(moved, key=lambda path: -moved[path][0])[:SHOWN_LAYERS]
    rows = []
    for path, layer in recording.layers.items():
        if path not in furthest:
            continue
        mean, variance = moved[path]
        course = layer["running_var"].mean(axis=1).tolist()
        channels, drawn = layer["running_mean"].shape[1], sparkline(course, CURVE_WIDTH, plain=plain)
        rows.append(Row((path, channels, mean, variance, drawn)))
    return Table(
        columns=(
            Column("path", "BatchNorm", shrinks=True),
            Column("channels", "channels", "right"),
            Column("mean_drift", "mean moved", "right", ".2f"),
            Column("variance_drift", "variance x", "right", ".3g"),
            Column("course", "running variance"),
        ),
        rows=tuple(rows),
        title=title,
        footer=(
            *(
                [f"{len(rows)} of {len(moved):,} layers, those whose means moved most."]
                if len(rows) < len(moved)
                else []
            ),
            "mean moved: the running means, root mean square over channels, in standard deviations.",
            "variance x: the factor of the running variances, geometric mean over channels; the curve: their mean.",
        ),
    )


def drift(running_mean: Array, running_var: Array) -> tuple[float, float]:
    """How far the running mean went, in standard deviations, and the factor of the running variance.

    Args:
        running_mean: (steps, channels).
        running_var: (steps, channels).
    """
    import numpy as np

    smallest = 1e-12
    means, variances = np.asarray(running_mean, np.float64), np.maximum(np.asarray(running_var, np.float64), smallest)
    moved = np.sqrt(((means[-1] - means[0]) ** 2 / variances[-1]).mean())
    return float(moved), float(np.exp(np.log(variances[-1] / variances[0]).mean()))
