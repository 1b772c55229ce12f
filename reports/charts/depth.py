"""A chart of what layers give, get back and learn, from the first to the last, as a look found it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archlab.records import LayerSeries
from archlab.reports.charts.parts import line
from archlab.reports.panel import Chart, Control, Switch, series_color
from archlab.reports.text import label

MOST_TICKS = 20
"""Layers that are named along the axis; of more, so many from all depths."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One of `Probes.SIGNALS` that is drawn."""

    title: str
    """Of the axis and among the choices."""
    scale: str = "log"


QUANTITIES = {
    "gradient_norm": Quantity("gradient norm"),
    "weight_gradient_norm": Quantity("norm of the weights’ gradient"),
    "update_ratio": Quantity("update ratio of the weights"),
    "activation_norm": Quantity("activation norm"),
    "activation_variance": Quantity("activation variance"),
}
QUANTITY = Control(
    "quantity", "Quantity", "select", tuple((name, one.title) for name, one in QUANTITIES.items()), "gradient_norm"
)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at one run found."""

    seed: int
    step: int
    values: Mapping[str, Mapping[str, float]]
    """Quantity -> layer -> value, of the layers that train something, in the order of the forward pass."""


def latest(signals: LayerSeries, seed: int) -> Look:
    """The newest look at a run."""
    import numpy as np

    training = np.count_nonzero(~np.isnan(signals.quantities["weight_norm"]), axis=0)
    places = np.flatnonzero(training).tolist() or range(len(signals.layers))
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
        "first layer (left) to the last, layers with weights alone (scales of a normalisation are weights too). "
        f"Gradients are those of the loss of {images:,} training images with respect to what a layer gives: where they "
        "fall by powers of ten towards the left, the first layers hardly learn; where they rise, they explode. "
        f"Drawn: {whose}.",
        data=[_trace(variant, look, layers, places[variant]) for variant, look in looks.items()],
        layout={
            "xaxis": _layer_axis(layers),
            "yaxis": {
                "title": {"text": Switch("quantity", {name: one.title for name, one in QUANTITIES.items()})},
                "type": Switch("quantity", {name: one.scale for name, one in QUANTITIES.items()}),
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
        [_layer_label(layer) for layer in layers],
        Switch("quantity", {name: values(name) for name in QUANTITIES}),
        color,
        mode="lines+markers",
        marker={"size": 5, "color": color},
        connectgaps=True,  # over layers that other variants have
        uid=variant,
        hovertemplate="%{x}<br>%{y:.4g}",
    )


def _layer_label(name: str) -> str:
    return label(name or "network", 300)


def _layer_axis(layers: Sequence[str]) -> dict[str, Any]:
    named = layers[:: max(1, -(-len(layers) // MOST_TICKS))]
    return {
        "title": {"text": "layer, in the order of the forward pass"},
        "type": "category",
        "categoryorder": "array",
        "categoryarray": [_layer_label(name) for name in layers],
        "tickvals": [_layer_label(name) for name in named],
        "ticktext": [label(name or "network", 18) for name in named],
        "showgrid": False,
    }


def merged(orders: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All names of some sequences in one order; a name that earlier ones lack stands behind the one before it.

    >>> merged([["conv", "head"], ["conv", "norm", "head"]])
    ('conv', 'norm', 'head')
    """
    found: list[str] = []
    for names in orders:
        place = 0
        for name in names:
            if name not in found:
                found.insert(place, name)
            place = found.index(name) + 1
    return tuple(found)
