"""The stages of a network: where its channels grow and its maps shrink.

Equal blocks in a row (`layers.0` to `layers.79`) are one stage, and so are their parts where the blocks are opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from archlab.analysis.axes import Axes, named_axes
from archlab.analysis.bands import Concatenations
from archlab.analysis.folding import in_series, likeness, parent_rows
from archlab.records import Growth, Layer, Shape, Stage, Trace

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
    concatenations = Concatenations(trace, axes)
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
            _parts(trace.layers, cut.rows[0], concatenations) if len(layers) == 1 else (),
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


def _parts(layers: Sequence[Layer], row: int, found: Concatenations) -> tuple[int, ...]:
    """The channels of what a block's result is concatenated of; empty where it isn't, or where nobody knows of what."""
    is_block = row + 1 < len(layers) and layers[row + 1].depth > layers[row].depth
    parts = found.parts(row) if is_block and found.ends_concatenated(row) else ()
    return tuple(channels for _, channels in parts) if len(parts) > 1 else ()


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
