"""Charts of runs: loss and accuracy over training, with an interval band for each variant."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archlab.analysis import curves
from archlab.analysis.chance import chance_of
from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.records import Run
from archlab.reports.charts.parts import HIDDEN_EDGE, band, bounds_of, chance_line, line, share_range, sizes_text
from archlab.reports.material import Experiment
from archlab.reports.panel import Chart, Color, Control, Panel, Smooth, Switch, band_shade, series_color
from archlab.reports.text import label

POINTS = 400
"""Points of a curve on the page; longer ones are thinned, their extremes kept."""
SEED_POINTS = 160
"""Points of a single seed's curve."""
MARKER_POINTS = 12
"""A curve of so many points or fewer has a marker at each."""
AXES = {"step": "optimiser step", "epoch": "epoch", "seconds": "training seconds (mean of the variant's runs)"}
UPPER_LIMITS = {"loss": math.inf, "accuracy": 1.0}
"""By metric: no value can be larger, and an interval ends there."""
SMOOTHING_WEIGHTS = {"0": "none", "0.6": "light (0.6)", "0.9": "strong (0.9)", "0.98": "very strong (0.98)"}
HEIGHT, LEGEND_ROW = 340, 24
"""Of a chart with two variants, and what two more add to its legend; in pixels."""
DASHED_ENTRY = line(EVALUATION, [None], [None], Color("muted"), dash="dash", hoverinfo="skip")
"""The legend's entry for all dashed lines."""
SMOOTHING = Control("smoothing", "Smoothing of training curves", "select", tuple(SMOOTHING_WEIGHTS.items()), "0")


def training_panel(experiment: Experiment, read: Callable[[Run], Mapping[str, Any] | None], name: str) -> Panel:
    """Loss and accuracy by step, epoch and second.

    Args:
        experiment: runs that have ended, or still go.
        read: gives a run's curves by step; None where there are none.
        name: of the panel.
    """
    variants = {variant: runs for variant, runs in experiment.variants.items() if runs}
    recorded = {variant: [read(run) for run in runs] for variant, runs in variants.items()}
    stepwise = any(curve is not None for found in recorded.values() for curve in found)
    charts, places = [], experiment.places
    chance = chance_of(run.config for run in experiment.runs)
    for metric, title in (("loss", "Training loss"), ("accuracy", "Training accuracy")):
        series = {
            variant: _train_series(runs, recorded[variant], f"train_{metric}") for variant, runs in variants.items()
        }
        kind = "Of each batch as it was trained on." if stepwise else "Mean over each epoch's batches."
        if _is_told(experiment, series):
            charts.append(
                _chart(f"train-{metric}", title, metric, series, kind, places, chance=chance, smooth=stepwise)
            )
    for metric, title in (("loss", "Test loss"), ("accuracy", "Test accuracy")):
        series = {variant: _epoch_series(runs, f"test_{metric}") for variant, runs in variants.items()}
        running = {variant: _epoch_series(runs, f"test_{metric}_running") for variant, runs in variants.items()}
        kind = f"After each epoch, with {PRECISE} where there is BatchNorm; dashed: in {EVALUATION}."
        if all(run.watched for run in experiment.runs):
            kind = "After each epoch, as the watched loop told it."
        if _is_told(experiment, series):
            charts.append(_chart(f"test-{metric}", title, metric, series, kind, places, chance=chance, running=running))
    controls = [
        Control(
            "x", "Horizontal axis", "select", (("step", "step"), ("epoch", "epoch"), ("seconds", "second")), "step"
        ),
        Control("scale", "Log axis for losses", "toggle", start="off"),
        Control("seeds", "Show single seeds", "toggle", start="off"),
    ]
    if stepwise:
        controls.append(SMOOTHING)
    notes = []
    longest = max((len(curve["step"]) for found in recorded.values() for curve in found if curve), default=0)
    if longest > POINTS:
        notes.append(
            f"Curves of {longest:,} steps are drawn with {POINTS} points ({SEED_POINTS} for single seeds); each "
            "stretch between them keeps its least and its greatest value."
        )
    return Panel(name, tuple(charts), tuple(controls), tuple(notes))


