"""Charts of a trace: how channels grow, and where parameters and MACs sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any

from archlab.analysis.folding import parent_rows
from archlab.analysis.growth import stages
from archlab.records import Growth, Layer, Stage, Trace
from archlab.reports import palette
from archlab.reports.charts.parts import line, points
from archlab.reports.diagram.colour import CATEGORIES, category_of
from archlab.reports.panel import Chart, Color, Control, Panel, Switch, series_color
from archlab.reports.text import brief, count, label, shape

MOST_TILES = 1_500
"""A treemap with more tiles than this shows only the upper levels."""
FEWEST_STAGES, MOST_STAGES = 6, 60
AXIS_TYPES = {"on": "log", "off": "linear"}
WEIGHTED = ("convolution", "linear", "attention", "recurrent", "embedding", "pooling")
"""Kinds of layers that a stage is called by, in place of the normalisation and activation behind them."""
MEASURES = {"parameters": "parameters", "macs": "MACs"}


def growth_panel(trace: Trace, name: str) -> Panel | None:
    """The chart of a network's growth; None where no layer has channels."""
    growth = _growth(trace)
    return Panel(name, (growth_chart(growth),)) if any(stage.channels for stage in growth.stages) else None


def growth_chart(growth: Growth) -> Chart:
    """Channels, map size and parameters, stage by stage: three rows of bars over the same stages."""
    found = [stage for stage in growth.stages if stage.shape]
    sizes = _size_title(found)
    rows: tuple[tuple[str, list[tuple[int | None, ...]]], ...] = (
        ("features" if sizes != "map height" else "channels", [_parts(stage) for stage in found]),
        (sizes, [(_extent(stage),) for stage in found]),
        ("parameters", [(stage.parameters,) for stage in found]),
    )
    places = list(range(len(found)))
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "xaxis": {
            "tickvals": places,
            "ticktext": [label(_stage_name(stage), 26) for stage in found],
            "tickangle": -40,
            "showgrid": False,
            "zeroline": False,
            "anchor": "y3",
        },
        "barmode": "overlay",
        "bargap": 0.3,
        "margin": {"t": 64},
        "legend": {"orientation": "h", "x": 0, "y": 1.12, "yanchor": "bottom"},
    }
    annotations: list[dict[str, Any]] = []
    for row, (title, values) in enumerate(rows, start=1):
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
        data.append(_bars(found, title, values, f"y{row}" if row > 1 else "y"))
    kinds = {_stage_category(stage) for stage in found}
    data += _legend(kinds)
    widest = max((stage.channels for stage in found), default=0)
    pieces = "Where a block puts its layers side by side, each is a piece of the bar. "
    joined = pieces if any(len(stage.parts) > 1 for stage in found) else ""
    return Chart(
        name="growth",
        title="Growth, stage by stage",
        description="A stage is a block, or neighbouring layers that give the same shape. From top to bottom: "
        f"{rows[0][0]} of its output (up to {count(widest)}), {sizes}, and its parameters. {joined}Colours are kinds "
        "of layers, as in the diagram.",
        data=data,
        layout=layout | {"annotations": annotations},
        height=540,
        wide=True,
    )


def _parts(stage: Stage) -> tuple[int | None, ...]:
    """The pieces that the bar of a stage's channels is drawn of."""
    return stage.parts or (stage.channels or None,)


def _extent(stage: Stage) -> int | None:
    """The map's height, or how many tokens or steps there are."""
    return stage.height if stage.height is not None else (prod(stage.spatial) if stage.spatial else None)


def _size_title(found: Sequence[Stage]) -> str:
    """What the axes beside the features are, of all stages."""
    names = dict.fromkeys(name for stage in found for name in stage.positions if name not in ("", "width", "depth"))
    words = {"height": "map height", "time": "time steps", "length": "length"}
    return ", ".join(words.get(name, name) for name in names) or "map height"


def _bars(found: Sequence[Stage], title: str, values: Sequence[tuple[int | None, ...]], axis: str) -> dict[str, Any]:
    """One row of bars, each of one piece or of several on top of each other."""
    colors = [_stage_category(stage) for stage in found]
    pieces = [
        (place, piece, sum(filter(None, parts[:at])), at == len(parts) - 1, sum(filter(None, parts)), len(parts))
        for place, parts in enumerate(values)
        for at, piece in enumerate(parts)
    ]
    return {
        "type": "bar",
        "name": title,
        "x": [place for place, *_ in pieces],
        "y": [piece for _, piece, *_ in pieces],
        "base": [base for _, _, base, *_ in pieces],
        "yaxis": axis,
        "text": [
            brief(whole) if last and piece is not None and len(found) <= 24 else ""
            for _, piece, _, last, whole, _ in pieces
        ],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertext": [
            f"{label(_stage_name(found[place]), 26)}<br>{label(shape(found[place].shape))}<br>"
            + (f"{piece or 0:,} of " if parts > 1 else "")
            + f"{whole:,} {title}"
            for place, piece, _, _, whole, parts in pieces
        ],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "showlegend": False,
        "marker": {
            "color": [Color(f"diagram-{colors[place]}") for place, *_ in pieces],
            "line": {"width": 1, "color": [Color(f"diagram-{colors[place]}-line") for place, *_ in pieces]},
        },
    }


def _stage_category(stage: Stage) -> str:
    """The kind of layers that a stage's colour says: of its first layer that multiplies, else of its last."""
    found = [category_of(kind) for kind in stage.kinds]
    return next((name for name in found if name in WEIGHTED), found[-1] if found else "other")


