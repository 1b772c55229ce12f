"""Charts of probes: bands of smoothness over training, and landscapes around the trained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from archlab.analysis import curves, probing
from archlab.records import Landscape, Smoothness
from archlab.reports import palette
from archlab.reports.charts.parts import (
    STEP_AXIS,
    band,
    color_bar,
    log_axis,
    points,
    seed_control,
    seeds_of,
    sizes_text,
)
from archlab.reports.panel import Chart, Color, Control, Panel, Scale, Switch, series_color
from archlab.reports.text import label

Probed = TypeVar("Probed")

BAND_POINTS = 400
"""Probed steps that are drawn at most; where there are more, the extremes are kept."""
EDGE_NAMES = ("least", "greatest")
"""What the edges of one run's band are called."""


def smoothness_panel(
    found: Mapping[str, Mapping[int, Smoothness]], name: str, places: Mapping[str, int] | None = None
) -> Panel:
    """Loss and gradient along the gradient as in Santurkar et al. 2018, figure 4: one run's bands, all runs' beta.

    Args:
        found: variant -> seed -> what was probed; no variant is empty.
        name: the panel's.
        places: variant -> its place among the colours; in their order by default.
    """
    places = places or palette.numbered(found)
    control = seed_control(found)
    first = _every(found)[0]
    line = f"w − ηg, over {len(first.rates)} rates η from {first.rates[0]:.2g} to {first.rates[-1]:.2g}"
    images = f"of the same {first.images:,} training images at every step"
    whose = "One run per variant (n = 1), of the chosen seed."
    charts = (
        _bands(
            found,
            control,
            places,
            name="loss",
            title="Loss along the gradient",
            description=f"Shaded: least to greatest loss at {line}; line: the loss at the weights w themselves. The "
            f"loss is that {images}. The narrower the band, the less the loss varies over a step; where it reaches "
            f"above the line, the longest of these steps do harm. {whose}",
            axis="loss",
        ),
        _bands(
            found,
            control,
            places,
            name="gradient",
            title="Change of the gradient along itself",
            description=f"Shaded: least to greatest distance between the gradient at {line}, and the gradient g at w; "
            f"line: the norm of g. Where the band is far below the line, the gradient still holds after a step. "
            f"{whose}",
            axis="norm",
        ),
        beta_chart(found, places),
    )
    notes = [
        f"{variant}: not finite, and so not drawn: {holes} losses along the gradient."
        for variant, holes in _holes(found).items()
    ]
    longest = max(len(probed.steps) for runs in found.values() for probed in runs.values())
    if longest > BAND_POINTS:
        notes.append(f"{longest:,} probed steps are drawn as {BAND_POINTS}; each stretch keeps its extremes.")
    return Panel(name, charts, (control,), tuple(notes))


def landscape_panel(found: Mapping[str, Mapping[int, Landscape]], name: str) -> Panel:
    """The loss around the trained weights, one contour per variant, all on the same levels and axes.

    Args:
        found: variant -> seed -> its landscape; no variant is empty.
        name: the panel's.
    """
    control = seed_control(found)
    every = _every(found)
    scale = probing.log_scale(landscape.losses for landscape in every)
    shared = (
        "All landscapes of this section have the same colours and axes, and those of a seed the same directions in the "
        "layers that their networks share. BatchNorm normalises by the statistics of the images."
    )
    notes = [f"{variant}: no finite loss at {holes} points, left blank." for variant, holes in _holes(found).items()]
    charts = tuple(
        Chart(
            name=f"landscape-{place}",
            title=f"Around the weights of {variant}",
            description=f"Loss of {every[0].images:,} training images at the trained weights (the cross) and around "
            "them, in two random directions; at a distance of 1 every filter has changed by its own norm. One run "
            "(n = 1), of the chosen seed.",
            data=Switch("seed", {str(seed): _contour(runs.get(seed), scale) for seed in seeds_of(found)}),
            layout={
                "xaxis": {**_PLANE, "title": {"text": "first direction"}, "constrain": "domain"},
                "yaxis": {
                    **_PLANE,
                    "title": {"text": "second direction"},
                    "scaleanchor": "x",
                    "constrain": "domain",
                    "constraintoward": "top",
                },
            },
            height=400,
            state={"seed": control.start},
        )
        for place, (variant, runs) in enumerate(found.items())
    )
    return Panel(name, charts, (control,), (shared, *notes))


_PLANE = {"range": [-1, 1], "showgrid": False, "zeroline": False, "tickvals": [-1, -0.5, 0, 0.5, 1]}


def _holes(found: Mapping[str, Mapping[int, Smoothness | Landscape]]) -> dict[str, str]:
    """Variant -> how many of its losses are not finite (`3 of 1,323`), for those that have some."""
    losses = {variant: [probed.losses for probed in runs.values()] for variant, runs in found.items()}
    holes = {variant: sum(map(probing.unbounded, arrays)) for variant, arrays in losses.items()}
    return {name: f"{n:,} of {sum(array.size for array in losses[name]):,}" for name, n in holes.items() if n}


