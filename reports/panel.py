"""A chart as plotly's own JSON, with the places where a reader's choice decides left open.

A chart's `data` and `layout` are plotly's dictionaries. Where a value depends on a control (which axis, which layer,
which step) a node stands in its place: `Switch`, `Slice`, `Pick`, `Smooth`, `Density`; where it depends on the theme,
`Color` or `Scale`. The page's script fills them in as the reader chooses; `Chart.figure` does the same in Python. So
every array is embedded once, whatever number of charts and views draw it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from archlab.errors import InputError
from archlab.reports import palette
from archlab.reports.resources import light_color
from archlab.reports.text import label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

State = Mapping[str, str | int]


@dataclass(frozen=True, eq=False)
class Switch:
    """What a control's chosen option stands for; the first case where it stands for nothing."""

    control: str
    cases: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Slice:
    """One row (axis 0) or column (axis 1) of a matrix, or one entry of a list, at a control's number."""

    of: Any
    control: str
    axis: Literal[0, 1] = 0


@dataclass(frozen=True, eq=False)
class Smooth:
    """A series under an exponential average with the weight that a control's option names."""

    of: Any
    control: str


@dataclass(frozen=True, eq=False)
class Pick:
    """Some rows of a matrix, by their places."""

    of: Any
    places: Any
    """Integers, or a node that gives them."""


@dataclass(frozen=True, eq=False)
class Logarithm:
    """log10 of a matrix, since plotly's colours have no logarithmic scale; a gap where a number isn't above 0."""

    of: Any


@dataclass(frozen=True, eq=False)
class Density:
    """The normal density, over its greatest value, of activations that other statistics than their own normalise.

    Its mean is -shift / exp(ratio / 2), its deviation 1 / exp(ratio / 2); `archlab.analysis.deviation` says of what.
    """

    places: Sequence[float]
    ratio: Any
    shift: Any


@dataclass(frozen=True, eq=False)
class Exact:
    """A matrix that is embedded as float32: one whose smallest numbers are shown too, on a logarithmic axis."""

    of: Any


@dataclass(frozen=True)
class Color:
    """A colour of the style sheet: `series-0` to `series-47` of variants, `evaluation` of what running statistics give,
    `text`, `muted`, `grid`, `accent`, `surface`, `raised`, and those of kinds of layers, `diagram-convolution`,
    `diagram-convolution-line`, ..."""

    name: str
    alpha: float = 1.0


@dataclass(frozen=True)
class Scale:
    """A colour scale of the theme."""

    name: Literal["sequential", "diverging"]


@dataclass(frozen=True)
class Control:
    """Something that the reader chooses, for all the charts of a panel."""

    name: str
    label: str
    kind: Literal["select", "toggle", "range"]
    options: Any = ()
    """The choices as (value, label) pairs, or a node that gives them; for a range the labels of its positions."""
    start: str | int = ""
    """The choice at first; for a toggle `on` or `off`."""
    plays: bool = False
    """Whether a range has a button that moves it from its start to its end."""


@dataclass(frozen=True)
class Chart:
    """One picture, with its text alternative."""

    name: str
    title: str
    description: str
    """What the picture shows, for those who don't see it and those who don't know how to read it."""
    data: Sequence[Any] | Switch
    """Plotly's traces."""
    layout: Mapping[str, Any] | Switch = field(default_factory=dict)
    height: int = 340
    wide: bool = False
    """Whether it takes the whole width of its panel."""
    state: State = field(default_factory=dict)
    """What its controls say at first."""
    click: Mapping[str, Literal["x", "y"]] = field(default_factory=dict)
    """Controls that a click on a point chooses: each takes the point's place along an axis, one of its options."""

    def figure(self, **state: str | int) -> Figure:
        """The plotly figure, to go on from in Python; `state` sets controls by name (`x="epoch"`)."""
        from plotly.graph_objects import Figure

        chosen = {**self.state, **state}
        layout = {"title": {"text": label(self.title, 120)}, "height": self.height, **evaluate(self.layout, chosen)}
        return Figure(evaluate(self.data, chosen), layout)