def overlay_panel(networks: Mapping[str, Trace], name: str, places: Mapping[str, int] | None = None) -> Panel | None:
    """The growth of several networks in one chart, by what a reader calls them; None where none has channels.

    Args:
        networks: what a reader calls each, and what it is.
        name: the panel's.
        places: of the networks among the colours; in their order by default.
    """
    places = places or palette.numbered(networks)
    grown = {title: _growth(trace) for title, trace in networks.items()}
    if not any(stage.channels for growth in grown.values() for stage in growth.stages):
        return None
    every = [stage for growth in grown.values() for stage in growth.stages if stage.shape]
    sizes = _size_title(every)
    channels = "features" if sizes != "map height" else "channels"
    measures = {"channels": channels, "height": sizes, "parameters": "parameters so far"}
    chart = Chart(
        name="overlay",
        title="Growth side by side",
        description="Every network from its input, 0 %, to its output, 100 % of its stages. A point is a stage: a "
        f"block, or neighbouring layers that give the same shape.{_inputs(networks)}",
        data=Switch(
            "measure",
            {
                measure: _apart([_overlay(title, growth, measure, places[title]) for title, growth in grown.items()])
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


def _apart(traces: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines, those that lie on each other as one that names all of them."""
    kept: list[dict[str, Any]] = []
    for trace in traces:
        same = next((other for other in kept if (other["x"], other["y"]) == (trace["x"], trace["y"])), None)
        if same is None:
            kept.append(dict(trace))
        else:
            same["name"] += f" = {trace['name']}"
    return kept


def _inputs(networks: Mapping[str, Trace]) -> str:
    """Which inputs the networks have, where they differ."""
    told = {title: "; ".join(shape(sizes) for sizes in trace.inputs) for title, trace in networks.items()}
    return f" Inputs differ: {', '.join(f'{title} {sizes}' for title, sizes in told.items())}." * (
        len(set(told.values())) > 1
    )


def _overlay(title: str, growth: Growth, measure: str, place: int) -> dict[str, Any]:
    found = [stage for stage in growth.stages if stage.shape]
    values: dict[str, list[int | None]] = {
        "channels": [stage.channels for stage in found],
        "height": [_extent(stage) for stage in found],
        "parameters": [*accumulate(stage.parameters for stage in found)],
    }
    return line(
        label(title),
        [(place + 1) / len(found) for place in range(len(found))],
        values[measure],
        series_color(place),
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
        description="Each tile is a layer; its area is the layer's share of the whole network, and layers of one "
        "module lie together. Colours are kinds of layers, as in the diagram. Choose a tile to go into its module, and "
        "the bar above to go back.",
        data=[
            Switch("measure", {measure: _tiles(trace, measure) for measure in measures}),
            *_legend(_tile_kinds(trace, list(measures))),
        ],
        layout={
            "margin": {"l": 0, "r": 0, "t": 4, "b": 4},
            "uniformtext": {"minsize": 9, "mode": "hide"},
            # The axes of the legend's entries, which have no points.
            "xaxis": {"visible": False, "fixedrange": True, "domain": [0, 0.001]},
            "yaxis": {"visible": False, "fixedrange": True, "domain": [0, 0.001]},
        },
        height=440,
        wide=True,
        state={"measure": first},
    )
    return Panel(name, (chart,), (Control("measure", "Area shows", "select", tuple(measures.items()), first),))


def _legend(kinds: set[str]) -> list[dict[str, Any]]:
    """The entries that say what colours of kinds of layers mean, of those that occur."""
    return [
        points(name, [None], [None], _square(name), hoverinfo="skip", showlegend=True)
        for name in (*CATEGORIES, "other")
        if name in kinds
    ]


def _tile_kinds(trace: Trace, measures: Sequence[str]) -> set[str]:
    """The kinds of the layers that are drawn as tiles, by one measure or another."""
    shown: set[str] = set()
    for measure in measures:
        rows = _nested(trace, measure)
        holding = set(parent_rows(layer.depth for _, layer in rows))
        shown |= {category_of(layer.kind) for place, (_, layer) in enumerate(rows) if place not in holding}
    return shown


def _square(name: str) -> dict[str, Any]:
    """The marker of a kind of layers."""
    line = {"width": 1, "color": Color(f"diagram-{name}-line")}
    return {"symbol": "square", "size": 12, "color": Color(f"diagram-{name}"), "line": line}


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
        labels.append(_tile_name(layer.path))
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
        "textfont": {"color": Color("text"), "size": 13},
        "hovertemplate": "<b>%{label}</b><br>%{value:,} "
        + MEASURES[measure]
        + "<br>%{percentRoot:.1%} of the network<extra></extra>",
        # Nothing is left free between or around tiles, so that areas are shares exactly.
        "marker": {
            "colors": [Color("raised"), *(Color(f"diagram-{category_of(layer.kind)}") for _, layer in rows)],
            "line": {"width": 1, "color": Color("surface")},
            "pad": {"t": 0, "l": 0, "r": 0, "b": 0},
        },
        "root": {"color": Color("raised")},
        "pathbar": {"thickness": 24, "textfont": {"color": Color("text"), "size": 12}},
        "tiling": {"pad": 0},
    }


def _tile_name(path: str) -> str:
    """The path, on two lines where it is long: `layer4.0`, `conv2`."""
    module, _, name = path.rpartition(".")
    return f"{label(module, 24)}<br>{label(name, 24)}" if len(path) > 12 and module else label(path, 24)


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
