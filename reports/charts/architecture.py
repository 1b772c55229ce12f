"""Charts of a trace: how channels grow, and where parameters and MACs sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from archlab.analysis.folding import parent_rows
from archlab.analysis.growth import stages
from archlab.records import Growth, Layer, Stage, Trace
from archlab.reports.charts.parts import line
from archlab.reports.panel import Chart, Color, Control, Panel, Switch, series_color
from archlab.reports.text import brief, count, label, shape

MOST_TILES = 1_500
"""A treemap with more tiles than this shows only the upper levels."""
FEWEST_STAGES, MOST_STAGES = 6, 60
AXIS_TYPES = {"on": "log", "off": "linear"}
MEASURES = {"parameters": "parameters", "macs": "MACs"}


def growth_panel(trace: Trace, name: str) -> Panel | None:
    """The chart of a network's growth; None where no layer has channels."""
    growth = _growth(trace)
    return Panel(name, (growth_chart(growth),)) if any(stage.channels for stage in growth.stages) else None


def growth_chart(growth: Growth) -> Chart:
    """Channels, map size and parameters, stage by stage: three rows of bars over the same stages."""
    found = [stage for stage in growth.stages if stage.shape]
    places = list(range(len(found)))
    names = [label(_stage_name(stage), 26) for stage in found]
    hover = [f"{names[place]}<br>{label(shape(stage.shape))}" for place, stage in enumerate(found)]
    rows: tuple[tuple[str, list[Any], str], ...] = (
        ("channels", [stage.channels for stage in found], "series-0"),
        ("map height", [stage.height for stage in found], "series-2"),
        ("parameters", [stage.parameters for stage in found], "series-1"),
    )
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "xaxis": {
            "tickvals": places,
            "ticktext": names,
            "tickangle": -40,
            "showgrid": False,
            "zeroline": False,
            "anchor": "y3",
        },
        "bargap": 0.3,
        "showlegend": False,
        "margin": {"t": 24},
    }
    annotations: list[dict[str, Any]] = []
    for row, (title, values, color) in enumerate(rows, start=1):
        axis = f"y{row}" if row > 1 else "y"
        top = 1 - (row - 1) * 0.35
        layout[f"yaxis{row if row > 1 else ''}"] = {
            "domain": [top - 0.26, top - 0.02],
            "rangemode": "tozero",
            "nticks": 4,
            "zeroline": False,
        }
        annotations.append(
            {
                "text": f"<b>{title}</b>",
                "x": 0,
                "y": top + 0.035,
                "xref": "paper",
                "yref": "paper",
                "xanchor": "left",
                "showarrow": False,
            }
        )
        data.append(
            {
                "type": "bar",
                "name": title,
                "x": places,
                "y": values,
                "yaxis": axis,
                "text": ["" if value is None else brief(value) for value in values] if len(found) <= 24 else "",
                "textposition": "outside",
                "cliponaxis": False,
                "hovertext": hover,
                "hovertemplate": "%{hovertext}<br>%{y:,} " + title + "<extra></extra>",
                "marker": {"color": Color(color)},
            }
        )
    widest = max((stage.channels for stage in found), default=0)
    return Chart(
        name="growth",
        title="Growth, stage by stage",
        description="A stage is a block, or neighbouring layers that give the same shape. From top to bottom: "
        f"channels of its output (features, after flattening; up to {count(widest)}), height of its feature map in "
        "pixels, and its parameters.",
        data=data,
        layout=layout | {"annotations": annotations},
        height=520,
        wide=True,
    )


def overlay_panel(networks: Mapping[str, Trace], name: str) -> Panel | None:
    """The growth of several networks in one chart, by what a reader calls them; None where none has channels."""
    grown = {title: _growth(trace) for title, trace in networks.items()}
    if not any(stage.channels for growth in grown.values() for stage in growth.stages):
        return None
    measures = {"channels": "channels", "height": "map height", "parameters": "parameters so far"}
    chart = Chart(
        name="overlay",
        title="Growth side by side",
        description="Every network from its input, 0 %, to its output, 100 % of its stages. A point is a stage: a "
        "block, or neighbouring layers that give the same shape.",
        data=Switch(
            "measure",
            {
                measure: _widened(
                    [_overlay(title, growth, measure, index) for index, (title, growth) in enumerate(grown.items())]
                )
                for measure in measures
            },
        ),
        layout={
            "xaxis": {"title": {"text": "share of the stages"}, "tickformat": ".0%", "zeroline": False},
            "yaxis": {
                "title": {"text": Switch("measure", measures)},
                "type": Switch("scale", AXIS_TYPES),
                "dtick": Switch("scale", {"on": "D2", "off": None}),
            },
        },
        height=400,
        wide=True,
        state={"measure": "channels", "scale": "on"},
    )
    controls = (
        Control("measure", "Line shows", "select", tuple(measures.items()), "channels"),
        Control("scale", "Log axis", "toggle", start="on"),
    )
    return Panel(name, (chart,), controls)


