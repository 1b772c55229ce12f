"""The charts that follow the step marker: every channel, what evaluation makes of one, and the test accuracy."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from archlab.analysis.chance import chance_of
from archlab.analysis.deviation import REACH, WorstChannel
from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.analysis.verdicts.group import EPSILON
from archlab.analysis.verdicts.norms import MEAN_SHIFT, VARIANCE_FACTOR
from archlab.analysis.wording import counted
from archlab.reports.charts.parts import BAR_ROOM, STEP_AXIS, chance_line, color_bar, line, points, share_range
from archlab.reports.charts.recorded import PRECISE_COLOR, RUNNING_COLOR, Choices, Recorded
from archlab.reports.panel import Chart, Color, Density, Scale, Slice, State, Switch
from archlab.reports.text import label

TITLES = {
    "ratio": "variance: ln(running / precise)",
    "shift": "mean: (running − precise) / precise deviation",
}
"""What is drawn of `archlab.analysis.deviation.Deviation`, where precise statistics were measured."""
QUANTITIES = {
    "running_mean": "running mean",
    "running_var": "running variance",
    "batch_mean": "batch mean",
    "batch_var": "batch variance",
    "gamma": "gamma (scale)",
    "beta": "beta (shift)",
}
CENTRES = {"running_mean": 0, "batch_mean": 0, "beta": 0, "gamma": 1}
"""What a colour scale with two sides is centred on."""
FACTORS = {0.25: "÷ 4", 0.5: "÷ 2", 1: "1", 2: "× 2", 4: "× 4"}
"""Running over precise variance: the ticks of its colours, which end there in every layer, run and report."""
SHIFTS = {-1: "−1", -0.5: "−0.5", 0: "0", 0.5: "+0.5", 1: "+1"}
"""The same of the mean, in precise standard deviations."""
REACH_OF_DENSITY, PLACES_OF_DENSITY = 6, 121
"""Where the axis of normalised activations ends, on both sides, and how many places along it are drawn."""


def quantities_of(choices: Choices) -> dict[str, str]:
    """What the heat map can show, by name and title."""
    return (TITLES if choices.has_precise else {}) | QUANTITIES


def heat_map(choices: Choices, state: State) -> Chart:
    """Every channel over training, in the chosen quantity, with the step and the channel that are chosen."""
    here, there = Slice(choices.steps, "step"), Slice(choices.channels, "channel")
    titles = quantities_of(choices)
    edge: dict[str, Any] = {"type": "line", "line": {"color": Color("text"), "width": 2}}
    return Chart(
        name="heat",
        title="Every channel over training",
        description=_heat_text(choices),
        data=[
            {
                "type": "heatmap",
                "x": choices.steps,
                "y": choices.channels,
                "z": Switch("quantity", {quantity: choices.matrix(quantity) for quantity in titles}),
                "transpose": True,
                "hovertemplate": Switch("quantity", {quantity: _hover(title) for quantity, title in titles.items()}),
                **{
                    name: Switch(
                        "quantity", {quantity: _colours(quantity, title)[name] for quantity, title in titles.items()}
                    )
                    for name in ("colorscale", "zmin", "zmax", "zmid", "colorbar")
                },
            }
        ],
        layout={
            "margin": BAR_ROOM,
            "xaxis": {**STEP_AXIS, "showgrid": False, "zeroline": False},
            "yaxis": {"title": {"text": "channel"}, "showgrid": False, "zeroline": False, "tickformat": "d"},
            "shapes": [
                {**edge, "x0": here, "x1": here, "y0": 0, "y1": 1, "yref": "paper"},
                {
                    **edge,
                    "x0": 0,
                    "x1": 1,
                    "xref": "paper",
                    "y0": there,
                    "y1": there,
                    "line": {**edge["line"], "dash": "dot"},
                },
            ],
        },
        height=440,
        wide=True,
        state=state,
        click={"channel": "y", "step": "x"},
    )


def _hover(title: str) -> str:
    return f"step %{{x}}<br>channel %{{y}}<br>{title} %{{z:.4g}}<extra></extra>"


def _heat_text(choices: Choices) -> str:
    text = (
        "One row per channel, one column per recorded step, colour for the chosen quantity. The line marks the step, "
        "the dotted one the channel; a click chooses both."
    )
    if choices.has_precise:
        text += (
            " Running over precise variance: colours end at a factor of 4, in every layer and run. Teal: evaluation "
            "scales the channel up; brown: it scales it down."
        )
    if choices.worst is not None:
        title, worst = choices.worst
        text += (
            f" It opens where running statistics are worst at the end of training: in {worst.layer} of {title}, where "
            f"{worst.off} of {counted(worst.channels, 'channel')} are off, at channel {worst.channel}. "
            f"{_off_text(worst)}"
        )
    return text


def _off_text(worst: WorstChannel) -> str:
    if not math.isfinite(worst.ratio + worst.shift):
        return "Its running statistics are no finite numbers."
    shift = f"{worst.shift:+.2f}".replace("-", "−")
    return (
        f"Its running variance is {math.exp(worst.ratio):.3g} times the precise one, its running mean off by {shift} "
        "precise deviations."
    )


def notes(choices: Choices) -> list[str]:
    """How the deviations came about, in sentences."""
    if not choices.has_precise:
        return []
    text = (
        "Precise statistics are measured at the end of each epoch. Between those they are estimated: the average of up "
        f"to {2 * REACH + 1} recorded batches, moved so that it meets what was measured at the ends. A channel is off "
        f"by {MEAN_SHIFT:g} standard deviations or a factor of {VARIANCE_FACTOR:g} in variance, as in the verdicts. "
        f"BatchNorm’s eps of {EPSILON:g} is added to both variances."
    )
    return [text]


def _colours(quantity: str, title: str) -> dict[str, Any]:
    """The colours of a quantity: fixed and symmetric for deviations, else from its least to its greatest value."""
    if quantity in TITLES:
        names = {math.log(factor): name for factor, name in FACTORS.items()} if quantity == "ratio" else SHIFTS
        ends = {"zmin": min(names), "zmax": max(names), "zmid": None}
        word = "running / precise variance" if quantity == "ratio" else "running − precise mean, deviations"
        return {
            "colorscale": Scale("diverging"),
            "colorbar": color_bar(word, tickvals=list(names), ticktext=list(names.values())),
            **ends,
        }
    scale = Scale("diverging" if quantity in CENTRES else "sequential")
    bar = color_bar(title, exponentformat="e", nticks=5)
    return {"colorscale": scale, "colorbar": bar, "zmin": None, "zmax": None, "zmid": CENTRES.get(quantity)}


def film_charts(choices: Choices, state: State) -> list[Chart]:
    """What moves with the step marker: none where precise statistics were never measured."""
    charts = [_density_chart(choices, state)] if choices.has_precise else []
    return [*charts, *([_accuracy_chart(choices, state)] if any(map(_accuracies, choices.views.values())) else [])]


def _density_chart(choices: Choices, state: State) -> Chart:
    import numpy as np

    places = np.linspace(-REACH_OF_DENSITY, REACH_OF_DENSITY, PLACES_OF_DENSITY).round(3).tolist()
    ratio, shift = (Slice(Slice(choices.matrix(name), "step"), "channel") for name in TITLES)
    right = [math.exp(-(place**2) / 2) for place in places]
    return Chart(
        name="activations",
        title="What the channel’s activations become",
        description="The chosen channel’s inputs after normalising, before gamma and beta, at the slider’s step: with "
        f"{PRECISE} they have mean 0 and standard deviation 1, as in training; in {EVALUATION} they get whatever the "
        "averages make of them. Recorded are a mean and a variance per channel and step, so these are the normal "
        "curves that have them, each drawn to the same height: place and width are what differs.",
        data=[
            line(
                f"with {PRECISE}",
                places,
                right,
                PRECISE_COLOR,
                dash="dash",
                fill="tozeroy",
                fillcolor=replace(PRECISE_COLOR, alpha=0.1),
                hoverinfo="skip",
            ),
            line(
                f"in {EVALUATION}",
                places,
                Density(places, ratio, shift),
                RUNNING_COLOR,
                2.5,
                fill="tozeroy",
                fillcolor=replace(RUNNING_COLOR, alpha=0.18),
                hoverinfo="skip",
            ),
        ],
        layout={
            "xaxis": {
                "title": {"text": "normalised activation"},
                "range": [-REACH_OF_DENSITY, REACH_OF_DENSITY],
                "zeroline": False,
            },
            "yaxis": {
                "range": [0, 1.08],
                "showticklabels": False,
                "showgrid": False,
                "title": {"text": "density, scaled"},
            },
        },
        state=state,
    )


def _accuracies(view: Recorded) -> bool:
    return any(epoch.test_accuracy_running is not None for epoch in view.run.epochs)


def _accuracy_chart(choices: Choices, state: State) -> Chart:
    here = Slice(choices.steps, "step")
    chance = chance_of(view.run.config for view in choices.views.values())
    marks = chance_line(chance, "y")
    return Chart(
        name="accuracy-at-step",
        title="Test accuracy up to the step",
        description="Of the chosen run (n = 1), after each epoch. The line is the slider’s step, the large points what "
        "was measured last before it. Both are of the same weights: where they differ, one of the statistics is off.",
        data=choices.by_run(_accuracy_traces),
        layout={
            "xaxis": {
                **STEP_AXIS,
                "rangemode": "tozero",
                "range": choices.by_run(lambda view: [0, 1.02 * int(view.steps[-1])]),
            },
            "yaxis": {"title": {"text": "test accuracy"}, "tickformat": ".0%", **share_range(chance)},
            **marks,
            "shapes": [
                {
                    "type": "line",
                    "line": {"color": Color("text"), "width": 2},
                    "x0": here,
                    "x1": here,
                    "y0": 0,
                    "y1": 1,
                    "yref": "paper",
                },
                *marks.get("shapes", []),
            ],
        },
        state=state,
    )


def _accuracy_traces(view: Recorded) -> list[dict[str, Any]]:
    traces = []
    ends = [epoch.step for epoch in view.run.epochs]
    for index, (name, field) in enumerate(((EVALUATION, "test_accuracy_running"), (PRECISE, "test_accuracy"))):
        values = [getattr(epoch, field) for epoch in view.run.epochs]
        known = [sum(end <= step for end in ends) - 1 for step in view.steps]
        last = [
            [None if place < 0 else ends[place] for place in known],
            [None if place < 0 else values[place] for place in known],
        ]
        color, dash = (RUNNING_COLOR, PRECISE_COLOR)[index], "dash" if index else "solid"
        traces += [
            line(
                label(name),
                ends,
                values,
                color,
                dash=dash,
                mode="lines+markers",
                marker={"size": 5, "color": color},
                hovertemplate="%{y:.2%}",
            ),
            points(
                f"{name}, last measured",
                [Slice(last[0], "step")],
                [Slice(last[1], "step")],
                {"size": 12, "color": color},
                showlegend=False,
                hovertemplate="step %{x}: %{y:.2%}<extra>" + name + "</extra>",
                mode="markers+text",
                texttemplate="%{y:.1%}",
                textposition="bottom left" if index == 0 else "top left",
                cliponaxis=False,
            ),
        ]
    return traces
