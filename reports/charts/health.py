"""Charts of a trained network's BatchNorm: for each finding the picture that shows it, and all layers to choose."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from archlab.analysis.health import LayerState, layer_states, shifts_and_factors, worst_channels, worst_layers
from archlab.analysis.metrics import EVALUATION, PRECISE
from archlab.analysis.verdicts.norms import MEAN_SHIFT, PROBLEM_VALUES, VARIANCE_FACTOR, WARNING_VALUES
from archlab.analysis.wording import counted
from archlab.records.norm_health import NormHealth, NormLayerHealth
from archlab.reports.charts.channels import LAYER, affine_chart, profile_chart, scale_chart, variance_chart
from archlab.reports.charts.parts import layer_axis, layer_label, line
from archlab.reports.charts.recorded import PRECISE_COLOR, RUNNING_COLOR
from archlab.reports.panel import Chart, Color, Control, Density, Panel, series_color
from archlab.reports.text import label

NAMES = {"running": EVALUATION, "precise": PRECISE, "batch": "batch statistics"}
COLORS = {"running": RUNNING_COLOR, "precise": PRECISE_COLOR, "batch": Color("muted")}
REACH, PLACES = 6, 121
"""Where the axis of normalised activations ends on both sides, and how many places along it are drawn."""
Drawn = Callable[[NormHealth, Sequence[NormLayerHealth]], Chart | None]


def finding_panel(health: NormHealth, check: str, layer: str, name: str) -> Panel | None:
    """The pictures that show what a check found; None where nothing can be drawn of it.

    Args:
        health: the network.
        check: the verdict's.
        layer: that the verdict names; empty for the worst.
        name: the panel's.
    """
    chosen = [one for one in health.layers if one.path == layer] or [worst_layers(health, 1)[0].layer]
    charts = [drawn(health, chosen) for drawn in PICTURES.get(check, ())]
    found = tuple(chart for chart in charts if chart is not None)
    return Panel(name, found) if found else None


def layers_panel(health: NormHealth, name: str) -> Panel:
    """Every layer, for the reader to choose from."""
    layers, start = health.layers, worst_layers(health, 1)[0].layer.path
    drawn = (profile_chart, variance_chart, affine_chart, scale_chart)
    charts = tuple(chart for draw in drawn if (chart := draw(health, layers)) is not None)
    options = tuple((layer.path, label(layer.path)) for layer in layers)
    return Panel(name, charts, (Control(LAYER, "Layer", "select", options, start),))


def answers_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Accuracy, or the share of answers that stay, normalised in each way."""
    labelled = all(one.accuracy is not None for one in health.outcomes)
    values = [one.accuracy if labelled else one.agreement for one in health.outcomes]
    if not values or any(value is None for value in values):
        return None
    shares = [value for value in values if value is not None]
    what = "accuracy" if labelled else "same answer as with precise statistics"
    batches = f" (of {health.data.batch_size} images)" if health.data is not None else ""
    return Chart(
        name="answers",
        title="What the network answers" if labelled else "Answers that stay",
        description=f"{what.capitalize()} on the same {counted(health.outcomes[0].images, 'image')} with running "
        "statistics, as "
        f"model.eval() has it, with precise ones and with those of each batch{batches}. Weights are the same.",
        data=[
            {
                "type": "bar",
                "orientation": "h",
                "x": shares,
                "y": [NAMES[one.statistics] for one in health.outcomes],
                "marker": {"color": [COLORS[one.statistics] for one in health.outcomes]},
                "text": [f"{100 * share:.2f} %" for share in shares],
                "textposition": "auto",
                "hovertemplate": "%{y}: %{x:.2%}<extra></extra>",
                "name": what,
            }
        ],
        layout={
            "xaxis": {"title": {"text": what}, "tickformat": ".0%", "range": [0, 1]},
            "yaxis": {"autorange": "reversed", "automargin": True},
        },
        height=240,
    )


def off_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """How far running statistics are off, layer by layer."""
    found = [(layer, pairs) for layer in health.layers if (pairs := shifts_and_factors(layer))]
    if not found:
        return None
    names = [layer_label(layer.path) for layer, _ in found]
    measures = (
        ("mean, in standard deviations", [[abs(shift) / MEAN_SHIFT for shift, _ in pairs] for _, pairs in found]),
        ("variance, as a factor", [[_stretch(factor) for _, factor in pairs] for _, pairs in found]),
    )
    data = []
    for place, (name, values) in enumerate(measures):
        color = series_color(place)
        data.append(
            line(f"{name}: median channel", names, [_middle(one) for one in values], color, mode="lines+markers")
        )
        data.append(
            line(f"{name}: worst channel", names, [max(one) for one in values], color, 1, "dot", mode="lines+markers")
        )
    data.append(line("off from here on", names, [1.0] * len(names), Color("muted"), 1.5, "dash"))
    return Chart(
        name="off",
        title="How far running statistics are off",
        description=f"By layer, in the order of the network. 1 is where a channel counts as off: {MEAN_SHIFT:g} "
        "standard "
        f"deviations of the mean, or a factor of {VARIANCE_FACTOR:g} in variance. Solid: the median channel of the "
        "layer; "
        "dotted: its worst.",
        data=data,
        layout={
            "xaxis": layer_axis([layer.path for layer, _ in found], "layer"),
            "yaxis": {"title": {"text": "off by"}, "type": "log", "exponentformat": "power"},
        },
        wide=True,
    )