def _every(found: Mapping[str, Mapping[int, Probed]]) -> list[Probed]:
    return [one for runs in found.values() for one in runs.values()]


def _bands(
    found: Mapping[str, Mapping[int, Smoothness]],
    control: Control,
    places: Mapping[str, int],
    *,
    name: str,
    title: str,
    description: str,
    axis: str,
) -> Chart:
    scale = probing.log_scale((part for probed in _every(found) for part in _band_of_run(probed, name)), room=0.03)
    data = {
        str(seed): [
            trace
            for variant, runs in found.items()
            if seed in runs
            for trace in _band_traces(
                variant, runs[seed].steps, _band_of_run(runs[seed], name), places[variant], EDGE_NAMES
            )
        ]
        for seed in seeds_of(found)
    }
    return Chart(
        name=name,
        title=title,
        description=description,
        data=Switch("seed", data),
        layout={"xaxis": STEP_AXIS, "yaxis": log_axis(axis, scale), "hovermode": "x unified"},
        height=380,
        state={"seed": control.start},
    )


def _band_of_run(probed: Smoothness, name: str) -> tuple[Any, Any, Any]:
    """The two edges of a band, and the line that belongs to it."""
    values, middle = (probed.losses, probed.loss) if name == "loss" else (probed.changes, probed.gradient)
    return (*probing.extent(values), middle)


def beta_chart(found: Mapping[str, Mapping[int, Smoothness]], places: Mapping[str, int]) -> Chart:
    """The effective beta by step, of all runs.

    Args:
        found: variant -> seed -> what was probed; no variant is empty.
        places: variant -> its place among the colours.
    """
    data: list[dict[str, Any]] = []
    sizes = {}
    # The intervals of few runs reach far beyond the values: of two, by a factor of thousands.
    scale = probing.log_scale((probing.effective_smoothness(probed) for probed in _every(found)), room=0.3)
    for variant, runs in found.items():
        steps, beta = probing.smoothness_band([*runs.values()])
        sizes[variant] = beta.n
        ends = ("lower bound", "upper bound")
        traces = _band_traces(variant, steps, (beta.low, beta.high, beta.mean), places[variant], ends)
        data += traces if beta.n > 1 else traces[-1:]
    basis = (
        "One run per variant, so no interval."
        if max(sizes.values()) == 1
        else f"Line: geometric mean over seeds; band: its 95 % interval ({sizes_text(sizes)})."
    )
    return Chart(
        name="beta",
        title="Effective β-smoothness",
        description="The largest change of the gradient for its distance, |g(w − ηg) − g(w)| / η|g(w)|, over the "
        "rates η: the lower, the smoother the loss, and the longer a step can be. A plateau is smooth too: look at the "
        f"loss as well. {basis}",
        data=data,
        layout={
            "xaxis": STEP_AXIS,
            "yaxis": log_axis("effective β", scale),
            "hovermode": "x unified",
        },
        wide=True,
    )


def _band_traces(
    variant: str, steps: Any, values: tuple[Any, Any, Any], index: int, ends: tuple[str, str]
) -> list[dict[str, Any]]:
    """A band between two series, and a line that belongs to it."""
    import numpy as np

    low, high, middle = (np.ascontiguousarray(part) for part in curves.thinned(np.stack(values, axis=1), BAND_POINTS).T)
    base = {
        "type": "scatter",
        "mode": "lines",
        "x": curves.thinned_steps(np.asarray(steps, dtype=np.int64), BAND_POINTS),
        "legendgroup": str(index),
        "hovertemplate": "%{y:.4g}",
    }
    edge = {**base, "line": {"width": 0.5, "color": series_color(index, 0.5)}, "showlegend": False}
    name = label(variant)
    line = {**base, "name": name, "y": middle, "line": {"color": series_color(index), "width": 2}}
    return [*band(edge, (f"{name}, {ends[0]}", f"{name}, {ends[1]}"), low, high, series_color(index, 0.22)), line]


def _contour(landscape: Landscape | None, scale: probing.LogScale) -> list[dict[str, Any]]:
    if landscape is None:
        return []
    places = landscape.coordinates.tolist()
    return [
        {
            "type": "contour",
            "name": "loss",
            "x": places,
            "y": places,
            "z": probing.heights(landscape),
            "customdata": landscape.losses.tolist(),
            "zmin": scale.start,
            "zmax": scale.end,
            "contours": {"start": scale.start, "end": scale.end, "size": scale.level},
            "line": {"width": 0.6, "color": Color("surface", 0.45)},
            "colorscale": Scale("sequential"),
            "colorbar": color_bar(
                "loss", tickvals=list(scale.ticks.values()), ticktext=[f"{loss:.3g}" for loss in scale.ticks]
            ),
            "hovertemplate": "%{x:.2f}, %{y:.2f}<br>loss %{customdata:.4g}<extra></extra>",
        },
        points(
            "trained weights",
            [0],
            [0],
            {"symbol": "x", "size": 12, "color": Color("text"), "line": {"width": 1.5, "color": Color("surface")}},
            hoverinfo="skip",
        ),
    ]
