"""Charts of a profile: the roofline, and the layers that take longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archlab.analysis.roofline import LEAST_SHARE, Place, bound_names, places, ridge, roof
from archlab.records import Profile
from archlab.reports.charts.parts import line, points
from archlab.reports.panel import Chart, Color, Panel
from archlab.reports.text import label
from archlab.tables.table import duration, prefixed

MOST_BARS = 20
MARKS = {
    "arithmetic": ("series-0", "circle"),
    "memory": ("series-1", "diamond"),
    "cache": ("series-2", "square"),
    "neither": ("series-3", "x"),
}
"""Of what bounds a layer: colour and shape."""
LARGEST, SMALLEST = 30.0, 7.0
"""Diameters in pixels: the area of a mark is its layer's share of the slowest layer's time."""


def profile_panel(profile: Profile, name: str) -> Panel | None:
    """The charts of a profile; None where no layer has a time."""
    found = list(places(profile).values())
    if not found:
        return None
    computing = [item for item in found if item.layer.flops]
    charts = [roofline_chart(profile, computing)] if computing else []
    left = len(found) - len(computing)
    notes = (
        f"{left} layers without multiply-accumulates have an intensity of 0 and no place on the logarithmic axis.",
    )
    return Panel(name, (*charts, slowest_chart(profile, found)), notes=notes if charts and left else ())


def roofline_chart(profile: Profile, found: Sequence[Place]) -> Chart:
    """FLOP/s over intensity, beneath what the machine allows."""
    machine, edge = profile.machine, ridge(profile.machine)
    low = min(edge, *(item.intensity for item in found)) / 3
    high = max(edge, *(item.intensity for item in found)) * 3
    data: list[dict[str, Any]] = [
        line(
            "roof: the lower of bandwidth and peak",
            [low, edge, high],
            [roof(machine, low), machine.flops.best, machine.flops.best],
            Color("text"),
            hovertemplate="%{x:.3s} FLOP/byte: at most %{y:.3s}FLOP/s<extra></extra>",
        ),
    ]
    longest = max(_seconds(item) for item in found)
    for bound, title in bound_names().items():
        own = [item for item in found if item.bound == bound]
        if own:
            color, shape = MARKS[bound]
            sizes = [max(SMALLEST, LARGEST * (_seconds(item) / longest) ** 0.5) for item in own]
            marker = {"color": Color(color, 0.75), "symbol": shape, "size": sizes, "line": {"width": 0}}
            data.append(
                points(
                    title,
                    [item.intensity for item in own],
                    [item.flops_per_second for item in own],
                    marker,
                    text=[_words(item) for item in own],
                    hovertemplate="%{text}<extra></extra>",
                )
            )
    return Chart(
        name="roofline",
        title="Roofline",
        description="Each mark is a layer with multiply-accumulates, its area the time that it takes. The line is what "
        f"this machine allows: left of the ridge at {edge:.1f} FLOP/byte memory takes longer than arithmetic, right of "
        "it arithmetic does. The further a mark lies below the line, the more time goes elsewhere. Bytes are the least "
        "that have to move, so that marks may lie above the line where a cache holds them.",
        data=data,
        layout={
            "xaxis": {"type": "log", "title": {"text": "FLOPs per byte moved"}, "zeroline": False},
            "yaxis": {"type": "log", "title": {"text": "FLOP/s"}, "exponentformat": "SI", "zeroline": False},
            "legend": {"orientation": "h", "y": -0.2, "itemsizing": "constant"},
        },
        height=460,
        wide=True,
    )


def slowest_chart(profile: Profile, found: Sequence[Place]) -> Chart:
    """The innermost layers that take longest, with their quartiles."""
    ranked = sorted(found, key=_seconds, reverse=True)[:MOST_BARS]
    shown = ranked[::-1]  # plotly draws from the bottom upwards
    names = [label(item.layer.path or profile.network, 40) for item in shown]
    forward = [item.layer.forward for item in shown if item.layer.forward is not None]
    data = [
        {
            "type": "bar",
            "orientation": "h",
            "name": "forward",
            "y": names,
            "x": [timing.median * 1e3 for timing in forward],
            "error_x": {
                "type": "data",
                "symmetric": False,
                "array": [(timing.high - timing.median) * 1e3 for timing in forward],
                "arrayminus": [(timing.median - timing.low) * 1e3 for timing in forward],
                "color": Color("text"),
                "thickness": 1,
                "width": 3,
            },
            "marker": {"color": Color("series-0")},
            "text": [_words(item) for item in shown],
            "textposition": "none",
            "hovertemplate": "%{text}<extra></extra>",
        }
    ]
    if profile.backward is not None:
        back = [item.layer.backward.median * 1e3 if item.layer.backward else None for item in shown]
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": "backward",
                "y": names,
                "x": back,
                "marker": {"color": Color("series-1")},
                "hovertemplate": "%{y}: %{x:.3f} ms backward<extra></extra>",
            }
        )
    return Chart(
        name="slowest",
        title="Slowest layers",
        description=f"The {len(shown)} innermost layers that take longest in the forward pass, of {len(found)}. Bars "
        f"are medians over n = {profile.repeats} passes, the thin lines quartiles.",
        data=data,
        layout={
            "xaxis": {"title": {"text": "ms"}, "rangemode": "tozero"},
            "yaxis": {"automargin": True, "showgrid": False},
            "barmode": "group",
            "bargap": 0.25,
            "showlegend": profile.backward is not None,
        },
        height=120 + (24 if profile.backward is None else 34) * len(shown),
        wide=True,
    )


def _seconds(item: Place) -> float:
    return item.layer.forward.median if item.layer.forward is not None else 0.0


def _words(item: Place) -> str:
    layer = item.layer
    bound = "" if item.bound == "neither" else f", bound by {item.bound}"
    explained = f" (below {LEAST_SHARE:.0%}: neither memory nor arithmetic explains it)" if not bound else ""
    return (
        f"<b>{label(layer.path, 60)}</b> {label(layer.kind)}<br>{duration(_seconds(item))}, "
        f"{prefixed(item.flops_per_second)}FLOP/s, {item.intensity:.3g} FLOP/byte<br>"
        f"{item.share_of_roof:.0%} of its roof{bound}{explained}"
    )
