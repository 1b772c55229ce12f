"""What a concatenation of channels consists of, followed back through the concatenations in it."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.analysis.axes import Axes
from archlab.analysis.folding import parent_rows
from archlab.records import Layer, Trace
from archlab.records.trace import FEATURE_AXES

CONCATENATIONS = frozenset(["cat", "concat", "concatenate", "hstack"])
"""Operations that join tensors along an axis that they have."""

Part = tuple[int, int]
"""A row, or -1 - k for an input, and how many channels come from it."""


class Concatenations:
    """The parts of the tensors of a trace.

    A dense layer's block is the one before it and 32 channels more, so its parts are all that were ever added:
    64, then 64 + 32, then 64 + 32 + 32.
    """

    def __init__(self, trace: Trace, axes: Sequence[Axes]) -> None:
        self._layers, self._axes = trace.layers, axes
        self._holders = set(parent_rows(layer.depth for layer in trace.layers))
        self._known: dict[int, tuple[Part, ...]] = {}

    def parts(self, row: int) -> tuple[Part, ...]:
        """The parts of a row's first result, from the first channel to the last; itself alone if it is of one piece."""
        waiting = [self._inmost(row)]
        while waiting:  # a stack of its own: a dense block's concatenations go deeper than Python's
            last = waiting[-1]
            needed = [] if last in self._known else [o for o in self._followed(last) if o not in self._known]
            if needed:
                waiting += needed
            else:
                waiting.pop()
                self._known.setdefault(last, self._put_together(last))
        return self._known[self._inmost(row)]

    def ends_concatenated(self, row: int) -> bool:
        """Whether the last layer inside a block is a concatenation that gives the block's result."""
        inmost = self._inmost(row)
        return is_concatenation(self._layers[inmost], self._axes[inmost])

    def maker(self, row: int) -> int:
        """The layer that made what a row gives: the convolution, where the row only normalises or activates."""
        while row >= 0:
            row = self._inmost(row)
            before = () if is_concatenation(self._layers[row], self._axes[row]) else self._followed(row)
            if not before:
                break
            row = before[0]
        return row

    def _inmost(self, row: int) -> int:
        """The layer inside a block that gives its result."""
        if row not in self._holders:
            return row
        end = row + 1
        while end < len(self._layers) and self._layers[end].depth > self._layers[row].depth:
            end += 1
        shapes = self._layers[row].output_shapes[:1]
        fitting = (r for r in range(end - 1, row, -1) if r not in self._holders and self._layers[r].call)
        return next((r for r in fitting if self._layers[r].output_shapes[:1] == shapes), row)

    def _followed(self, row: int) -> tuple[int, ...]:
        if row < 0 or row in self._holders:
            return ()
        layer = self._layers[row]
        if is_concatenation(layer, self._axes[row]):
            return tuple(origin for origin in layer.inputs if origin >= 0)
        is_same = len(layer.inputs) == 1 and not layer.macs and layer.input_shapes[:1] == layer.output_shapes[:1]
        return layer.inputs if is_same and layer.inputs[0] >= 0 else ()

    def _put_together(self, row: int) -> tuple[Part, ...]:
        if row < 0:
            return ((row, 0),)
        layer = self._layers[row]
        axis = _feature(self._axes[row])
        whole = ((row, layer.output_shapes[0][axis] if axis is not None and layer.output_shapes else 0),)
        if axis is None:
            return whole
        if not is_concatenation(layer, self._axes[row]):
            origins = self._followed(row)
            inner = self._known.get(origins[0], whole) if origins else whole
            return inner if len(inner) > 1 else whole
        found: list[Part] = []
        for origin, shape in zip(layer.inputs, layer.input_shapes, strict=True):
            inner = self._known.get(origin, ()) if origin >= 0 else ()
            fits = len(inner) > 1 and sum(channels for _, channels in inner) == shape[axis]
            found += inner if fits else ((origin, shape[axis]),)
        return tuple(found)


def is_concatenation(layer: Layer, axes: Axes) -> bool:
    """Whether a layer puts the channels of several tensors beside each other, and it is known which."""
    axis = _feature(axes)
    shapes = layer.input_shapes
    if axis is None or layer.kind.lower() not in CONCATENATIONS or len(shapes) != len(layer.inputs) or len(shapes) < 2:
        return False
    whole = layer.output_shapes[0] if layer.output_shapes else ()
    if any(len(shape) != len(whole) for shape in shapes) or axis >= len(whole):
        return False
    return sum(shape[axis] for shape in shapes) == whole[axis] and all(
        size == shape[place] for shape in shapes for place, size in enumerate(whole) if place != axis
    )


def _feature(axes: Axes) -> int | None:
    return next((axis for axis, name in enumerate(axes) if name in FEATURE_AXES), None)
