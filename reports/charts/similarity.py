"""Charts of features and gradients that are alike: CKA of layers, and gradients at images that lie near each other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from archlab.analysis import layers
from archlab.records import GradientCorrelation, Similarity
from archlab.reports import palette
from archlab.reports.charts.parts import color_bar, layer_axis, layer_label, line, seed_control
from archlab.reports.panel import Chart, Control, Exact, Panel, Scale, Slice, State, Switch, series_color
from archlab.reports.text import label, shortened

VALUE_BUDGET = 300_000
"""Alignments that one panel embeds at most, as long as two looks of each run have fewer: about 0.8 MB."""
MOST_LOOKS = 24
HEIGHT = 460


def similarity_panel(
    found: Mapping[str, Mapping[int, Similarity]], name: str, alike: Collection[str], budget: int = VALUE_BUDGET
) -> Panel:
    """How alike the layers of a variant are, and those of two variants, thinned to the budget.

    Args:
        found: variant -> seed -> its similarity; no variant is empty.
        name: the panel's.
        alike: variants whose runs of a seed were probed with the images of the first one's.
        budget: alignments that may be embedded.
    """
    firsts = {variant: min(runs.items()) for variant, runs in found.items()}
    a_look = sum(len(similarity.layers) ** 2 for _, similarity in firsts.values())
    most = max(2, min(MOST_LOOKS, budget // a_look))
    steps = {variant: layers.shown_steps([held.steps], most) for variant, (_, held) in firsts.items()}
    variants = tuple((variant, label(variant)) for variant in found)
    start = variants[0][0]
    controls = [
        Control("variant", "Variant", "select", variants, start),
        Control(
            "step",
            "Step",
            "range",
            Switch("variant", {variant: list(shown) for variant, shown in steps.items()}),
            len(steps[start]) - 1,
        ),
    ]
    own = {variant: held for variant, (_, held) in firsts.items()}
    shown = {
        variant: Slice([held.alignment[held.steps.index(step)] for step in steps[variant]], "step")
        for variant, held in own.items()
    }
    state: dict[str, str | int] = {"variant": start, "step": len(steps[start]) - 1}
    charts = [_within("layers", "Layers of one network", _READING.format(_images(own.values())), own, shown, state)]
    pairs = _pairs(found, alike)
    if pairs:
        others = tuple((variant, label(variant)) for variant in pairs)
        controls.append(Control("other", f"{shortened(start, 40)} against", "select", others, others[0][0]))
        charts.append(_between(start, pairs, {"other": others[0][0]}))
    elif any(len(own[variant].steps) > 1 for variant in own):
        begun = {variant: held.alignment[0] for variant, held in own.items()}
        charts.append(_within("begun", "The same at the first look", _BEGUN, own, begun, state))
    seeds = sorted({seed for seed, _ in firsts.values()})
    whose = " and ".join(map(str, seeds))
    notes = [f"Of each variant the first seed that was probed is shown: {whose}."]
    longest = max(len(held.steps) for _, held in firsts.values())
    if longest > most:
        notes.append(f"Of {longest:,} looks {most} are shown, evenly spread.")
    notes.append("Matrices are embedded with 11 significant bits per value.")
    return Panel(name, tuple(charts), tuple(controls), tuple(notes))


def correlation_panel(
    found: Mapping[str, Mapping[int, GradientCorrelation]], name: str, places: Mapping[str, int] | None = None
) -> Panel:
    """How alike gradients are by the distance between images, as in Balduzzi et al. 2017, section 2.

    Args:
        found: variant -> seed -> what was probed; no variant is empty.
        name: the panel's.
        places: variant -> its place among the colours; in their order by default.
    """
    import numpy as np

    places = places or palette.numbered(found)
    every = [held for runs in found.values() for held in runs.values()]
    steps = layers.shown_steps([held.steps for held in every], MOST_LOOKS)
    seeds = seed_control(found)
    state: dict[str, str | int] = {"seed": seeds.start, "step": len(steps) - 1}
    data = {
        seed: [
            trace
            for variant, runs in found.items()
            if int(seed) in runs
            for trace in _lines(variant, places[variant], runs[int(seed)], steps)
        ]
        for seed, _ in seeds.options
    }
    lowest = min(float(np.nan_to_num(held.correlation).min()) for held in every)
    chart = Chart(
        name="correlation",
        title="Skip connections keep gradients alike (Balduzzi et al. 2017)",
        description="Mean cosine of the gradients of the network’s output with respect to two images, by how far apart "
        f"the two lie on the straight line between two training images; mean over {every[0].lines} lines. Solid: at "
        f"the slider’s step; dashed: at the first look, step {steps[0]}. High far to the right: images that are near "
        "each other get gradients that are alike; a linear network has 1 everywhere. Falling to 0 at once: gradients "
        "are like white noise, as that paper finds in deep networks without skip connections. One run per variant "
        "(n = 1), of the chosen seed.",
        data=Switch("seed", data),
        layout={
            "xaxis": {"title": {"text": "distance, share of the line"}, "range": [-0.01, 1.01], "zeroline": False},
            "yaxis": {"title": {"text": "cosine of the gradients"}, "range": [min(0.0, lowest) - 0.03, 1.03]},
            "hovermode": "closest",
            "showlegend": True,
        },
        wide=True,
        state=state,
    )
    controls = (Control("step", "Step", "range", list(steps), len(steps) - 1), seeds)
    looks = len({step for held in every for step in held.steps})
    notes = (f"Of {looks:,} looks {len(steps)} are shown, evenly spread.",) if looks > len(steps) else ()
    return Panel(name, (chart,), controls, notes)


def _lines(variant: str, index: int, held: GradientCorrelation, steps: Sequence[int]) -> list[dict[str, Any]]:
    """The line at the slider's step, and the one at the first look."""
    import numpy as np

    values = np.full((len(held.distances), len(steps)), np.nan, dtype=np.float32)
    for place, step in enumerate(steps):
        if step in held.steps:
            values[:, place] = held.correlation[held.steps.index(step)]
    shared: dict[str, Any] = {"legendgroup": str(index), "hovertemplate": "distance %{x:.3g}<br>%{y:.3f}"}
    now = line(label(variant), held.distances, Slice(Exact(values), "step", 1), series_color(index), **shared)
    first = line(
        f"{label(variant)}, step {steps[0]}",
        held.distances,
        values[:, 0].copy(),
        series_color(index, 0.75),
        1.5,
        "dash",
    )
    return [now, first | shared]


