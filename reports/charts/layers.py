"""The panel of signals by depth: what layers give, get back and learn, from the first layer to the last."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from archlab.analysis import layers, probing
from archlab.records import Probes
from archlab.reports import palette
from archlab.reports.charts.layered import VALUE_BUDGET, Layered, Quantity
from archlab.reports.charts.parts import (
    BAR_ROOM,
    STEP_AXIS,
    color_bar,
    layer_axis,
    layer_label,
    line,
    log_axis,
    seed_control,
)
from archlab.reports.panel import (
    Chart,
    Color,
    Control,
    Exact,
    Logarithm,
    Panel,
    Scale,
    Slice,
    State,
    Switch,
    series_color,
)
from archlab.reports.text import label


def layers_panel(
    found: Mapping[str, Mapping[int, Probes]],
    name: str,
    places: Mapping[str, int] | None = None,
    budget: int = VALUE_BUDGET,
) -> Panel:
    """Everything that signals, rank and shift say of the layers, thinned to the budget.

    Args:
        found: variant -> seed -> what was probed; no variant is empty, and some run has one of the three.
        name: the panel's.
        places: variant -> its place among the colours; in their order by default.
        budget: values that may be embedded.
    """
    view, places = Layered(found, budget), places or palette.numbered(found)
    quantities = tuple((quantity.name, quantity.title) for quantity in view.quantities)
    variants = tuple((variant, label(variant)) for variant in found)
    seeds = seed_control(view.found)
    state: dict[str, str | int] = {
        "quantity": quantities[0][0],
        "layers": "off",
        "variant": variants[0][0],
        "seed": seeds.start,
        "step": len(view.steps) - 1,
    }
    controls = [
        Control("quantity", "Quantity", "select", quantities, state["quantity"]),
        Control("step", "Step", "range", list(view.steps), state["step"]),
        seeds,
        Control("variant", "Variant of the map", "select", variants, state["variant"]),
    ]
    if view.has_more():
        controls.append(Control("layers", "all layers", "toggle", start="off"))
    charts = [_depth_chart(view, state, places), _heat_map(view, state)]
    if view.blocks:
        charts.append(_branch_chart(view, state, places))
    return Panel(name, tuple(charts), tuple(controls), tuple(view.notes()))


_READING = (
    "Gradients come back from right to left. A level line: they reach every layer. Falling by powers of ten towards "
    "the left: they vanish, and the first layers hardly learn. Rising towards the left: they explode. Norms are over "
    "all elements of a layer: those of layers of other sizes differ by that alone. "
)


_FADING = "Gradients that fade from top to bottom vanish on their way to the first layers. "


def _depth_chart(view: Layered, state: State, places: Mapping[str, int]) -> Chart:
    data = {
        str(seed): [
            line(
                label(variant),
                view.labels,
                _values(view, variant, seed),
                series_color(places[variant]),
                mode="lines+markers",
                marker={"size": 5},
                connectgaps=True,
                hovertemplate="%{x}<br>%{y:.4g}",
            )
            for variant, runs in view.found.items()
            if seed in runs
        ]
        for seed in view.seeds
    }
    return Chart(
        name="depth",
        title="Every layer at one step",
        description="One line per variant: the chosen quantity of each layer at the slider’s step, from the first "
        f"layer (left) to the last. {_READING if view.layers['signals'] else ''}One run per variant (n = 1), of the "
        f"chosen seed; the same {view.images:,} training images at every step.",
        data=Switch("seed", data),
        layout={
            "xaxis": view.axis("layer, in the order of the forward pass"),
            "yaxis": view.by_layers(lambda quantity, places: _axis(quantity, view.every(quantity)[places])),
            "hovermode": "closest",
        },
        height=420,
        wide=True,
        state=state,
    )


def _values(view: Layered, variant: str, seed: int) -> Switch:
    """A run's values of the shown layers at the slider's step."""
    return view.by_quantity(lambda quantity: Slice(view.matrix(variant, seed, quantity), "step", 1))


def _range(quantity: Quantity, values: Any) -> tuple[float, float]:
    """The least and the greatest value on a linear axis; below 0 only where there is something below."""
    import numpy as np

    if quantity.scale != "linear":
        return (-1.0, 1.0) if quantity.scale == "cosine" else (0.0, 1.0)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return (low, high) if high > low else (low - 1, high + 1)


def _axis(quantity: Quantity, values: Any) -> dict[str, Any]:
    if quantity.scale == "log":
        return log_axis(quantity.axis, probing.log_scale([values], room=0.1, least=0))
    low, high = _range(quantity, values)
    room = 0.03 * (high - low)
    share = {"tickformat": ".0%"} if quantity.scale == "share" else {}
    return {"title": {"text": quantity.axis}, "type": "linear", "range": [low - room, high + room], **share}


def _heat_map(view: Layered, state: State) -> Chart:
    def chosen(quantity: Quantity, part: Callable[[Any], Any] = lambda node: node) -> Switch:
        """A node for the values of the chosen run, or for a part of them."""
        return Switch(
            "variant",
            {
                variant: Switch("seed", {str(seed): part(view.matrix(variant, seed, quantity)) for seed in view.seeds})
                for variant in view.found
            },
        )

    def colours(part: Callable[[Quantity, Any], Any]) -> Switch:
        """A node for something that follows from the values of the layers that are shown, in all runs."""
        return view.by_layers(lambda quantity, places: part(quantity, view.every(quantity)[places]))

    here = Slice(list(view.steps), "step")
    edge = {"type": "line", "line": {"color": Color("text"), "width": 2, "dash": "dot"}}
    return Chart(
        name="heat",
        title="Every layer over training",
        description="One row per layer, the first at the bottom, one column per look; colour for the chosen quantity "
        "of the chosen variant and seed (n = 1 run), the same for all variants and seeds. "
        f"{_FADING if view.layers['signals'] else ''}The dotted line is the slider’s step. Blank: not measured, not "
        "finite, or exactly 0 where the scale is logarithmic.",
        data=[
            {
                "type": "heatmap",
                "x": list(view.steps),
                "y": view.labels,
                "z": view.by_quantity(
                    lambda quantity: chosen(quantity, Logarithm) if quantity.scale == "log" else chosen(quantity)
                ),
                "customdata": view.by_quantity(chosen),
                "colorscale": colours(
                    lambda quantity, values: Scale("diverging" if _range(quantity, values)[0] < 0 else "sequential")
                ),
                "zmin": colours(lambda quantity, values: _colours(quantity, values)[0]),
                "zmax": colours(lambda quantity, values: _colours(quantity, values)[1]),
                "colorbar": colours(lambda quantity, values: _colours(quantity, values)[2]),
                "hoverongaps": False,
                "hovertemplate": "step %{x}<br>%{y}<br>%{customdata:.4g}<extra></extra>",
            }
        ],
        layout={
            "margin": BAR_ROOM,
            "xaxis": {**STEP_AXIS, "showgrid": False, "zeroline": False},
            "yaxis": view.axis("layer"),
            "shapes": [{**edge, "x0": here, "x1": here, "y0": 0, "y1": 1, "yref": "paper"}],
        },
        height=460,
        wide=True,
        state=state,
    )


def _colours(quantity: Quantity, values: Any) -> tuple[float, float, dict[str, Any]]:
    """Where the colours of a heat map start and end, and the bar beside it."""
    bar = color_bar(quantity.axis)
    if quantity.scale == "log":
        scale = probing.log_scale([values], least=0)
        ticks = {"tickvals": list(scale.ticks.values()), "ticktext": [f"{number:.3g}" for number in scale.ticks]}
        return scale.start, scale.end, bar | ticks
    low, high = _range(quantity, values)
    if low < 0:
        low, high = min(low, -high), max(high, -low)
    return low, high, bar | ({"tickformat": ".0%"} if quantity.scale == "share" else {})


def _branch_chart(view: Layered, state: State, places: Mapping[str, int]) -> Chart:
    ratios = {
        (variant, seed): layers.branch_ratio(probes.branches, view.blocks, view.steps)
        for variant, runs in view.found.items()
        for seed, probes in runs.items()
        if probes.branches is not None
    }
    names = [layer_label(name) for name in view.blocks]
    data = {
        str(seed): [
            line(
                label(variant),
                names,
                Slice(Exact(ratios[variant, seed]), "step", 1),
                series_color(places[variant]),
                mode="lines+markers",
                marker={"size": 6},
                hovertemplate="%{x}<br>%{y:.4g}",
            )
            for variant in view.found
            if (variant, seed) in ratios
        ]
        for seed in view.seeds
    }
    scale = probing.log_scale([*ratios.values(), [1.0]], room=0.1, least=0)
    return Chart(
        name="branches",
        title="Branch against skip connection",
        description="Variance of what a block’s branch gives over the variance of its skip connection, before the two "
        "are added, block by block, at the slider’s step. At 1 (dotted) both weigh the same; the further below, the "
        "more a block passes on what it was given. Where each branch begins with BatchNorm, the ratio falls about as 1 "
        "over the number of blocks before it at the start of training, and deep networks stay trainable (De and Smith "
        "2020). One run per variant (n = 1), of the chosen seed.",
        data=Switch("seed", data),
        layout={
            "xaxis": layer_axis(view.blocks, "block, in the order of the forward pass"),
            "yaxis": log_axis("variance of branch / skip", scale),
            "hovermode": "closest",
            "showlegend": True,
            "shapes": [
                {
                    "type": "line",
                    "x0": 0,
                    "x1": 1,
                    "xref": "paper",
                    "y0": 1,
                    "y1": 1,
                    "line": {"color": Color("muted"), "width": 1.5, "dash": "dot"},
                }
            ],
        },
        wide=True,
        state=state,
    )