def density_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """What evaluation makes of the worst channel."""
    worst = worst_channels(health, 1)
    if not worst or worst[0].running_var is None or worst[0].running_mean is None:
        return None
    one = worst[0]
    layer = next(layer for layer in health.layers if layer.path == one.layer)
    if one.mean is None or one.variance is None or one.running_var is None or one.running_mean is None:
        return None
    ratio = math.log((one.running_var + layer.epsilon) / (one.variance + layer.epsilon))
    shift = (one.running_mean - one.mean) / math.sqrt(one.variance + layer.epsilon)
    places = [REACH * (2 * place / (PLACES - 1) - 1) for place in range(PLACES)]
    return Chart(
        name="density",
        title="What evaluation makes of the worst channel",
        description=f"Channel {one.channel} of {one.layer}: a normal density with the mean and deviation that the "
        "channel "
        "has after normalising. By precise statistics that is 0 and 1, what the next layer has learnt from.",
        data=[
            line(f"by {PRECISE}", places, Density(places, 0.0, 0.0), PRECISE_COLOR),
            line(f"in {EVALUATION}", places, Density(places, ratio, shift), RUNNING_COLOR, 2.5),
        ],
        layout={
            "xaxis": {"title": {"text": "normalised activation"}},
            "yaxis": {"title": {"text": "density, over its greatest"}, "rangemode": "tozero"},
        },
    )


def noise_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Noise of batch means, layer by layer, with the limits."""
    found = [(state.layer.path, state.noise) for state in layer_states(health) if state.noise is not None]
    if not found:
        return None
    names = [layer_label(path) for path, _ in found]
    limits = ((WARNING_VALUES, "warning"), (PROBLEM_VALUES, "problem"))
    size = health.data.batch_size if health.data else 0
    return Chart(
        name="noise",
        title="Noise of batch means",
        description=f"By layer, for batches of {size} images: the deviation of a batch's mean in standard "
        "deviations of the "
        "channel, median over the channels. The lines are the noise of 12 and of 6 independent values per channel.",
        data=[
            line("noise", names, [noise for _, noise in found], series_color(0), mode="lines+markers"),
            *(
                line(f"{word}: {values} values", names, [values**-0.5] * len(names), Color("muted"), 1.5, dash)
                for (values, word), dash in zip(limits, ("dash", "dot"), strict=True)
            ),
        ],
        layout={
            "xaxis": layer_axis([path for path, _ in found], "layer"),
            "yaxis": {"title": {"text": "standard deviations"}, "rangemode": "tozero"},
        },
        wide=True,
    )


def channels_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Shares of channels that pass on nothing, layer by layer."""
    states = layer_states(health)
    kinds: tuple[tuple[str, Callable[[LayerState], int | None]], ...] = (
        ("always 0 behind the activation", lambda one: one.always_off),
        ("dead: |gamma| and |beta| below 0.05", lambda one: one.dead),
        ("collapsed: variance at most eps", lambda one: one.collapsed),
        ("not finite", lambda one: one.not_finite),
    )
    names = [layer_label(state.layer.path) for state in states]
    data = []
    for place, (name, count) in enumerate(kinds):
        shares = [(count(state) or 0) / state.layer.channels for state in states]
        if any(shares):
            data.append(
                {
                    "type": "bar",
                    "name": name,
                    "x": names,
                    "y": shares,
                    "marker": {"color": series_color(place)},
                    "hovertemplate": "%{x}: %{y:.1%}<extra>%{fullData.name}</extra>",
                }
            )
    if not data:
        return None
    return Chart(
        name="channels",
        title="Channels that pass on nothing",
        description="Share of each layer's channels, in the order of the network. A channel may be of several kinds.",
        data=data,
        layout={
            "xaxis": layer_axis([state.layer.path for state in states], "layer"),
            "yaxis": {"title": {"text": "share of channels"}, "tickformat": ".0%", "range": [0, 1]},
            "barmode": "group",
            "showlegend": True,
        },
        wide=True,
    )


PICTURES: dict[str, tuple[Drawn, ...]] = {
    "running-statistics": (answers_chart, density_chart, off_chart),
    "initial-values": (variance_chart, profile_chart),
    "never-updated": (answers_chart, variance_chart),
    "statistics-not-finite": (channels_chart,),
    "weights-without-statistics": (answers_chart,),
    "batch-dependence": (answers_chart,),
    "batch-noise": (noise_chart,),
    "always-off": (channels_chart, affine_chart),
    "dead-channels": (channels_chart, affine_chart),
    "constant-channels": (channels_chart, affine_chart),
    "collapsed-channels": (channels_chart, variance_chart),
    "variance-near-eps": (variance_chart,),
    "scale-range": (scale_chart,),
    "folding": (scale_chart,),
    "evaluation-mode": (answers_chart,),
    "no-running-statistics": (answers_chart,),
}
"""Check -> the pictures that show what it found."""


def _stretch(factor: float) -> float:
    """How far a factor between variances is off, 1 being the limit."""
    return abs(math.log(factor)) / math.log(VARIANCE_FACTOR) if factor else math.inf


def _middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
