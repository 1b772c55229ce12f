"""The panel of signals by depth: what layers give, get back and learn, from the first layer to the last."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archlab.analysis import layers, probing
from archlab.records import Probes
from archlab.reports import palette
from archlab.reports.charts.layer_map import USUAL_TEXT, coloured, extent, layer_map, map_layout
from archlab.reports.charts.layered import UPDATE_RATIO, VALUE_BUDGET, Layered, Quantity
from archlab.reports.charts.parts import (
    layer_axis,
    layer_label,
    line,
    log_axis,
    seed_control,
    usual_band,
)
from archlab.reports.panel import (
    Chart,
    Color,
    Control,
    Exact,
    Panel,
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
    controls = [Control("quantity", "Quantity", "select", quantities, state["quantity"])]
    if len(view.steps) > 1:
        controls.append(Control("step", "Step", "range", list(view.steps), state["step"]))
    controls.append(seeds)
    if len(view.steps) > 1:
        controls.append(Control("variant", "Variant of the map", "select", variants, state["variant"]))
    if view.has_more():
        controls.append(Control("layers", "all layers", "toggle", start="off"))
    charts = [_depth_chart(view, state, places)]
    if len(view.steps) > 1:
        charts.append(_heat_map(view, state))
    if view.blocks:
        charts.append(_branch_chart(view, state, places))
    return Panel(name, tuple(charts), tuple(controls), tuple(view.notes()))


_READING = (
    "Gradients come back from right to left. A level line: they reach every layer. Falling by powers of ten towards "
    "the left: they vanish, and the first layers hardly learn. Rising towards the left: they explode. Norms are over "
    "all elements of a layer: those of layers of other sizes differ by that alone. "
)


_FADING = "Gradients that fade from top to bottom vanish on their way to the first layers. "


_USUAL = (
    f"Shaded, for the update ratio: {UPDATE_RATIO[0]:g} to {UPDATE_RATIO[1]:g}, a factor of ten around what is usual "
    "(Stanford CS231n); below, weights hardly move, above, a step may undo what others learnt. "
)


def _depth_chart(view: Layered, state: State, places: Mapping[str, int]) -> Chart:
    when = "the slider’s step" if len(view.steps) > 1 else f"step {view.steps[0]:,}, the only look"
    ratio = _USUAL if any(quantity.usual for quantity in view.quantities) else ""
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
        description=f"One line per variant: the chosen quantity of each layer at {when}, from the first "
        f"layer (left) to the last. {_READING if view.layers['signals'] else ''}{ratio}One run per variant (n = 1), of "
        f"the chosen seed; the same {view.images:,} training images at every step.",
        data=Switch("seed", data),
        layout={
            "xaxis": view.axis("layer, in the order of the forward pass"),
            "yaxis": view.by_layers(lambda quantity, places: _axis(quantity, view.every(quantity)[places])),
            "hovermode": "closest",
            "shapes": view.by_quantity(lambda quantity: [usual_band(quantity.usual)] if quantity.usual else []),
        },
        height=420,
        wide=True,
        state=state,
    )


def _values(view: Layered, variant: str, seed: int) -> Switch:
    """A run's values of the shown layers at the slider's step."""
    return view.by_quantity(lambda quantity: Slice(view.matrix(variant, seed, quantity), "step", 1))


def _axis(quantity: Quantity, values: Any) -> dict[str, Any]:
    if quantity.scale == "log":
        return log_axis(quantity.axis, probing.log_scale([values], room=0.1, least=0))
    low, high = extent(quantity, values)
    room = 0.03 * (high - low)
    share = {"tickformat": ".0%"} if quantity.scale == "share" else {}
    return {"title": {"text": quantity.axis}, "type": "linear", "range": [low - room, high + room], **share}


def _heat_map(view: Layered, state: State) -> Chart:
    def chosen(quantity: Quantity) -> Switch:
        """A node for the values of the chosen run."""
        return Switch(
            "variant",
            {
                variant: Switch("seed", {str(seed): view.matrix(variant, seed, quantity) for seed in view.seeds})
                for variant in view.found
            },
        )

    here = Slice(list(view.steps), "step")
    ratio = f"{USUAL_TEXT} " if any(quantity.usual for quantity in view.quantities) else ""
    edge = {"type": "line", "line": {"color": Color("text"), "width": 2, "dash": "dot"}}
    return Chart(
        name="heat",
        title="Every layer over training",
        description="One row per layer, the first at the bottom, one column per look; colour for the chosen quantity "
        "of the chosen variant and seed (n = 1 run), the same for all variants and seeds. "
        f"{_FADING if view.layers['signals'] else ''}{ratio}The dotted line is the slider’s step. Blank: not "
        "measured, not finite, or exactly 0 where the scale is logarithmic.",
        data=layer_map(
            view,
            view.by_layers,
            view.by_quantity(lambda quantity: coloured(quantity, chosen(quantity))),
            view.by_quantity(chosen),
        ),
        layout={
            **map_layout(view, view.by_layers),
            "shapes": [{**edge, "x0": here, "x1": here, "y0": 0, "y1": 1, "yref": "paper"}],
        },
        height=460,
        wide=True,
        state=state,
    )


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
