"""What several charts are drawn from: axes, lines, points, intervals and bands, the choice of a seed, words for n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from archlab.analysis.metrics import SHARE, Metric
from archlab.analysis.probing import LogScale
from archlab.records import Comparison, Estimate
from archlab.reports.panel import Color, Control, Switch
from archlab.reports.text import label, metric

STEP_AXIS = {"title": {"text": "optimiser step"}}
HIDDEN_EDGE = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
"""The style of a band's edges of which only the area between them is drawn."""
MOST_TICKS = 20
"""Layers that are named along an axis; of more, so many from all depths."""
SHORT_TITLE = 6
"""Characters of a title that stands beside its colour scale: a longer one would leave it no room on a narrow page."""
TICK_LENGTH = 18
"""Characters of a name along an axis."""


def line(name: str, x: Any, y: Any, color: Color, width: float = 2, dash: str = "solid", **more: Any) -> dict[str, Any]:
    """The trace of a line; `more` adds to it, or takes its entries' place."""
    style = {"color": color, "width": width} | ({} if dash == "solid" else {"dash": dash})
    return {"type": "scatter", "mode": "lines", "line": style, "name": name, "x": x, "y": y, **more}


def points(name: str, x: Any, y: Any, marker: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """The trace of single points; `more` adds to it."""
    return {"type": "scatter", "mode": "markers", "name": name, "x": x, "y": y, "marker": marker, **more}


def band(edge: Mapping[str, Any], names: tuple[str, str], low: Any, high: Any, color: Color) -> list[dict[str, Any]]:
    """The traces of a band's two edges; plotly fills the area from the second to the one before it (`tonexty`).

    Args:
        edge: what both traces have in common.
        names: of the lower and the upper edge.
        low: the values of the lower edge.
        high: the values of the upper edge.
        color: of the area.
    """
    fill = {"fill": "tonexty", "fillcolor": color}
    return [{**edge, "name": names[0], "y": low}, {**edge, **fill, "name": names[1], "y": high}]


def bounds_of(name: str) -> tuple[str, str]:
    """The names of an interval's two edges."""
    return f"{name}, lower bound", f"{name}, upper bound"


def sizes_text(sizes: Mapping[str, int]) -> str:
    """The number of runs behind each variant's mean: `n = 6`, or `n: norm=batch 6, norm=none 5`."""
    if len(set(sizes.values())) == 1:
        return f"n = {max(sizes.values())}"
    return "n: " + ", ".join(f"{variant} {n}" for variant, n in sizes.items())


def has_metric(comparison: Comparison, name: str) -> bool:
    """Whether any variant has it."""
    return any(name in variant.metrics for variant in comparison.variants)


def error_bars(name: str, estimates: Sequence[Estimate], color: Color) -> dict[str, Any]:
    """The intervals of some means, for plotly's `error_x` or `error_y`; nothing where one has none."""
    if any(estimate.low is None or estimate.high is None for estimate in estimates):
        return {}
    bars = {
        "type": "data",
        "symmetric": False,
        "array": [estimate.high - estimate.mean for estimate in estimates if estimate.high is not None],
        "arrayminus": [estimate.mean - estimate.low for estimate in estimates if estimate.low is not None],
        "color": color,
        "thickness": 2,
        "width": 5,
    }
    return {name: bars}


def axis_of(measured: Metric, has_running: bool = False, chance: float | None = None) -> dict[str, Any]:
    """An axis for a metric's values; that of an accuracy ends at what is possible, and has chance on it.

    Args:
        measured: along the axis.
        has_running: as in `Metric.titled`.
        chance: the accuracy of guessing, as a share, where it is known.
    """
    title = measured.titled(has_running)
    if measured.unit is SHARE:
        return {"title": {"text": title}, "tickformat": ".1~%", **share_range(chance)}
    return {"title": {"text": ", ".join(filter(None, (title, measured.unit.name)))}, "tickformat": ""}


def axes_by_metric(names: Sequence[str], has_running: bool, chance: float | None) -> dict[str, Any]:
    """The vertical axis of each metric, as the control `metric` chooses, with the line of chance at accuracies."""
    measured = {name: metric(name) for name in names}
    return {
        "yaxis": Switch("metric", {name: axis_of(one, has_running, chance) for name, one in measured.items()}),
        **{
            part: Switch("metric", {name: drawn if one.unit is SHARE else [] for name, one in measured.items()})
            for part, drawn in chance_line(chance, "y").items()
        },
    }


def chance_line(chance: float | None, axis: Literal["x", "y"]) -> dict[str, Any]:
    """What a layout needs for a dotted line at the accuracy of guessing, and its name; nothing where none is known.

    Args:
        chance: as a share.
        axis: along which accuracies are drawn.
    """
    if chance is None:
        return {}
    other = "y" if axis == "x" else "x"
    line = {
        "type": "line",
        f"{axis}0": chance,
        f"{axis}1": chance,
        f"{other}0": 0,
        f"{other}1": 1,
        f"{other}ref": "paper",
        "line": {"color": Color("muted"), "width": 1.5, "dash": "dot"},
        "layer": "below",
    }
    name = {
        "text": f"chance, {100 * chance:.3g} %",
        axis: chance,
        other: 1,
        f"{other}ref": "paper",
        "xanchor": "left" if axis == "x" else "right",
        "yanchor": "top" if axis == "x" else "bottom",
        "showarrow": False,
        "font": {"color": Color("muted"), "size": 11},
    }
    return {"shapes": [line], "annotations": [name]}


def share_range(chance: float | None) -> dict[str, Any]:
    """The range of an axis of accuracies: with chance on it, and no further than what is possible."""
    include = {} if chance is None else {"include": [chance]}
    return {"autorangeoptions": {"minallowed": -0.01, "maxallowed": 1.01, **include}}


def number_axis(axis: str, values: Sequence[float]) -> dict[str, Any]:
    """A horizontal axis with a tick at each value that was tried."""
    return {
        "title": {"text": label(axis.replace("_", " "))},
        "type": "log" if min(values) > 0 and max(values) / min(values) >= 20 else "linear",
        "tickvals": sorted(set(values)),
        "ticktext": [f"{value:g}" for value in sorted(set(values))],
    }


BAR_ROOM = {"t": 56}
"""The margin of a chart with a colour scale and its title: a page finds the room by itself, a picture does not."""


def color_bar(title: str, **more: Any) -> dict[str, Any]:
    """A colour scale above its picture, to which it leaves the whole width; above it, unless it is short, its title."""
    is_short = len(title) <= SHORT_TITLE
    return {
        "title": {"text": f"{title} " if is_short else title, "side": "right" if is_short else "top"},
        "orientation": "h",
        "y": 1.02,
        "yanchor": "bottom",
        "ypad": 0,
        "len": 0.8,
        "thickness": 12,
        "outlinewidth": 0,
        **more,
    }


def log_axis(title: str, scale: LogScale) -> dict[str, Any]:
    """A logarithmic axis with round numbers along it."""
    return {
        "title": {"text": title},
        "type": "log",
        "range": [scale.start, scale.end],
        "tickvals": list(scale.ticks),
        "ticktext": [f"{number:.3g}" for number in scale.ticks],
    }


def usual_band(usual: tuple[float, float]) -> dict[str, Any]:
    """A shape that shades what is usual along an upright axis."""
    return {
        "type": "rect",
        "x0": 0,
        "x1": 1,
        "xref": "paper",
        "y0": usual[0],
        "y1": usual[1],
        "fillcolor": Color("muted", 0.14),
        "line": {"width": 0},
        "layer": "below",
    }


def layer_label(name: str) -> str:
    """A layer's whole name, for plotly; the network itself has none."""
    return label(name or "network", 300)


def layer_axis(names: Sequence[str], title: str) -> dict[str, Any]:
    """An axis of layers in this order; the names along it are short and, where there are many, of some of them."""
    apart = max(1, -(-len(names) // MOST_TICKS))
    named = names[::apart]
    return {
        "title": {"text": title},
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [layer_label(name) for name in names],
        "tickvals": [layer_label(name) for name in named],
        "ticktext": [label(_end_of(name or "network"), TICK_LENGTH) for name in named],
        "showgrid": False,
    }


def _end_of(name: str) -> str:
    """The last parts of a path that fit along an axis: `…block_3.conv` of `features.stage_1.block_3.conv`."""
    if len(name) <= TICK_LENGTH:
        return name
    *before, end = name.split(".")
    while before and len(before[-1]) + len(end) + 2 <= TICK_LENGTH:
        end = f"{before.pop()}.{end}"
    return f"…{end}"


def seeds_of(found: Mapping[str, Mapping[int, Any]]) -> list[int]:
    """The seeds that some variant has, from variant -> seed -> anything."""
    return sorted({seed for runs in found.values() for seed in runs})


def seed_control(found: Mapping[str, Mapping[int, Any]]) -> Control:
    """The choice of a seed, of those that some variant has."""
    seeds = seeds_of(found)
    return Control("seed", "Seed", "select", tuple((str(seed), str(seed)) for seed in seeds), str(seeds[0]))
