"""Charts of how far running statistics are from the precise ones, and what another momentum would have given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archlab.analysis import curves
from archlab.records import NormRecording, Run
from archlab.reports.charts.parts import STEP_AXIS, line
from archlab.reports.charts.recorded import Choices, Recorded, population_steps
from archlab.reports.panel import Chart, Color, State, series_color
from archlab.reports.text import label

MOMENTA = (0.003, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Weights of the newest batch, as torch's momentum."""
DEFINITIONS = (
    ("mean", "|running mean − precise mean| / precise standard deviation", "standard deviations"),
    ("variance", "|log(running variance / precise variance)|", "|log ratio|"),
)


def lag_charts(choices: Choices, state: State) -> list[Chart]:
    """The lag of mean and variance over the epochs, and against momentum where each batch was recorded."""
    if not any(view.recording.population for view in choices.views.values()):
        return []
    charts = [_over_epochs(choices, state, *definition) for definition in DEFINITIONS]
    if any(_is_complete(view) for view in choices.views.values()):
        charts.append(_against_momentum(choices, state))
    return charts


def latest_lag_chart(found: Mapping[str, tuple[Run, NormRecording]], places: Mapping[str, int]) -> Chart:
    """How far running statistics are off, over all layers of each variant's run, at each end of an epoch so far.

    Args:
        found: variant -> a run of it, and what its BatchNorm layers held.
        places: variant -> its place among the colours.
    """
    import numpy as np

    data: list[dict[str, Any]] = []
    for variant, (run, recording) in found.items():
        for quantity, dash in (("mean", "solid"), ("variance", "dash")):
            lags = _lags(run, recording, quantity)
            if not lags[1]:
                continue
            average = np.mean(list(lags[1].values()), axis=0)
            style: dict[str, Any] = {"mode": "lines+markers", "marker": {"size": 6}, "hovertemplate": "%{y:.3g}"}
            name = f"{label(variant)}, {quantity}"
            data.append(line(name, lags[0], average, series_color(places[variant]), dash=dash, uid=name, **style))
    whose = "; ".join(f"{variant}, seed {run.config.seed}" for variant, (run, _) in found.items())
    return Chart(
        name="off",
        title="How far running statistics are off",
        description="At the end of each epoch, averaged over the channels of all BatchNorm layers; solid: "
        f"{DEFINITIONS[0][1]}; dashed: {DEFINITIONS[1][1]}. At zero, evaluation uses the right statistics. One run per "
        f"variant (n = 1): {whose}.",
        data=data,
        layout={
            "xaxis": STEP_AXIS,
            "yaxis": {"title": {"text": "off by"}, "rangemode": "tozero", "tickformat": ".3~g"},
            "hovermode": "closest",
            "showlegend": True,
        },
        height=380,
        wide=True,
    )


def _over_epochs(choices: Choices, state: State, quantity: str, formula: str, unit: str) -> Chart:
    return Chart(
        name=f"lag-{quantity}",
        title=f"How far the running {quantity} is off",
        description=f"{formula}, averaged over a layer's channels, at the end of each epoch. Thin lines: one per "
        "layer; thick: their mean. At zero, evaluation uses the right statistics.",
        data=choices.by_run(lambda view: _lag_traces(view, quantity)),
        layout={
            "xaxis": STEP_AXIS,
            "yaxis": {"title": {"text": unit}, "rangemode": "tozero", "tickformat": ".3~g"},
        },
        state=state,
    )


def _lag_traces(view: Recorded, quantity: str) -> list[dict[str, Any]]:
    import numpy as np

    steps, lags = _lags(view.run, view.recording, quantity)
    if not lags:
        return []
    style = {"type": "scatter", "mode": "lines+markers", "x": steps, "hovertemplate": "%{y:.3g}"}
    thin = {"showlegend": False, "line": {"color": Color("muted", 0.6), "width": 1}, "marker": {"size": 4}}
    single = [{**style, **thin, "name": label(path), "y": lag} for path, lag in lags.items()]
    average = np.mean(list(lags.values()), axis=0)
    thick = {"line": {"color": Color("text"), "width": 3}, "showlegend": True}
    return [*single, {**style, **thick, "name": "mean of all layers", "y": average}]


def _lags(run: Run, recording: NormRecording, quantity: str) -> tuple[Any, dict[str, Any]]:
    """The steps at which epochs ended, (epochs,), and how far each layer was off there; no layer where none ended."""
    import numpy as np

    steps = population_steps(run, recording)
    recorded = {step: row for row, step in enumerate(recording.steps)}
    ends = [(epoch, recorded[step]) for epoch, step in enumerate(steps) if step in recorded]
    if not ends:
        return np.empty(0), {}
    epochs, rows = (np.array(column) for column in zip(*ends, strict=True))
    lags = {}
    for path, population in recording.population.items():
        layer, mean, variance = recording.layers[path], population["mean"][epochs], population["variance"][epochs]
        if quantity == "mean":
            lags[path] = curves.mean_lag(layer["running_mean"][rows], mean, variance)
        else:
            lags[path] = curves.variance_lag(layer["running_var"][rows], variance)
    return np.array([steps[epoch] for epoch in epochs]), lags


def _is_complete(view: Recorded) -> bool:
    """Whether every batch from the first on was recorded, and precise statistics were taken after the last."""
    steps = view.recording.steps
    return (
        bool(view.recording.population)
        and len(steps) > 1
        and steps == tuple(range(len(steps)))
        and view.population_steps[-1:] == [steps[-1]]
    )


def _against_momentum(choices: Choices, state: State) -> Chart:
    return Chart(
        name="momentum",
        title="What another momentum would have given",
        description="The recorded batch statistics averaged again with other momenta (the weight of the newest "
        "batch; torch's default is 0.1), and how far the result is from the precise statistics after the last epoch, "
        "over all layers. Too small a momentum remembers old weights, too large a one a single batch.",
        data=choices.by_run(_momentum_traces),
        layout={
            "xaxis": {"title": {"text": "momentum"}, "type": "log", "tickvals": [0.003, 0.01, 0.03, 0.1, 0.3, 1]},
            "yaxis": {"title": {"text": "lag"}, "rangemode": "tozero", "tickformat": ".3~g"},
        },
        wide=True,
        state=state,
    )


def _momentum_traces(view: Recorded) -> list[dict[str, Any]]:
    import numpy as np

    if not _is_complete(view):
        return []
    found: dict[str, list[Any]] = {"mean": [], "variance": []}
    for path, population in view.recording.population.items():
        layer = view.recording.layers[path]
        mean, variance = population["mean"][-1:], population["variance"][-1:]
        means = curves.replayed(layer["running_mean"][0], layer["batch_mean"][1:], MOMENTA)
        variances = curves.replayed(layer["running_var"][0], layer["batch_var"][1:], MOMENTA)
        found["mean"].append(curves.mean_lag(means, mean, variance))
        found["variance"].append(curves.variance_lag(variances, variance))
    return [
        line(
            f"{quantity}, {unit}",
            np.array(MOMENTA),
            np.mean(found[quantity], axis=0),
            Color("muted" if index else "text"),
            dash="dash" if index else "solid",
            mode="lines+markers",
            hovertemplate="momentum %{x}: %{y:.3g}<extra>%{fullData.name}</extra>",
        )
        for index, (quantity, _, unit) in enumerate(DEFINITIONS)
    ]
