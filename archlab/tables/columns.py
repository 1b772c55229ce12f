"""The columns of the table of layers: one entry of `COLUMNS` each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter

from archlab.analysis.wording import layer_text, shape_text
from archlab.errors import InputError, nearest
from archlab.records import (
    Decoding,
    Layer,
    MemoryEstimate,
    Profile,
    ReceptiveField,
    Shape,
    Side,
    Totals,
    Trace,
)
from archlab.records.trace import SIZE_UNKNOWN
from archlab.tables.table import AtLeast, Cell, Column, Row, Table


def no_total(totals: Totals) -> Cell:
    """Nothing: a column that has no sum."""
    return None


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the table of layers: what it holds, and where that comes from."""

    column: Column
    help: str
    """One line for `--help`."""
    value: Callable[[Layer, Totals], Cell]
    total: Callable[[Totals], Cell] = no_total
    costly: bool = False
    """Whether `archlab.trace` measures it only when its name is among `columns`."""


DEFAULT_COLUMNS = ("kind", "layer", "output-shape", "parameters", "macs")
OF_LAYERS_ALONE = ("kind", "layer")
"""Columns in which a network as a whole has nothing."""
SPARED_COLUMNS = ("layer",)
"""Default columns that are left out of text where they have no room, or say nothing."""
NOTEBOOK_COLUMNS = ("kind", "output-shape", "parameters", "bar-parameters", "macs", "bar-macs")
"""What a notebook shows: the default ones, with bars."""


def count_column(name: str, title: str, blank_zero: bool = False) -> Column:
    """A right-aligned column of whole numbers."""
    return Column(name, title, align="right", blank_zero=blank_zero)


def size_column(name: str, title: str) -> Column:
    """A right-aligned column of bytes."""
    return Column(name, title, align="right", form="bytes")


def seconds_column(name: str, title: str) -> Column:
    """A right-aligned column of times."""
    return Column(name, title, align="right", form="seconds")


def percent_column(name: str, title: str) -> Column:
    """A right-aligned column of fractions, shown as percentages."""
    return Column(name, title, align="right", form=".1%", blank_zero=True)


def of_layer(column: Column, help: str, *, costly: bool = False) -> Measure:
    """A measurement that layers hold under the name of its column, and that has no total."""
    return Measure(column, help, lambda layer, _: getattr(layer, column.name), costly=costly)


def summed(column: Column, help: str, *, costly: bool = False) -> Measure:
    """A measurement that layers and totals hold under the name of its column."""
    return replace(of_layer(column, help, costly=costly), total=attrgetter(column.name))


def share_of_total(column: Column, help: str, part: str) -> Measure:
    """A column with the layer's share of the network's total of some field, as a fraction; empty where that is 0."""

    def value(layer: Layer, totals: Totals) -> Cell:
        return getattr(layer, part) / whole if (whole := getattr(totals, part)) else None

    return Measure(column, help, value)


def shapes_text(shapes: Sequence[Shape], most: int = 4) -> str:
    """Shapes in a row, the first few in full and the number of the others."""
    if len(shapes) == 1:
        return _shape_text(shapes[0])
    listed = ", ".join(map(_shape_text, shapes[:most]))
    return listed + (f", +{len(shapes) - most}" if len(shapes) > most else "")


_shape_text = lru_cache(maxsize=1024)(shape_text)
"""For thousands of rows, which have some dozens of shapes."""


def network_text(record: Trace | Side | MemoryEstimate | Profile | Decoding) -> str:
    """The network with its options: `resnet (skip=off)`."""
    options = ", ".join(f"{name}={value}" for name, value in record.options.items())
    return f"{record.network} ({options})" if options else record.network


def subject_text(record: Trace | Side) -> str:
    """What was traced, on what: `densenet (norm=none) on 1x1x96x96`; the network alone if it takes no input."""
    return network_text(record) + (f" on {shapes_text(record.inputs)}" if record.inputs else "")


