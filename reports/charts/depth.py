"""A chart of what layers give, get back and learn, from the first to the last, as a look found it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archlab.analysis.layers import merged, with_weights
from archlab.records import LayerSeries, Probes
from archlab.reports.charts.layer_map import USUAL_TEXT, By, coloured, layer_map, map_layout
from archlab.reports.charts.layered import QUANTITIES as EVERY_QUANTITY
from archlab.reports.charts.layered import Layered, Quantity
from archlab.reports.charts.parts import layer_axis, layer_label, line, usual_band
from archlab.reports.panel import Chart, Color, Control, Exact, Switch, series_color
from archlab.reports.text import label

QUANTITIES = {one.name: one for one in EVERY_QUANTITY if one.probe == "signals" and one.scale == "log"}
"""Those of the report that the latest look of a run says by itself, on a logarithmic axis each."""
QUANTITY = Control(
    "quantity", "Quantity", "select", tuple((name, one.title) for name, one in QUANTITIES.items()), "gradient_norm"
)


MAP_BUDGET = 10_000
"""Numbers of the map, which is sent anew with every step: about 55 kB."""


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
            "shapes": Switch(
                "quantity", {name: [usual_band(one.usual)] if one.usual else [] for name, one in QUANTITIES.items()}
            ),
        },
        height=380,
        wide=True,
        state={"quantity": QUANTITY.start},
    )


def variant_control(variants: Iterable[str]) -> Control:
    """The choice of the variant that the map shows."""
    options = tuple((variant, label(variant)) for variant in variants)
    return Control("variant", "Variant of the map", "select", options, options[0][0])


def map_chart(found: Mapping[str, Mapping[int, Probes]]) -> Chart:
    """The chosen quantity of every layer over training: a map, and dots as long as there is a single look.

    Args:
        found: variant -> its first seed that was looked at -> what was found.
    """
    view = Layered(found, MAP_BUDGET)
    quantities = [quantity for quantity in view.quantities if quantity.name in QUANTITIES]

    def by(part: Callable[[Quantity, list[int]], Any]) -> Switch:
        return Switch("quantity", {one.name: part(one, view.places(one, False)) for one in quantities})

    def of_variant(drawn: Callable[[Quantity, Any], Any]) -> Switch:
        cases = {}
        for variant, runs in found.items():
            seed = next(iter(runs))
            cases[variant] = by(
                lambda quantity, places, variant=variant, seed=seed: drawn(  # type: ignore[misc]
                    quantity, view.values(variant, seed, quantity).of[places]
                )
            )
        return Switch("variant", cases)

    single = len(view.steps) == 1
    colour = "one column per look; colour" if not single else "a dot, as long as there is a single look; place"
    return Chart(
        name="heat",
        title="Every layer over training",
        description=f"One row per layer with weights, the first at the bottom, {colour} for the chosen quantity of the "
        f"chosen variant’s first seed that was looked at (n = 1 run), the same for all variants. {USUAL_TEXT}",
        data=[_dots(view, by, of_variant)]
        if single
        else layer_map(
            view, by, of_variant(lambda one, rows: coloured(one, Exact(rows))), of_variant(lambda _, rows: Exact(rows))
        ),
        layout=map_layout(view, by) | ({"xaxis": by(_value_axis)} if single else {}),
        height=420,
        wide=True,
        state={"quantity": QUANTITY.start, "variant": next(iter(found))},
    )


def _dots(view: Layered, by: By, of_variant: Callable[..., Switch]) -> dict[str, Any]:
    """The only look, as a dot per layer."""
    return {
        "type": "scatter",
        "name": "layers",
        "mode": "markers",
        "x": of_variant(lambda _, rows: rows[:, 0]),
        "y": by(lambda quantity, places: [*map(layer_label, view.names(quantity, places))]),
        "marker": {"size": 9, "color": Color("text")},
        "hovertemplate": "%{y}<br>%{x:.4g}<extra></extra>",
    }


def _value_axis(quantity: Quantity, _: list[int]) -> dict[str, Any]:
    return {"title": {"text": quantity.axis}, "type": "log", "exponentformat": "power"}


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
