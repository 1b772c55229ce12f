"""Which edges of a trace are skip connections: those by which a tensor bypasses layers and meets what they made of it.

Counting semantics: an edge into an addition or a concatenation is a skip connection if another input of that row is
computed from the same tensor by at least one layer: a module, or an operation that costs MACs or takes a parameter. Of
two inputs of an addition that are both computed from a third tensor, the branch that holds nothing but one convolution
of kernel 1 (or one linear layer) and layers without MACs is a skip connection too, where the other holds two layers
with MACs or more: He et al., Deep Residual Learning (2016), section 3.3, the projection shortcut.

What is multiplied is a gate, and what an attention takes is a query, a key or a value: neither is a skip connection.
What is added in another shape (a mask, a bias of positions) is broadcast, and none either.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from archlab.analysis.bands import CONCATENATIONS
from archlab.records import Layer, Trace

SUMS = r"_*[ir]?(add|sub)_*"
JOINS = CONCATENATIONS | {"stack", "vstack"}
"""Concatenations along any axis, also a new one."""

SkipEdge = tuple[int, int]
"""The row (or -1 - k, the k-th input) that gives the tensor, and the row that takes it."""


def skip_edges(trace: Trace) -> frozenset[SkipEdge]:
    """The edges that are skip connections.

    >>> from archlab.records import Totals
    >>> conv = Layer("conv", "Conv2d", 1, ((1, 8),), ((1, 8),), 8, 8, inputs=(-1,))
    >>> add = Layer("add", "add", 1, ((1, 8), (1, 8)), ((1, 8),), operation=True, inputs=(0, -1))
    >>> skip_edges(Trace("residual", ((1, 8),), (conv, add), Totals(8, 8, 0, 8, 16)))
    frozenset({(-1, 1)})
    """
    return frozenset(_Flow(trace).skips())


class _Flow:
    """What each row is computed from, as sets of bits: bit k for the k-th input from the end, then one per row."""

    def __init__(self, trace: Trace) -> None:
        self.layers = trace.layers
        self.inputs = trace.inputs
        least = min((origin for layer in trace.layers for origin in layer.inputs), default=-1)
        self.shift = max(len(trace.inputs), -least)
        self.ancestors = [0] * len(trace.layers)
        for row, layer in enumerate(trace.layers):
            for origin in layer.inputs:
                if origin < row:
                    self.ancestors[row] |= self.line(origin)

    def line(self, origin: int) -> int:
        """A tensor's origin and all that it is computed from."""
        return (self.ancestors[origin] if origin >= 0 else 0) | 1 << (origin + self.shift)

    def is_from(self, row: int, origin: int) -> bool:
        return row >= 0 and bool(self.ancestors[row] >> (origin + self.shift) & 1)

    def skips(self) -> set[SkipEdge]:
        found: set[SkipEdge] = set()
        for row, layer in enumerate(self.layers):
            origins = [origin for origin in dict.fromkeys(layer.inputs) if origin < row]
            is_sum = bool(re.fullmatch(SUMS, layer.kind.lower()))
            if len(origins) < 2 or not (is_sum or layer.kind.lower() in JOINS):
                continue
            direct = [
                origin
                for origin in origins
                if (not is_sum or self._keeps_shape(origin, layer))
                and any(self._layers_between(origin, other, _is_layer) for other in origins if other != origin)
            ]
            found.update((origin, row) for origin in direct)
            if is_sum and len(origins) == 2 and not direct:
                found.update(self._projection(row, origins) or self._projection(row, origins[::-1]))
        return found

    def _keeps_shape(self, origin: int, layer: Layer) -> bool:
        if origin >= 0:
            shapes: Sequence[Sequence[int]] = self.layers[origin].output_shapes
        else:
            shapes = self.inputs[-1 - origin : -1 - origin + 1]
        return layer.output_shapes[0] in shapes if layer.output_shapes else False

    def _layers_between(self, origin: int, row: int, counts: Callable[[Layer], bool], least: int = 1) -> bool:
        """Whether a row is computed from a tensor by at least so many rows that count, itself among them."""
        if not self.is_from(row, origin):
            return False
        rest, found = self.line(row), 0
        while rest:
            place = rest.bit_length() - 1
            rest ^= 1 << place
            between = place - self.shift
            if between < 0 or between <= origin:
                return False
            if self.is_from(between, origin) and counts(self.layers[between]):
                found += 1
                if found == least:
                    return True
        return False

    def _projection(self, row: int, origins: Sequence[int]) -> list[SkipEdge]:
        """The edges of a shortcut that ends as the first of an addition's two inputs; none if it is none."""
        here, other = origins
        edges, projections = [(here, row)], 0
        while here >= 0:
            layer = self.layers[here]
            if len(layer.inputs) != 1 or layer.inputs[0] >= here:
                return []
            if layer.macs:
                projections += 1
                if projections > 1 or not _is_projection(layer):
                    return []
            edges.append((layer.inputs[0], here))
            here = layer.inputs[0]
            if self.is_from(other, here):
                return edges if self._layers_between(here, other, lambda item: item.macs > 0, least=2) else []
        return []


def _is_layer(layer: Layer) -> bool:
    return not layer.operation or layer.macs > 0 or layer.parameters > 0


def _is_projection(layer: Layer) -> bool:
    return set(layer.window.kernel) == {1} if layer.window else layer.kind.lower() == "linear"