def kind_text(layer: Layer) -> str:
    """What the layer is: `Conv2d`, `cat 64+32 -> 96`, `Linear, call 2 of 3`, `Linear, unused`."""
    text = f"{layer.kind} {layer.detail}" if layer.operation and layer.detail else layer.kind
    if not layer.call:
        text += ", unused"
    if layer.detail == SIZE_UNKNOWN:
        text += f", {SIZE_UNKNOWN}"
    if not layer.call:
        return text
    return f"{text}, call {layer.call} of {layer.calls}" if layer.calls > 1 else text


def _parameters(layer: Layer, _: Totals) -> Cell:
    return layer.parameters or (None if layer.detail == SIZE_UNKNOWN else 0)


def field_text(field: ReceptiveField | None) -> str | None:
    """A receptive field in a few words: `435, jump 32`; equal axes are named once.

    >>> field_text(ReceptiveField((2071, 2071), (32, 32), "upper bound"))
    '<= 2071, jump 32'
    """
    if field is None or field.kind == "whole input":
        return None if field is None else field.kind
    size, jump = (
        "x".join(
            f"{axis:g}" if isinstance(axis, float) else str(axis)
            for axis in (axes[:1] if len(set(axes)) == 1 else axes)
        )
        for axes in (field.size, field.jump)
    )
    return f"{'<= ' if field.kind == 'upper bound' else ''}{size}, jump {jump}"


def lower_bound(value: int, totals: Totals) -> Cell:
    """The value, as a lower bound where an operation of the network has no formula."""
    return AtLeast(value) if totals.uncounted_operations else value


def backward_bound(totals: Totals) -> Cell:
    """The MACs of the backward pass, as a lower bound where an operation of it has no formula; None if not measured."""
    value = totals.backward_macs
    return AtLeast(value) if value is not None and totals.uncounted_backward_operations else value


