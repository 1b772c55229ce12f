"""What colours a node: its kind, or one of its numbers in five steps.

Colours themselves are in assets/diagram.css; here a row gets the name of a style class.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from archlab.errors import InputError
from archlab.records import Layer, Trace
from archlab.reports.text import brief
from archlab.tables.table import duration

Colour = Literal["kind", "parameters", "macs", "saved", "receptive-field", "time"]
COLOURS: tuple[Colour, ...] = get_args(Colour)
COLOUR_STEPS = 5
MARKS = {
    "wire": "a tensor, its shape beside it",
    "wire is-skip": "skip connection: bypasses layers",
    "bus": "dense connections: each takes all before",
    "is-open": "open block",
    "behind": "×N: N equal layers, drawn once",
    "is-unused": "never called",
    "is-failed": "the forward pass failed here",
}
"""What lines and frames say, whatever the colouring; by the style class of each."""

TITLES: dict[Colour, str] = {
    "kind": "Kind of layer",
    "parameters": "Parameters",
    "macs": "MACs",
    "saved": "Bytes saved for backward",
    "receptive-field": "Receptive field, input positions",
    "time": "Time of the forward pass",
}

# The first pattern that a kind's name matches says its category; the rest is `other`.
CATEGORIES = {
    "attention": r"attention|attn",
    "recurrent": r"lstm|gru|rnn",
    "normalisation": r"norm",
    "pooling": r"pool|interpolate|upsample|resize|unfold",
    "activation": r"relu|gelu|elu|silu|swish|mish|sigmoid|tanh|softmax|softplus|activation|hardshrink|threshold|glu$",
    "convolution": r"conv",
    "linear": r"linear|matmul|gemm|^mm$|bmm|einsum|dense$|mlp",
    "embedding": r"embed|^parameter$",
    "joint": r"^_*[ir]?(add|sub|mul|div|truediv|cat|concat|concatenate|stack|hstack|vstack)_*$",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One line of a legend."""

    style: str
    text: str


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one colouring dresses the rows of a trace."""

    name: str
    """One of `COLOURS`, or what sets a network apart from another (`pair`)."""
    title: str
    styles: tuple[str, ...]
    """The style class of each row."""
    legend: tuple[Key, ...]
    """Only what occurs."""


def scheme(trace: Trace, colour: str, blocks: Sequence[bool]) -> Scheme:
    """The styles of a trace's rows under one colouring; `blocks` says which rows hold others.

    Raises:
        InputError: there is no such colouring.
    """
    match colour:
        case "kind":
            return _by_kind(trace, blocks)
        case "parameters":
            return _by_number(trace, colour, lambda layer: layer.parameters)
        case "macs":
            return _by_number(trace, colour, lambda layer: layer.macs)
        case "saved":
            return _by_number(trace, colour, lambda layer: layer.saved_bytes)
        case "receptive-field":
            return _by_receptive_field(trace)
        case "time":
            return _by_number(trace, colour, lambda layer: layer.seconds, duration)
    raise InputError(f"the diagram can't be coloured by {colour!r}; expected one of {', '.join(COLOURS)}")


def _by_receptive_field(trace: Trace) -> Scheme:
    """Fields that are the whole input count as the largest: a window may exceed the input that it slides over."""
    most = max((_field_size(layer) or 0 for layer in trace.layers), default=0)
    found = _by_number(trace, "receptive-field", lambda layer: most if _covers_input(layer) else _field_size(layer))
    if not any(map(_covers_input, trace.layers)):
        return found
    *others, last = found.legend
    return replace(found, legend=(*others, replace(last, text=f"{last.text}, or the whole input")))


def _field_size(layer: Layer) -> int | None:
    return max(layer.receptive_field.size, default=1) if layer.receptive_field else None


def _covers_input(layer: Layer) -> bool:
    return layer.receptive_field is not None and layer.receptive_field.kind == "whole input"


def category(layer: Layer, block: bool) -> str:
    """The kind's category: `convolution`, `linear`, ...; `block` for what holds other layers."""
    return "block" if block else category_of(layer.kind)


@functools.cache
def category_of(kind: str) -> str:
    """The category of a kind of layer by its name: `convolution` for `Conv2d`; `other` where no pattern says more."""
    return next((name for name, pattern in CATEGORIES.items() if re.search(pattern, kind.lower())), "other")


def _by_kind(trace: Trace, blocks: Sequence[bool]) -> Scheme:
    names = [category(layer, block) for layer, block in zip(trace.layers, blocks, strict=True)]
    present = [name for name in ("block", *CATEGORIES, "other") if name in set(names)]
    words = {"joint": "joins (add, cat, ...)", "other": "other operations", "block": "block, opens"}
    legend = tuple(Key(f"is-{name}", words.get(name, name)) for name in present)
    return Scheme("kind", TITLES["kind"], tuple(f"is-{name}" for name in names), legend)


def _by_number(
    trace: Trace, colour: Colour, value: Callable[[Layer], float | None], text: Callable[[float], str] = brief
) -> Scheme:
    values = [value(layer) for layer in trace.layers]
    limits = _limits([number for number in values if number])
    styles = [_style(number, limits) for number in values]
    texts = {"is-unknown": "not measured", "is-step-0": "0"}
    low = 0.0
    for step, limit in enumerate(limits, start=1):
        texts[f"is-step-{step}"] = f"up to {text(limit)}" if low == 0 else f"{text(low)} to {text(limit)}"
        low = limit
    legend = tuple(Key(style, text) for style, text in texts.items() if style in set(styles))
    return Scheme(colour, TITLES[colour], tuple(styles), legend)


def _limits(numbers: Sequence[float]) -> list[float]:
    """The upper end of each step: equal ratios from the smallest number to the largest, ten at most."""
    if not numbers:
        return []
    low, high = min(numbers), max(numbers)
    ratio = min(10.0, (high / low) ** (1 / COLOUR_STEPS))
    if ratio < 1.05:
        return [float(high)]
    return [*(_rounded(high / ratio ** (COLOUR_STEPS - step)) for step in range(1, COLOUR_STEPS)), float(high)]


def _rounded(number: float) -> float:
    """The number with two digits, never smaller."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit - 1e-9) * unit


def _style(number: float | None, limits: Sequence[float]) -> str:
    if number is None:
        return "is-unknown"
    if number <= 0:
        return "is-step-0"
    return f"is-step-{next((step for step, limit in enumerate(limits, start=1) if number <= limit), len(limits))}"
