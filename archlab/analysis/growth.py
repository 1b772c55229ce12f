"""The stages of a network: where its channels grow and its maps shrink.

Equal blocks in a row (`layers.0` to `layers.79`) are one stage, and so are their parts where the blocks are opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archlab.analysis.axes import Axes, named_axes
from archlab.analysis.folding import in_series, likeness, parent_rows
from archlab.records import Growth, Layer, Shape, Stage, Trace
from archlab.records.trace import FEATURE_AXES

CONCATENATIONS = ("cat", "concat", "concatenate")
STATES = ("Parameter", "Buffer")
"""Kinds of rows that no call made."""


def stages(trace: Trace, depth: int | None = 1) -> Growth:
    """The network's blocks and, between them, runs of layers that give the same shape.

    Args:
        trace: the network.
        depth: how many levels of blocks to open; None for all.
    """
    found: list[Stage] = []
    axes = named_axes(trace)
    before: _Cut | None = None
    for cut in _Tree(trace).cuts(depth):
        layers = [trace.layers[row] for row in cut.rows]
        shape, names = _without_batch(layers[0], axes[cut.rows[0]])
        stage = Stage(
            tuple(layer.path for layer in layers),
            tuple(layer.kind for layer in layers),
            shape,
            sum(layer.parameters for layer in layers),
            sum(layer.macs for layer in layers),
            names,
            len(layers),
            _parts(trace, cut.rows[0], axes) if len(layers) == 1 else (),
        )
        if before is not None and cut.continues(before) and (found[-1].shape, found[-1].axes) == (shape, names):
            last = found.pop()
            stage = Stage(
                (*last.paths, *stage.paths),
                (*last.kinds, *stage.kinds),
                shape,
                last.parameters + stage.parameters,
                last.macs + stage.macs,
                names,
                stage.repeats,
            )
        found.append(stage)
        before = cut
    return Growth(trace.network, trace.inputs, tuple(found))


def _parts(trace: Trace, row: int, axes: Sequence[Axes]) -> tuple[int, ...]:
    """The channels of what a block's result is concatenated of; empty where it isn't, or where nobody knows of what.

    Concatenations of concatenations are one, as in the course's dense block, which adds its layers one by one.
    """
    depth, end = trace.layers[row].depth, row
    while end + 1 < len(trace.layers) and trace.layers[end + 1].depth > depth:
        end += 1
    last, block = trace.layers[end], trace.layers[row]
    channels = next((axis for axis, name in enumerate(axes[row]) if name in FEATURE_AXES), None)
    if channels is None or last.kind not in CONCATENATIONS or last.output_shapes != block.output_shapes:
        return ()

    def of(place: int) -> list[int]:
        joint = trace.layers[place]
        if len(joint.inputs) != len(joint.input_shapes):
            return []
        found: list[int] = []
        for source, shape in zip(joint.inputs, joint.input_shapes, strict=True):
            inside = row <= source < place and trace.layers[source].kind in CONCATENATIONS
            found += of(source) if inside else [shape[channels]] if channels < len(shape) else []
        return found

    parts = of(end)
    return tuple(parts) if len(parts) > 1 and sum(parts) == block.output_shapes[0][channels] else ()


def _without_batch(layer: Layer, axes: Axes) -> tuple[Shape, Axes]:
    """The shape that comes out, and the names of its axes; a parameter that nothing takes gives nothing."""
    if not layer.output_shapes or layer.kind in STATES:
        return (), ()
    kept = [axis for axis, name in enumerate(axes) if name != "batch"]
    return tuple(layer.output_shapes[0][axis] for axis in kept), tuple(axes[axis] for axis in kept)


@dataclass(frozen=True, slots=True)
class _Cut:
    """Rows at which the tree is cut: one, or the same part of each of several equal blocks."""

    rows: tuple[int, ...]
    holds_layers: bool
    series: int
    """The first row of the innermost series of blocks that it is a part of; -1 for none."""

    def continues(self, other: _Cut) -> bool:
        """Whether both are layers of one run."""
        return not self.holds_layers and not other.holds_layers and self.series == other.series


class _Tree:
    def __init__(self, trace: Trace) -> None:
        self.layers = trace.layers
        first_inputs = [replace(layer, input_shapes=layer.input_shapes[:1]) for layer in trace.layers]
        self.likeness = likeness(first_inputs)
        """Of what else a block is given, a decoder's cache grows from block to block."""
        self.children: dict[int, list[int]] = {}
        for row, parent in enumerate(parent_rows(layer.depth for layer in trace.layers)):
            self.children.setdefault(parent, []).append(row)

    def cuts(self, depth: int | None) -> list[_Cut]:
        """The rows at a depth, and those above it without any inside; what never ran and buffers are left out."""
        return self._cuts([(row,) for row in self.children.get(-1, ())], depth, -1)

    def _cuts(self, nodes: Sequence[tuple[int, ...]], depth: int | None, series: int) -> list[_Cut]:
        result: list[_Cut] = []
        for rows in self._folded(nodes):
            row = rows[0]
            inside = self.children.get(row, ())
            layer = self.layers[row]
            if not inside and (not layer.call or (layer.kind in STATES and not layer.parameters)):
                continue
            inner = row if len(rows) > 1 else series
            if inside and (depth is None or depth > 1):
                copies = list(zip(*(self.children[copy] for copy in rows), strict=True))
                result += self._cuts(copies, None if depth is None else depth - 1, inner)
            else:
                result.append(_Cut(rows, self._holds_layers(row), series))
        return result

    def _folded(self, nodes: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """The nodes, equal blocks that follow each other as one."""
        result: list[tuple[int, ...]] = []
        for rows in nodes:
            if result and self._follows(result[-1][-1], rows[0]):
                result[-1] += rows
            else:
                result.append(rows)
        return result

    def _follows(self, last: int, row: int) -> bool:
        is_equal = self.likeness[last] == self.likeness[row] and self._holds_layers(row)
        return is_equal and in_series(self.layers[last].path, self.layers[row].path)

    def _holds_layers(self, row: int) -> bool:
        return any(not self.layers[child].operation for child in self.children.get(row, ()))
