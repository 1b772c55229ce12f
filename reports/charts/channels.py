"""Charts of a BatchNorm layer of a trained network, perhaps one that the reader chooses: each point is a channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from archlab.analysis.health import worst_layers
from archlab.analysis.metrics import PRECISE
from archlab.analysis.verdicts.health import NEAR_EPSILON
from archlab.records.norm_health import Channels, NormHealth, NormLayerHealth
from archlab.reports.charts.parts import line, points
from archlab.reports.charts.recorded import PRECISE_COLOR, RUNNING_COLOR
from archlab.reports.panel import Chart, Color, Switch, series_color

LAYER = "layer"
"""The control that chooses a layer."""


def profile_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Running means beside precise ones, channel by channel."""
    if not any(layer.mean and layer.running_mean for layer in layers):
        return None
    diamond = {"color": PRECISE_COLOR, "size": 7, "symbol": "diamond-open"}
    return Chart(
        name="means",
        title="Means of all channels",
        description="Running and precise mean of every channel of the layer; the line is one precise standard "
        "deviation "
        "to both sides.",
        data=[
            points(
                PRECISE,
                _by(layers, lambda one: list(range(one.channels))),
                _by(layers, lambda one: list(one.mean)),
                diamond,
                error_y={
                    "type": "data",
                    "array": _by(layers, lambda one: [None if value is None else value**0.5 for value in one.variance]),
                    "color": Color("text", 0.5),
                    "thickness": 1,
                    "width": 0,
                },
            ),
            points(
                "running",
                _by(layers, lambda one: list(range(one.channels))),
                _by(layers, lambda one: list(one.running_mean)),
                {"color": RUNNING_COLOR, "size": 6},
            ),
        ],
        layout={"xaxis": {"title": {"text": "channel"}, "zeroline": False}, "yaxis": {"title": {"text": "mean"}}},
        state=_state(layers, health),
    )


def variance_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Running variances over precise ones, with eps; without precise ones over the channels."""
    tracking = [layer for layer in layers if layer.running_var]
    if not tracking:
        return None
    measured = any(layer.variance for layer in layers)
    across = (lambda one: list(one.variance)) if measured else (lambda one: list(range(one.channels)))
    ends = _by(layers, lambda one: _ends(one.variance or one.running_var) if measured else [0, one.channels - 1])
    data = [
        points(
            "channels",
            _by(layers, across),
            _by(layers, lambda one: list(one.running_var)),
            {"color": series_color(0, 0.75), "size": 7},
            hovertemplate=("precise %{x:.4g}<br>" if measured else "channel %{x}<br>")
            + "running %{y:.4g}<extra></extra>",
        )
    ]
    if measured:
        data.append(line("equal", ends, ends, Color("muted"), 1.5, "dash"))
    near = _by(layers, lambda one: [NEAR_EPSILON * one.epsilon] * 2)
    data.append(line(f"{NEAR_EPSILON} eps", ends, near, series_color(2), 1.5, "dot"))
    x_title = "precise variance" if measured else "channel"
    return Chart(
        name="variances",
        title="Variances of all channels",
        description=f"Each point is a channel of the layer. Below the dotted line at {NEAR_EPSILON} eps, eps takes "
        "5 % and "
        "more off its scale." + (" On the dashed line the running variance is the precise one." if measured else ""),
        data=data,
        layout={
            "xaxis": {"title": {"text": x_title}, **({"type": "log", "exponentformat": "power"} if measured else {})},
            "yaxis": {"title": {"text": "running variance"}, "type": "log", "exponentformat": "power"},
        },
        state=_state(layers, health),
    )


def affine_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """Gamma and beta of each channel; those that are always off apart."""

    def of(name: str, off: bool) -> Any:
        def values(one: NormLayerHealth) -> list[float | None]:
            shares = one.zeros or (None,) * one.channels
            return [value for value, share in zip(getattr(one, name), shares, strict=True) if (share == 1) is off]

        return _by(layers, values)

    data = [
        points(
            "channels",
            of("gamma", False),
            of("beta", False),
            {"color": series_color(0, 0.75), "size": 7},
            hovertemplate="gamma %{x:.4g}<br>beta %{y:.4g}<extra></extra>",
        )
    ]
    if any(1 in layer.zeros for layer in layers):
        data.append(
            points(
                "0 on every image behind the activation",
                of("gamma", True),
                of("beta", True),
                {"color": series_color(1), "size": 9, "symbol": "x"},
                hovertemplate="gamma %{x:.4g}<br>beta %{y:.4g}<extra></extra>",
            )
        )
    return Chart(
        name="affine",
        title="Gamma and beta",
        description="Each point is a channel of the layer: its scale gamma across, its shift beta upwards. At the "
        "origin it "
        "passes on nothing; far below 0 for its gamma, a ReLU behind it stays off.",
        data=data,
        layout={
            "xaxis": {"title": {"text": "gamma"}, "exponentformat": "power"},
            "yaxis": {"title": {"text": "beta"}, "exponentformat": "power"},
        },
        state=_state(layers, health),
    )


def scale_chart(health: NormHealth, layers: Sequence[NormLayerHealth]) -> Chart | None:
    """What folding multiplies each filter by."""
    if not any(any(layer.scale) for layer in layers):
        return None

    def sizes(one: NormLayerHealth) -> list[float]:
        return sorted((abs(value) for value in one.scale if value), reverse=True)

    return Chart(
        name="scale",
        title="Scale of each channel",
        description="|gamma| / sqrt(running variance + eps) of the layer's channels, the largest first: what folding "
        "multiplies each filter by. With one step size for all, 8-bit weights have 127 steps from the first to 0.",
        data=[
            points(
                "channels",
                _by(layers, lambda one: list(range(1, len(sizes(one)) + 1))),
                _by(layers, sizes),
                {"color": series_color(0), "size": 6},
            )
        ],
        layout={
            "xaxis": {"title": {"text": "channel, by its scale"}},
            "yaxis": {"title": {"text": "|scale|"}, "type": "log", "exponentformat": "power"},
        },
        state=_state(layers, health),
    )


def _by(layers: Sequence[NormLayerHealth], values: Callable[[NormLayerHealth], Any]) -> Any:
    """The values of the layer, or of the one that is chosen."""
    if len(layers) == 1:
        return values(layers[0])
    return Switch(LAYER, {layer.path: values(layer) for layer in layers})


def _state(layers: Sequence[NormLayerHealth], health: NormHealth) -> dict[str, str | int]:
    return {LAYER: worst_layers(health, 1)[0].layer.path} if len(layers) > 1 else {}


def _ends(values: Channels) -> list[float]:
    known = [value for value in values if value is not None and value > 0]
    return [min(known), max(known)] if known else [1e-5, 1.0]