_READING = (
    "How alike the features of two layers are (linear CKA, debiased): 1 where they are equal up to a rotation and a "
    "scale, about 0 where they have nothing in common. A bright square of many layers: they hold nearly the same. Dark "
    "away from the diagonal: layers make something new of what they are given. {:,} training images; the chosen "
    "variant (n = 1 run) at the slider’s step. Blank: features that are the same for all images."
)
_BEGUN = (
    "The chosen variant (n = 1 run), images and scale as before, at the first look. Where the two pictures differ, "
    "training has brought layers closer or set them apart; where they are the same, the likeness comes of the form of "
    "the network and its first weights."
)


def _images(held: Iterable[Similarity]) -> int:
    return max(similarity.images for similarity in held)


def _within(
    name: str, title: str, text: str, own: Mapping[str, Similarity], matrices: Mapping[str, Any], state: State
) -> Chart:
    names = Switch("variant", {variant: _labels(held.layers) for variant, held in own.items()})
    axis = Switch("variant", {variant: layer_axis(held.layers, "layer") for variant, held in own.items()})
    return Chart(
        name=name,
        title=title,
        description=text,
        data=[_heat_map(Switch("variant", matrices), across=names, upwards=names)],
        layout={"xaxis": axis, "yaxis": axis},
        height=HEIGHT,
        state=state,
    )


def _pairs(
    found: Mapping[str, Mapping[int, Similarity]], alike: Collection[str]
) -> dict[str, tuple[Similarity, Similarity]]:
    """Other variant -> of the first seed that it shares with the first variant, the latter's run and its own."""
    (_, baseline), *others = found.items()
    pairs = {}
    for variant, runs in others:
        seed = min(baseline.keys() & runs.keys(), default=None)
        if variant in alike and seed is not None and layers.comparable(baseline[seed], runs[seed]):
            pairs[variant] = baseline[seed], runs[seed]
    return pairs


def _between(start: str, pairs: Mapping[str, tuple[Similarity, Similarity]], state: State) -> Chart:
    def chosen(part: Callable[[Similarity, Similarity], Any]) -> Switch:
        """A node for something of the pair that the reader chose."""
        return Switch("other", {name: part(*pair) for name, pair in pairs.items()})

    across = {name: layer_axis(held.layers, f"layer of {label(name, 30)}") for name, (_, held) in pairs.items()}
    images = _images(held for _, held in pairs.values())
    return Chart(
        name="variants",
        title=f"{start} against another variant",
        description="How alike the features of a layer of one network are to those of a layer of the other, on the "
        "same images and the same scale as before, at the last look of each. Bright along the diagonal: both hold the "
        "same, layer by layer. Bright away from it: what one holds at one depth, the other holds at another. Dark: "
        f"each holds something of its own. {images:,} training images; one run per variant (n = 1), of the same seed.",
        data=[
            _heat_map(
                chosen(layers.alignment_between),
                across=chosen(lambda _, held: _labels(held.layers)),
                upwards=chosen(lambda own, _: _labels(own.layers)),
            )
        ],
        layout={
            "xaxis": Switch("other", across),
            "yaxis": chosen(lambda own, _: layer_axis(own.layers, f"layer of {label(start, 30)}")),
        },
        height=HEIGHT,
        state=state,
    )


def _labels(names: Sequence[str]) -> list[str]:
    return [layer_label(name) for name in names]


def _heat_map(values: Any, across: Any, upwards: Any) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "x": across,
        "y": upwards,
        "z": values,
        "zmin": 0,
        "zmax": 1,
        "colorscale": Scale("sequential"),
        "colorbar": color_bar("CKA"),
        "hoverongaps": False,
        "hovertemplate": "%{y}<br>%{x}<br>CKA %{z:.3f}<extra></extra>",
    }