@dataclass(frozen=True)
class Panel:
    """Charts that share their controls."""

    name: str
    charts: tuple[Chart, ...]
    controls: tuple[Control, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out or thinned for drawing, in sentences."""


def evaluate(node: Any, state: State) -> Any:
    """The plain value of a node, and of all nodes in it.

    Raises:
        InputError: a control is not in the state.
    """
    match node:
        case Switch():
            value = _chosen(node.control, state)
            return evaluate(node.cases.get(str(value), next(iter(node.cases.values()))), state)
        case Slice():
            whole, index = evaluate(node.of, state), int(_chosen(node.control, state))
            return whole[:, index] if node.axis else whole[index]
        case Pick():
            return evaluate(node.of, state)[evaluate(node.places, state)]
        case Logarithm():
            return _logarithm(evaluate(node.of, state))
        case Exact():
            return evaluate(node.of, state)
        case Density():
            ratio, shift = (float(evaluate(part, state)) for part in (node.ratio, node.shift))
            return [math.exp(-((place * math.exp(ratio / 2) + shift) ** 2) / 2) for place in node.places]
        case Smooth():
            return smoothed(evaluate(node.of, state), float(_chosen(node.control, state)))
        case Color():
            red, green, blue = (int(light_color(node.name)[place : place + 2], 16) for place in (1, 3, 5))
            return f"rgba({red},{green},{blue},{node.alpha:g})"
        case Scale():
            return SCALES[node.name]
        case Mapping():
            return {key: evaluate(value, state) for key, value in node.items()}
        case str():
            return node
        case list() | tuple():
            return [evaluate(item, state) for item in node]
        case _:
            return node


PLAIN = (str, int, float, bool, type(None))
"""Types of what stands for itself."""


def controls_of(*nodes: Any) -> frozenset[str]:
    """The controls that decide what some nodes stand for."""
    known: dict[int, frozenset[str]] = {}

    def of(node: Any) -> frozenset[str]:
        if type(node) in PLAIN:  # as most are
            return frozenset()
        if id(node) not in known:
            own = {getattr(node, "control", "")} - {""}
            known[id(node)] = frozenset(own.union(*map(of, _parts(node))))
        return known[id(node)]

    return frozenset().union(*map(of, nodes))


def _parts(node: Any) -> Sequence[Any]:
    match node:
        case Switch():
            return list(node.cases.values())
        case Slice() | Smooth() | Logarithm():
            return [node.of]
        case Pick():
            return [node.of, node.places]
        case Density():
            return [node.ratio, node.shift]
        case Mapping():
            return list(node.values())
        case list() | tuple():
            return node
        case _:
            return ()


def smoothed(values: Sequence[float], weight: float) -> list[float]:
    """The exponential average of a series: each value is `weight` times the last average and the rest itself.

    The average is divided by the sum of its weights so far, so that its start is not drawn to zero (Kingma and Ba,
    Adam, 2015, section 3): with weight 0.9, a first value of 5 is 0.1 * 5 / 0.1 = 5 and not 0.5.
    """
    if not weight:
        return list(values)
    average, weights, result = 0.0, 0.0, []
    for value in values:
        if value == value:  # a gap, NaN, changes nothing
            average = weight * average + (1 - weight) * value
            weights = weight * weights + (1 - weight)
        result.append(average / weights if weights and value == value else value)
    return result


def _logarithm(values: Any) -> Any:
    import numpy as np

    return np.log10(values, out=np.full_like(values, np.nan), where=values > 0)


def _chosen(control: str, state: State) -> str | int:
    if control not in state:
        raise InputError(f"the chart needs a value for {control!r}, got {sorted(state)}")
    return state[control]


SCALES: dict[str, list[list[float | str]]] = {
    "sequential": [[0, "#00224e"], [0.25, "#35456c"], [0.5, "#7c7b78"], [0.75, "#bcae6c"], [1, "#fee838"]],
    "diverging": [[0, "#01665e"], [0.25, "#80cdc1"], [0.5, "#f5f5f3"], [0.75, "#dfc27d"], [1, "#8c510a"]],
}


def series_color(place: int, alpha: float = 1.0) -> Color:
    """The colour of a place (`archlab.reports.palette`)."""
    return Color(f"series-{place % palette.PLACES}", alpha)


def band_shade(bands: int) -> float:
    """The opacity of bands that lie over each other: through many of them the lines must still be seen."""
    return min(0.18, 0.36 / max(1, bands))
