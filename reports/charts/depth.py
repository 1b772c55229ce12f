"""A chart of what layers give, get back and learn, from the first to the last, as a look found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archlab.analysis.layers import merged, with_weights
from archlab.records import LayerSeries
from archlab.reports.charts.layered import QUANTITIES as EVERY_QUANTITY
from archlab.reports.charts.parts import layer_axis, layer_label, line
from archlab.reports.panel import Chart, Control, Switch, series_color
from archlab.reports.text import label

QUANTITIES = {one.name: one for one in EVERY_QUANTITY if one.probe == "signals" and one.scale == "log"}
"""Those of the report that the latest look of a run says by itself, on a logarithmic axis each."""
QUANTITY = Control(
    "quantity", "Quantity", "select", tuple((name, one.title) for name, one in QUANTITIES.items()), "gradient_norm"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one run found."""

    seed: int
    step: int
    values: Mapping[str, Mapping[str, float]]
    """Quantity -> layer -> value, of the layers with weights, in the order of the forward pass."""


def latest(signals: LayerSeries, seed: int) -> Look:
    """The newest look at a run."""
    places = [signals.layers.index(name) for name in with_weights(signals)]
    values = {
        name: {signals.layers[place]: float(signals.quantities[name][-1, place]) for place in places}
        for name in QUANTITIES
        if name in signals.quantities
    }
    return Look(seed, signals.steps[-1], values)


def depth_chart(looks: Mapping[str, Look], places: Mapping[str, int], images: int) -> Chart:
    """The chosen quantity of each layer, one line per variant.

    Args:
        looks: variant -> what is drawn of it.
        places: variant -> its place among all, for the colour.
        images: that were looked at.
    """
    layers = merged(list(look.values["gradient_norm"]) for look in looks.values())
    whose = "; ".join(f"{variant}, step {look.step:,} of seed {look.seed}" for variant, look in looks.items())
    return Chart(
        name="depth",
        title="Signals by depth at the latest look",
        description="The chosen quantity, one line per variant: of its first seed that was looked at (n = 1), from the "
        "first layer (left) to the last, layers with weights alone. "
        f"Gradients are those of the loss of {images:,} training images with respect to what a layer gives: where they "
        "fall by powers of ten towards the left, the first layers hardly learn; where they rise, they explode. "
        f"Drawn: {whose}.",
        data=[_trace(variant, look, layers, places[variant]) for variant, look in looks.items()],
        layout={
            "xaxis": layer_axis(layers, "layer, in the order of the forward pass"),
            "yaxis": {
                "title": {"text": Switch("quantity", {name: one.axis for name, one in QUANTITIES.items()})},
                "type": "log",
                "exponentformat": "power",
            },
            "hovermode": "closest",
        },
        height=380,
        wide=True,
        state={"quantity": QUANTITY.start},
    )


def _trace(variant: str, look: Look, layers: Sequence[str], place: int) -> dict[str, Any]:
    import numpy as np

    def values(name: str) -> Any:
        found = look.values.get(name, {})
        return np.array([found.get(layer, np.nan) for layer in layers], dtype=np.float32)

    color = series_color(place)
    return line(
        f"{label(variant)}, step {look.step:,}",
        [layer_label(layer) for layer in layers],
        Switch("quantity", {name: values(name) for name in QUANTITIES}),
        color,
        mode="lines+markers",
        marker={"size": 5, "color": color},
        connectgaps=True,  # over layers that other variants have
        uid=variant,
        hovertemplate="%{x}<br>%{y:.4g}",
    )