def _is_told(experiment: Experiment, series: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether there is something to draw, or may come: a watched loop that ended an epoch without it won't tell it."""
    import numpy as np

    ended = all(run.watched and run.epochs for run in experiment.runs)
    return not (experiment.runs and ended) or any(np.isfinite(one["values"]).any() for one in series.values())


def _train_series(runs: Sequence[Run], recorded: Sequence[Mapping[str, Any] | None], metric: str) -> dict[str, Any]:
    """Values by step where the store has them, else by epoch."""
    import numpy as np

    found = [(run, curve) for run, curve in zip(runs, recorded, strict=True) if curve is not None]
    if not found:
        return _epoch_series(runs, metric)
    values = curves.stacked([curve[metric] for _, curve in found])
    steps = np.asarray(max((curve["step"] for _, curve in found), key=len), dtype=np.int64)
    if len(found) == 1 and found[0][0].watched:  # which may have told it now and then
        told = np.isfinite(values[0])
        steps, values = steps[told], values[:, told]
    return _series([run for run, _ in found], steps, values)


def _epoch_series(runs: Sequence[Run], metric: str) -> dict[str, Any]:
    import numpy as np

    longest = max(runs, key=lambda run: len(run.epochs))
    steps = np.array([epoch.step for epoch in longest.epochs], dtype=np.int64)
    return _series(runs, steps, curves.stacked([[getattr(epoch, metric) for epoch in run.epochs] for run in runs]))


def _series(runs: Sequence[Run], steps: Any, values: Any) -> dict[str, Any]:
    """The values with the three horizontal axes; `x` for the band, `seed_x` for single seeds."""
    import numpy as np

    reference = max(runs, key=lambda run: len(run.epochs))
    epoch_steps = np.array([0, *(epoch.step for epoch in reference.epochs)])
    times = curves.stacked([[0, *(epoch.seconds for epoch in run.epochs)] for run in runs])
    seconds = curves.extended(steps, epoch_steps, np.nanmean(times, axis=0))
    epochs = curves.extended(steps, epoch_steps, np.arange(len(epoch_steps)))
    return {"runs": runs, "values": values, "x": {"step": steps, "epoch": epochs, "seconds": seconds}}


def _axis(series: Mapping[str, Any], points: int) -> Switch:
    return Switch("x", {name: curves.thinned_steps(values, points) for name, values in series["x"].items()})


def _chart(
    name: str,
    title: str,
    metric: str,
    series: Mapping[str, Mapping[str, Any]],
    kind: str,
    places: Mapping[str, int],
    *,
    chance: float | None,
    running: Mapping[str, Mapping[str, Any]] | None = None,
    smooth: bool = False,
) -> Chart:
    import numpy as np

    traces: list[dict[str, Any]] = []
    most, shade = UPPER_LIMITS[metric], band_shade(len(series))
    for variant, one in series.items():
        traces += _variant_traces(variant, one, places[variant], most=most, shade=shade, smooth=smooth)
    for variant, one in (running or {}).items():
        if np.isfinite(one["values"]).any():
            place = places[variant]
            traces += _variant_traces(f"{variant}, {EVALUATION}", one, place, most=most, shade=shade, dash="dash")
    if any(trace.get("line", {}).get("dash") == "dash" for trace in traces):
        traces.append(DASHED_ENTRY)
    axis_titles = {
        weight: title.lower() + ("" if weight == "0" else f", smoothed with weight {weight}")
        for weight in SMOOTHING_WEIGHTS
    }
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": Switch("x", AXES)}},
        "yaxis": {"title": {"text": Switch("smoothing", axis_titles) if smooth else title.lower()}},
        "hovermode": "x unified",
    }
    if metric == "accuracy":
        layout["yaxis"] |= {"tickformat": ".0%", **share_range(chance)}
        layout |= chance_line(chance, "y")
    else:
        layout["yaxis"] |= {"type": Switch("scale", {"off": "linear", "on": "log"})}
    return Chart(
        name=name,
        title=title,
        description=f"{kind} {_seeds(series)}",
        data=traces,
        layout=layout,
        height=HEIGHT + LEGEND_ROW * ((len(series) - 1) // 2),
        state={"x": "step", "scale": "off", "seeds": "off", "smoothing": "0"},
    )


def _seeds(series: Mapping[str, Mapping[str, Any]]) -> str:
    """How many runs a line stands for."""
    counts = {variant: curves.run_counts(one["values"]) for variant, one in series.items()}
    sizes = {most for _, most in counts.values()}
    if sizes <= {0}:
        return "Nothing is measured yet."
    if sizes <= {0, 1}:
        return "One run per variant, so no interval."
    n = sizes_text({variant: most for variant, (_, most) in counts.items()})
    if any(least < most for least, most in counts.values()):
        n += "; thin and dotted where fewer have come"
    return f"Line: mean over seeds; band: its 95 % interval ({n})."


def _variant_traces(
    variant: str,
    series: Mapping[str, Any],
    place: int,
    *,
    most: float,
    shade: float,
    smooth: bool = False,
    dash: str = "solid",
) -> list[dict[str, Any]]:
    import numpy as np

    found = curves.band(series["values"], 0.0, most)
    whole, rest = _by_runs(series["values"], found.mean)
    low, mean, fewer, high = curves.thinned(np.stack([found.low, whole, rest, found.high], axis=1), POINTS).T
    name, x = label(variant), _axis(series, POINTS)
    base: dict[str, Any] = {"legendgroup": str(place), "hovertemplate": "%{y:.4g}"}

    def drawn(values: Any) -> Any:
        return Smooth(np.ascontiguousarray(values), "smoothing") if smooth else np.ascontiguousarray(values)

    edge = {"type": "scatter", "x": x, **base, **HIDDEN_EDGE}
    bounds = band(edge, bounds_of(name), drawn(low), drawn(high), series_color(place, shade))
    color, mode = series_color(place), "lines+markers" if len(series["x"]["step"]) <= MARKER_POINTS else "lines"
    own: dict[str, Any] = {"mode": mode, "showlegend": dash == "solid", "marker": {"size": 5, "color": color}}
    averages = [line(name, x, drawn(mean), color, dash=dash, **own, **base)]
    if found.n == 1:
        return averages
    if np.isfinite(fewer).any():
        hint = {**base, "showlegend": False, "hovertemplate": f"%{{y:.4g}}, fewer than {found.n} runs"}
        averages.append(line(f"{name}, fewer runs", x, drawn(fewer), color, 1, "dot", **hint))
    if dash != "solid":
        return [*bounds, *averages]
    base |= {"showlegend": False, "visible": Switch("seeds", {"off": False, "on": True})}
    thin = curves.thinned(series["values"].T, SEED_POINTS).T
    seed_x, shade_of_seed = _axis(series, SEED_POINTS), series_color(place, 0.55)
    seeds = [
        line(f"{name}, seed {run.config.seed}", seed_x, drawn(values), shade_of_seed, 1, **base)
        for run, values in zip(series["runs"], thin, strict=True)
    ]
    return [*bounds, *averages, *seeds]


def _by_runs(values: Any, mean: Any) -> tuple[Any, Any]:
    """The mean where all runs are in it that are in it anywhere, and from there on, where fewer are.

    Else a mean would jump where a run ends, and look as if the runs did.
    """
    import numpy as np

    counts = np.isfinite(values).sum(axis=0)
    few = counts < counts.max(initial=0)
    joint = few | np.append(few[1:], False) | np.insert(few[:-1], 0, False)
    return np.where(few, np.nan, mean), np.where(joint & few.any(), mean, np.nan)
