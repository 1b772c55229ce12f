"""Charts of a trace: how channels grow, and where parameters and MACs sit."""

from __future__ import annotations

from typing import Any

from archlab.records import Layer, Trace
from archlab.reports.chart import Chart, Color, Control, Panel, Switch
from archlab.reports.text import brief, count, label

LEAVES = 1_500
"""A treemap with more tiles than this shows only the upper levels."""
MEASURES = {"parameters": "parameters", "macs": "MACs"}


def growth_chart(trace: Trace) -> Chart:
    """Channels as bars and the spatial size as a line, layer by layer at the top level."""
    import numpy as np

    layers = [layer for layer in trace.rows(1) if layer.output_shapes and len(layer.output_shapes[0]) > 1]
    names = [label(layer.path, 24) for layer in layers]
    shapes = [layer.output_shapes[0] for layer in layers]
    sizes = [float(shape[2]) if len(shape) > 2 else float("nan") for shape in shapes]
    places = list(range(len(layers)))
    hover = [f"<b>{name}</b><br>{label(' × '.join(map(str, shape)))}" for name, shape in zip(names, shapes, strict=True)]
    data = [
        {
            "type": "bar",
            "name": "channels or features",
            "x": places,
            "y": [shape[1] for shape in shapes],
            "hovertext": hover,
            "hovertemplate": "%{hovertext}<br>%{y} channels<extra></extra>",
            "marker": {"color": Color("series-0")},
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": "height of the map, pixels",
            "x": places,
            "y": np.array(sizes),
            "yaxis": "y2",
            "hovertext": hover,
            "hovertemplate": "%{hovertext}<br>%{y} pixels high<extra></extra>",
            "line": {"color": Color("series-1"), "width": 2},
            "marker": {"size": 6},
        },
    ]
    layout = {
        "xaxis": {"tickvals": places, "ticktext": names, "tickangle": -45, "showgrid": False, "automargin": True},
        "yaxis": {"title": {"text": "channels"}, "rangemode": "tozero"},
        "yaxis2": {
            "title": {"text": "height, pixels"},
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
        },
        "bargap": 0.25,
    }
    widest = max((shape[1] for shape in shapes), default=0)
    return Chart(
        name="growth",
        title="Channels and spatial size, layer by layer",
        description=f"Bars: channels (features, after flattening) of each top-level layer's output, up to {count(widest)}. "
        "Line: height of the feature map in pixels; it ends where the map is flattened.",
        data=data,
        layout=layout,
        wide=True,
    )


def share_chart(trace: Trace) -> Chart:
    """Tiles whose area is a layer's share of the parameters or of the MACs, nested as the modules are."""
    return Chart(
        name="share",
        title="Where parameters and MACs sit",
        description="Each tile's area is its layer's share of the whole network, and tiles lie inside the module that "
        "holds them. Choose a tile to go into it, and the bar above to go back.",
        data=[Switch("measure", {measure: _tiles(trace, measure) for measure in MEASURES})],
        layout={"margin": {"l": 0, "r": 0, "t": 8, "b": 8}},
        height=420,
        wide=True,
        state={"measure": "parameters"},
    )


def architecture_panel(trace: Trace, name: str) -> Panel:
    """The charts of one network."""
    control = Control("measure", "Area shows", "select", tuple(MEASURES.items()), "parameters")
    return Panel(name, (share_chart(trace),), (control,))


def growth_panel(trace: Trace, name: str) -> Panel:
    """The chart of one network's growth."""
    return Panel(name, (growth_chart(trace),))


def _tiles(trace: Trace, measure: str) -> dict[str, Any]:
    layers = _nested(trace, measure)
    total = getattr(trace.totals, measure)
    identifiers, parents, labels, values = ["root"], [""], [label(trace.network, 40)], [total]
    open_rows: list[tuple[int, str]] = []
    for index, layer in layers:
        while open_rows and open_rows[-1][0] >= layer.depth:
            open_rows.pop()
        identifiers.append(str(index))
        parents.append(open_rows[-1][1] if open_rows else "root")
        labels.append(label(layer.path.rsplit(".", 1)[-1] if open_rows else layer.path, 40))
        values.append(getattr(layer, measure))
        open_rows.append((layer.depth, str(index)))
    return {
        "type": "treemap",
        "ids": identifiers,
        "parents": parents,
        "labels": labels,
        "values": values,
        "text": [brief(value) for value in values],
        "branchvalues": "remainder" if _exceeds(values, parents, identifiers) else "total",
        "textinfo": "label+text",
        "hovertemplate": "<b>%{label}</b><br>%{value:,} " + MEASURES[measure] + "<br>%{percentRoot:.1%} of the network<extra></extra>",
        "marker": {"line": {"width": 1, "color": Color("surface")}, "pad": {"t": 22, "l": 3, "r": 3, "b": 3}},
        "pathbar": {"thickness": 22},
        "tiling": {"pad": 2},
    }


def _nested(trace: Trace, measure: str) -> list[tuple[int, Layer]]:
    """The layers that have a share, as deep as the number of tiles allows."""
    rows = [(index, layer) for index, layer in enumerate(trace.layers) if getattr(layer, measure)]
    depth = max((layer.depth for _, layer in rows), default=1)
    while depth > 1 and sum(layer.depth <= depth for _, layer in rows) > LEAVES:
        depth -= 1
    return [(index, layer) for index, layer in rows if layer.depth <= depth]


def _exceeds(values: list[int], parents: list[str], identifiers: list[str]) -> bool:
    """Whether some tile is smaller than what lies in it: plotly draws nothing then."""
    inside: dict[str, int] = {}
    for value, parent in zip(values, parents, strict=True):
        inside[parent] = inside.get(parent, 0) + value
    return any(inside.get(name, 0) > value for name, value in zip(identifiers, values, strict=True))
