"""The panel of BatchNorm over training: what its layers held, for the run and the layer that the reader chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archlab.records import NormRecording, Run
from archlab.reports.charts.film import film_charts, heat_map, notes, quantities_of
from archlab.reports.charts.lag import lag_charts
from archlab.reports.charts.parts import HIDDEN_EDGE, STEP_AXIS, band, line, points
from archlab.reports.charts.recorded import PRECISE_COLOR, RUNNING_COLOR, Choices, Recorded
from archlab.reports.panel import Chart, Color, Control, Panel, Slice, State, Switch
from archlab.reports.text import label

VALUE_BUDGET = 1_260_000
"""Numbers of recordings that one panel embeds at most: about 3.4 MB."""
MOMENT_NAMES = (("mean", "mean", "mean"), ("var", "variance", "variance"))
"""How a moment is called in the recording, among the precise statistics, and on the page."""


def normalisation_panel(
    recordings: Mapping[str, tuple[Run, NormRecording]], name: str, budget: int = VALUE_BUDGET
) -> Panel:
    """Everything that was recorded of the BatchNorm layers, thinned to the budget.

    Args:
        recordings: what a reader calls the run -> the run and its recording; at least one.
        name: the panel's.
        budget: values that may be embedded.
    """
    views = {title: Recorded(run, held, budget // len(recordings)) for title, (run, held) in recordings.items()}
    choices = Choices(views)
    worst = choices.worst
    title = worst[0] if worst else next(iter(views))
    view = views[title]
    layer = worst[1].layer if worst else next(iter(view.recording.layers))
    titles = quantities_of(choices)
    state: dict[str, str | int] = {
        "run": title,
        "layer": layer,
        "quantity": next(iter(titles)),
        "channel": view.channels[layer].tolist().index(worst[1].channel) if worst else 0,
        "step": len(view.steps) - 1,
    }
    charts = (
        heat_map(choices, state),
        *film_charts(choices, state),
        *(_channel_chart(choices, *moment, state) for moment in MOMENT_NAMES),
        *(_profile(choices, *moment, state) for moment in MOMENT_NAMES),
        _affine(choices, state),
        _fan(choices, titles, state),
        *lag_charts(choices, state),
    )
    layers = choices.by_run(lambda view: [[path, label(path)] for path in view.recording.layers])
    controls = (
        Control("run", "Run", "select", tuple((title, label(title)) for title in views), title),
        Control("layer", "Layer", "select", layers, layer),
        Control("quantity", "Quantity", "select", tuple(titles.items()), state["quantity"]),
        Control("channel", "Channel", "range", choices.channels, state["channel"]),
        Control("step", "Step", "range", choices.steps, state["step"], plays=True),
    )
    thinned = dict.fromkeys(note for view in views.values() for note in view.notes)
    return Panel(
        name, charts, controls, (*notes(choices), *thinned, "Matrices are embedded with 11 significant bits per value.")
    )


def _channel_chart(choices: Choices, short: str, quantity: str, title: str, state: State) -> Chart:
    batch, running = (Slice(choices.matrix(f"{kind}_{short}"), "channel", 1) for kind in ("batch", "running"))
    data = [
        line("batch", choices.steps, batch, Color("muted", 0.6), 1),
        line("running", choices.steps, running, RUNNING_COLOR, 2.5),
        points(
            "precise statistics",
            choices.by_run(lambda view: view.population_steps),
            Slice(choices.by_layer(lambda view, path: view.population(path, quantity)), "channel", 1),
            {"color": PRECISE_COLOR, "size": 9, "symbol": "diamond"},
        ),
    ]
    return Chart(
        name=f"channel-{short}",
        title=f"One channel's {title}",
        description=f"The {title} of the chosen channel: of each batch, of the running average that evaluation uses, "
        "and the precise one at the end of each epoch.",
        data=data,
        layout={
            "xaxis": STEP_AXIS,
            "yaxis": {"title": {"text": title}, "exponentformat": "e"},
            "hovermode": "x unified",
        },
        state=state,
    )


def _fan(choices: Choices, titles: Mapping[str, str], state: State) -> Chart:
    def share(name: str) -> Switch:
        return Switch(
            "quantity",
            {
                quantity: choices.by_layer(lambda view, path, quantity=quantity: view.spread(path, quantity)[name])  # type: ignore[misc]
                for quantity in titles
            },
        )

    traces: list[dict[str, Any]] = []
    for low, high, alpha, name in (
        ("p0", "p100", 0.12, "all channels"),
        ("p5", "p95", 0.2, "5 % to 95 %"),
        ("p25", "p75", 0.32, "middle half"),
    ):
        edge = {"type": "scatter", "x": choices.steps, **HIDDEN_EDGE, "legendgroup": name}
        lower, upper = band(edge, (f"{name}, lower edge", name), share(low), share(high), Color("text", alpha))
        traces += [lower, {**upper, "showlegend": True}]
    traces.append(line("median", choices.steps, share("p50"), Color("text")))
    return Chart(
        name="fan",
        title="Distribution over channels",
        description="How the chosen quantity is spread over the layer's channels at each step.",
        data=traces,
        layout={
            "xaxis": STEP_AXIS,
            "yaxis": {"title": {"text": Switch("quantity", dict(titles))}, "exponentformat": "e"},
        },
        state=state,
    )


def _profile(choices: Choices, short: str, quantity: str, title: str, state: State) -> Chart:
    batch, running = (Slice(choices.matrix(f"{kind}_{short}"), "step") for kind in ("batch", "running"))
    population = choices.by_layer(lambda view, path: view.population(path, quantity)[-1])
    open_diamond = {"color": PRECISE_COLOR, "size": 7, "symbol": "diamond-open"}
    data = [
        points("batch", choices.channels, batch, {"color": Color("muted"), "size": 7, "symbol": "circle-open"}),
        points("precise statistics, last epoch", choices.channels, population, open_diamond),
        points("running", choices.channels, running, {"color": RUNNING_COLOR, "size": 7}),
    ]
    return Chart(
        name=f"profile-{short}",
        title=f"All channels' {title} at one step",
        description=f"Batch and running {title} of every channel of the layer at the slider's step, beside the "
        "precise one after the last epoch.",
        data=data,
        layout={
            "xaxis": {"title": {"text": "channel"}, "zeroline": False},
            "yaxis": {"title": {"text": title}, "exponentformat": "e"},
        },
        state=state,
    )


def _affine(choices: Choices, state: State) -> Chart:
    return Chart(
        name="affine",
        title="Gamma and beta at one step",
        description="Each point is a channel at the slider's step: its scale gamma across, its shift beta upwards. "
        "Points near gamma 0 pass on a constant.",
        data=[
            points(
                "channels",
                Slice(choices.matrix("gamma"), "step"),
                Slice(choices.matrix("beta"), "step"),
                {"color": Color("text", 0.7), "size": 8},
                hovertemplate="gamma %{x:.4g}<br>beta %{y:.4g}<extra></extra>",
            )
        ],
        layout={
            "xaxis": {"title": {"text": "gamma"}, "exponentformat": "e"},
            "yaxis": {"title": {"text": "beta"}, "exponentformat": "e"},
        },
        state=state,
    )
