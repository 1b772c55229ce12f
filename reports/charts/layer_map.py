"""Layers against steps as a map: what the report and the live page draw alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from archlab.analysis import probing
from archlab.reports.charts.layered import Layered, Quantity
from archlab.reports.charts.parts import BAR_ROOM, STEP_AXIS, color_bar, layer_axis, layer_label
from archlab.reports.panel import Logarithm, Scale

By = Callable[[Callable[[Quantity, list[int]], Any]], Any]
"""Makes a node of what each quantity gives for the layers that are shown."""
USUAL_TEXT = "The update ratio has hardly any colour where it is usual: between the marks on the colour bar."
LEAST_REACH = 2
"""Powers of ten on both sides of the usual range's middle that its colours cover at least."""


def layer_map(view: Layered, by: By, z: Any, values: Any) -> list[dict[str, Any]]:
    """The trace of a map with a row per layer and a column per look; its colours are the same at all steps.

    Args:
        view: what is drawn.
        by: gives a node for something that depends on the quantity and the layers.
        z: a node for what the colours say, (layers, steps).
        values: the same as it is hovered over.
    """

    def part(name: str) -> Any:
        return by(lambda quantity, places: colours(quantity, view.every(quantity)[places])[name])

    return [
        {
            "type": "heatmap",
            "name": "layers",
            "x": list(view.steps),
            "y": by(lambda quantity, places: [*map(layer_label, view.names(quantity, places))]),
            "z": z,
            "customdata": values,
            **{name: part(name) for name in ("colorscale", "zmin", "zmax", "colorbar")},
            "hoverongaps": False,
            "hovertemplate": by(lambda quantity, _: f"step %{{x}}<br>%{{y}}<br>%{{customdata:.4g}}{_usual(quantity)}"),
        }
    ]


def map_layout(view: Layered, by: By) -> dict[str, Any]:
    """The axes of such a map: steps across, layers upwards in the order of the forward pass."""
    return {
        "margin": BAR_ROOM,
        "xaxis": {**STEP_AXIS, "showgrid": False, "zeroline": False},
        "yaxis": by(lambda quantity, places: layer_axis(view.names(quantity, places), "layer")),
    }


def coloured(quantity: Quantity, node: Any) -> Any:
    """The node whose colours are drawn: its logarithm, where the quantity's scale is logarithmic."""
    return Logarithm(node) if quantity.scale == "log" else node


def extent(quantity: Quantity, values: Any) -> tuple[float, float]:
    """The least and the greatest value on a linear axis; below 0 only where there is something below."""
    import numpy as np

    if quantity.scale != "linear":
        return (-1.0, 1.0) if quantity.scale == "cosine" else (0.0, 1.0)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return (low, high) if high > low else (low - 1, high + 1)


def colours(quantity: Quantity, values: Any) -> dict[str, Any]:
    """The colours of a quantity over all the values that are drawn, and the bar above the map."""
    bar = color_bar(quantity.axis)
    if quantity.usual is not None:
        return _around(quantity.usual, values, bar)
    if quantity.scale == "log":
        scale = probing.log_scale([values], least=0)
        ticks = {"tickvals": list(scale.ticks.values()), "ticktext": [f"{number:.3g}" for number in scale.ticks]}
        return {"colorscale": Scale("sequential"), "zmin": scale.start, "zmax": scale.end, "colorbar": bar | ticks}
    low, high = extent(quantity, values)
    name: Any = "diverging" if low < 0 else "sequential"
    if low < 0:
        low, high = min(low, -high), max(high, -low)
    share = {"tickformat": ".0%"} if quantity.scale == "share" else {}
    return {"colorscale": Scale(name), "zmin": low, "zmax": high, "colorbar": bar | share}


def _around(usual: tuple[float, float], values: Any, bar: dict[str, Any]) -> dict[str, Any]:
    """Colours with two sides: none in the middle of what is usual, whose ends are marked on the bar."""
    import numpy as np

    low, high = map(math.log10, usual)
    middle = (low + high) / 2
    found = np.log10(values[np.isfinite(values) & (values > 0)])
    reach = max(LEAST_REACH, float(np.abs(found - middle).max()) if found.size else 0)
    names = {low: f"▸ {usual[0]:g}", middle: f"{10**middle:g}", high: f"{usual[1]:g} ◂"}
    ticks = {"tickvals": list(names), "ticktext": list(names.values())}
    return {
        "colorscale": Scale("diverging"),
        "zmin": middle - reach,
        "zmax": middle + reach,
        "colorbar": bar | ticks,
    }


def _usual(quantity: Quantity) -> str:
    usual = "" if quantity.usual is None else f"<br>usual: {quantity.usual[0]:g} to {quantity.usual[1]:g}"
    return f"{usual}<extra></extra>"