def _widened(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines, each wider than those on top of it that are the same, so that it can be seen beneath them."""
    widened = []
    for place, trace in enumerate(traces):
        extra = 3 * min(3, sum((other["x"], other["y"]) == (trace["x"], trace["y"]) for other in traces[place + 1 :]))
        wider = {"line": {**trace["line"], "width": 2 + extra}, "marker": {"size": 7 + extra}}
        widened.append(trace | wider)
    return widened


def _overlay(title: str, growth: Growth, measure: str, index: int) -> dict[str, Any]:
    found = [stage for stage in growth.stages if stage.shape]
    values: dict[str, list[int | None]] = {
        "channels": [stage.channels for stage in found],
        "height": [stage.height for stage in found],
        "parameters": [*accumulate(stage.parameters for stage in found)],
    }
    return line(
        label(title),
        [(place + 1) / len(found) for place in range(len(found))],
        values[measure],
        series_color(index),
        mode="lines+markers",
        text=[f"{label(_stage_name(stage), 40)}, {label(shape(stage.shape))}" for stage in found],
        hovertemplate="%{text}: %{y:,}<extra>%{fullData.name}</extra>",
    )


def share_panel(trace: Trace, name: str) -> Panel | None:
    """The treemap of a network; None where there is nothing to share."""
    measures = {measure: title for measure, title in MEASURES.items() if getattr(trace.totals, measure)}
    if not measures or not trace.layers:
        return None
    first = next(iter(measures))
    chart = Chart(
        name="share",
        title="Where parameters and MACs sit",
        description="Each tile's area is its layer's share of the whole network, and tiles lie inside the module that "
        "holds them. Choose a tile to go into it, and the bar above to go back.",
        data=[Switch("measure", {measure: _tiles(trace, measure) for measure in measures})],
        layout={"margin": {"l": 0, "r": 0, "t": 4, "b": 4}, "extendtreemapcolors": False},
        height=440,
        wide=True,
        state={"measure": first},
    )
    return Panel(name, (chart,), (Control("measure", "Area shows", "select", tuple(measures.items()), first),))


def _growth(trace: Trace) -> Growth:
    """The stages at the smallest depth that shows some growth."""
    growth = stages(trace, 1)
    for depth in range(2, max((layer.depth for layer in trace.layers), default=1) + 1):
        deeper = stages(trace, depth)
        if len(growth.stages) >= FEWEST_STAGES or len(deeper.stages) > MOST_STAGES:
            break
        growth = deeper
    return growth


def _stage_name(stage: Stage) -> str:
    return stage.paths[0] if len(stage.paths) == 1 else f"{stage.paths[0]} … {stage.paths[-1].rpartition('.')[2]}"


def _tiles(trace: Trace, measure: str) -> dict[str, Any]:
    total = getattr(trace.totals, measure)
    identifiers, parents, labels, values = ["root"], [""], [label(trace.network, 40)], [total]
    rows = _nested(trace, measure)
    for (index, layer), parent in zip(rows, parent_rows(layer.depth for _, layer in rows), strict=True):
        identifiers.append(str(index))
        parents.append("root" if parent < 0 else str(rows[parent][0]))
        labels.append(label(layer.path if parent < 0 else layer.path.rpartition(".")[2], 40))
        values.append(getattr(layer, measure))
    return {
        "type": "treemap",
        "ids": identifiers,
        "parents": parents,
        "labels": labels,
        "values": values,
        "text": [brief(value) for value in values],
        "branchvalues": "remainder" if _exceeds(values, parents, identifiers) else "total",
        "textinfo": "label+text",
        "textfont": {"color": Color("text")},
        "hovertemplate": "<b>%{label}</b><br>%{value:,} "
        + MEASURES[measure]
        + "<br>%{percentRoot:.1%} of the network<extra></extra>",
        "marker": {"line": {"width": 1, "color": Color("surface")}, "pad": {"t": 22, "l": 3, "r": 3, "b": 3}},
        "root": {"color": Color("raised")},
        "pathbar": {"thickness": 22},
        "tiling": {"pad": 2},
    }


def _nested(trace: Trace, measure: str) -> list[tuple[int, Layer]]:
    """The layers that have a share, as deep as the number of tiles allows."""
    rows = [(index, layer) for index, layer in enumerate(trace.layers) if getattr(layer, measure)]
    depth = max((layer.depth for _, layer in rows), default=1)
    while depth > 1 and sum(layer.depth <= depth for _, layer in rows) > MOST_TILES:
        depth -= 1
    return [(index, layer) for index, layer in rows if layer.depth <= depth]


def _exceeds(values: list[int], parents: list[str], identifiers: list[str]) -> bool:
    """Whether more lies in some tile than its value says, as where a layer is shared: plotly draws nothing then."""
    inside: dict[str, int] = {}
    for value, parent in zip(values, parents, strict=True):
        inside[parent] = inside.get(parent, 0) + value
    return any(inside.get(name, 0) > value for name, value in zip(identifiers, values, strict=True))