COLUMNS: dict[str, Measure] = {
    "kind": Measure(
        Column("kind", "kind", shrinks=True),
        "class of the module, or name of the operation with what it does; which call, where there are several",
        lambda layer, _: kind_text(layer),
    ),
    "layer": Measure(
        Column("layer", "layer", shrinks=True),
        "kernel, channels, /stride, and dilation, groups, padding where they are not as usual",
        lambda layer, _: layer_text(layer),
    ),
    "input-shape": Measure(
        Column("input_shapes", "input shape"), "shapes that go in", lambda layer, _: shapes_text(layer.input_shapes)
    ),
    "output-shape": Measure(
        Column("output_shapes", "output shape"),
        "shapes that come out",
        lambda layer, _: shapes_text(layer.output_shapes),
    ),
    "parameters": Measure(
        count_column("parameters", "parameters"),
        "parameters of the layer and all inside it, each counted once in the network",
        _parameters,
        attrgetter("parameters"),
    ),
    "own-parameters": of_layer(
        count_column("own_parameters", "own parameters", blank_zero=True),
        "parameters that the module holds itself, not in its children",
    ),
    "trainable": summed(count_column("trainable_parameters", "trainable"), "parameters that the optimiser changes"),
    "buffers": summed(
        count_column("buffers", "buffers", blank_zero=True), "elements of buffers, running statistics for instance"
    ),
    "macs": Measure(
        count_column("macs", "MACs", blank_zero=True),
        "multiply-accumulates of convolutions, linear layers, matrix products, recurrent layers and attention",
        lambda layer, _: AtLeast(layer.macs) if layer.uncounted else layer.macs,
        lambda totals: lower_bound(totals.macs, totals),
    ),
    "flops": Measure(
        count_column("flops", "FLOPs", blank_zero=True),
        "2 x MACs",
        lambda layer, _: AtLeast(2 * layer.macs) if layer.uncounted else 2 * layer.macs,
        lambda totals: lower_bound(totals.flops, totals),
    ),
    "backward": Measure(
        count_column("backward_macs", "backward MACs", blank_zero=True),
        "multiply-accumulates of the backward pass, frozen parameters and the network's own inputs left out",
        lambda layer, _: layer.backward_macs,
        backward_bound,
        costly=True,
    ),
    "recomputed": summed(
        count_column("recomputed_macs", "recomputed", blank_zero=True),
        "multiply-accumulates that a checkpoint runs a second time, in the backward pass",
        costly=True,
    ),
    "elementwise": summed(
        count_column("elementwise", "elementwise", blank_zero=True),
        "operations of normalisation, activation and pooling, apart from MACs",
    ),
    "output": summed(size_column("output_bytes", "output"), "bytes of the results"),
    "saved": summed(
        size_column("saved_bytes", "saved"),
        "bytes that autograd keeps for the backward pass, each storage once, without parameters (but with buffers)",
        costly=True,
    ),
    "receptive-field": Measure(
        Column("receptive_field", "receptive field"),
        "input positions that one output position sees, and the step between neighbours; <= marks an upper bound",
        lambda layer, _: field_text(layer.receptive_field),
        costly=True,
    ),
    "time": of_layer(
        seconds_column("seconds", "time"),
        "median time of the forward pass through the layer, measured here with weights (archlab profile says more)",
        costly=True,
    ),
    "share-parameters": share_of_total(
        percent_column("share_parameters", "% parameters"), "percent of the network's parameters", "parameters"
    ),
    "share-macs": share_of_total(percent_column("share_macs", "% MACs"), "percent of the network's MACs", "macs"),
    "dtype": of_layer(Column("dtype", "dtype"), "element type of the first result"),
    "calls": Measure(
        Column("calls", "call", align="right"),
        "which of the module's calls the row is, and of how many",
        lambda layer, _: f"{layer.call} of {layer.calls}" if layer.call else "unused",
    ),
    "detail": of_layer(Column("detail", "detail", shrinks=True), "what the shapes don't say"),
    "source": of_layer(
        Column("source", "source", shrinks=True),
        "file:line of the module's class or of the operation's call",
        costly=True,
    ),
}
BARS: dict[str, Measure] = {
    "bar-parameters": share_of_total(
        Column("bar_parameters", "", form="bar"), "the share of the parameters as a bar", "parameters"
    ),
    "bar-macs": share_of_total(Column("bar_macs", "", form="bar"), "the share of the MACs as a bar", "macs"),
}
"""For a notebook, which has room to draw."""
GROUPS = {"share": ("share-parameters", "share-macs")}


def chosen_columns(names: Sequence[str]) -> tuple[str, ...]:
    """The columns that were asked for, groups resolved, each once; `+NAME` adds to the default ones.

    Raises:
        InputError: there is no such column.
    """
    chosen = dict.fromkeys(DEFAULT_COLUMNS if not names or any(name.startswith("+") for name in names) else ())
    for name in (name.removeprefix("+") for name in names):
        if name not in COLUMNS and name not in GROUPS:
            raise InputError(f"there is no column {name!r}: {nearest(name, [*COLUMNS, *GROUPS])}")
        chosen |= dict.fromkeys(GROUPS.get(name, (name,)))
    return tuple(chosen)


def costly_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that `archlab.trace` must be asked for."""
    return tuple(name for name in names if COLUMNS[name].costly)


def unmeasured(trace: Trace, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the columns that the trace was not asked for: no layer of it has a value."""
    return tuple(
        name
        for name in costly_columns(names)
        if all(COLUMNS[name].value(layer, trace.totals) in (None, "") for layer in trace.layers)
    )


def columns_table() -> Table:
    """What columns there are, and what each says."""
    names = {name: measure.help for name, measure in COLUMNS.items()}
    names |= {name: "short for " + ",".join(members) for name, members in GROUPS.items()}
    return Table(
        columns=(Column("column", "column"), Column("help", "what it says", wraps=True)),
        rows=tuple(Row((name, text)) for name, text in names.items()),
        footer=(f"Default: {','.join(DEFAULT_COLUMNS)}. A + before a name adds to these.",),
    )
