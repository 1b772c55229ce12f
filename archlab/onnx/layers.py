"""From finished rows to the layers and totals of a trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from archlab.onnx.reading import Tensor
from archlab.onnx.row import SUMS, Row
from archlab.onnx.rows import COST_UNKNOWN, SHAPE_UNKNOWN, Rows
from archlab.onnx.scopes import is_layer
from archlab.records import Layer, Totals


class Layers:
    """The rows of a graph as a trace has them: layers of torch as one row, and what goes into and out of each."""

    def __init__(self, rows: Rows, inputs: Sequence[str]) -> None:
        self.rows = rows
        self.root = rows.root
        self.makers = rows.makers
        self.inputs = {name: -1 - place for place, name in enumerate(inputs)}
        _fold(self.root)
        self._connect()

    def layers(self) -> tuple[Layer, ...]:
        """The rows in order, parents before children."""
        ordered: list[tuple[Row, int]] = []
        stack = [(row, 1) for row in reversed(self.root.children)]
        while stack:
            row, depth = stack.pop()
            row.place = len(ordered)
            ordered.append((row, depth))
            stack.extend((child, depth + 1) for child in reversed(row.children))
        for row, _ in reversed(ordered):
            row.sum_up()
        self.root.sum_up()
        return tuple(self._layer(row, depth) for row, depth in ordered)

    def totals(self) -> Totals:
        """The sums over the graph, once its layers are made."""
        operators = [row for row in self.root.below() if row.uncounted is not None]
        parameters = self._stored("parameter")
        return Totals(
            parameters=parameters,
            trainable_parameters=parameters,
            buffers=self._stored("buffer"),
            macs=self.root.macs,
            flops=2 * self.root.macs,
            uncounted_operations=dict(
                sorted(Counter(name for row in operators for name in row.uncounted or ()).items())
            ),
            counted_operations=sum(row.uncounted == () for row in operators),
            elementwise=self.root.elementwise,
            output_bytes=sum(row.output_bytes for row in self.root.below() if not row.children),
        )

    def _stored(self, role: str) -> int:
        weights = self.rows.weights
        return sum(weights.stored[name].size for name in self.rows.filed if weights.roles[name] == role)

    def _connect(self) -> None:
        """Finds what goes into and out of each row."""
        homes = {id(item): row for row in self.root.below() for item in row.inside}
        results = [self.rows.same.get(item.name, item.name) for item in self.rows.graph.output]
        self.makers = {name: homes.get(id(row), row) for name, row in self.makers.items()}
        for name, user in [
            *((name, homes.get(id(row), row)) for name, row in self.rows.users),
            *((n, self.root) for n in results),
        ]:
            maker = self.makers.get(name)
            around = {id(row) for row in maker.above()} if maker is not None else {id(self.root)}
            for row in user.above():
                if id(row) in around:
                    break
                row.takes[name] = None
            if maker is not None and maker is not user:
                above = {id(row) for row in user.above()}
                for row in maker.above():
                    if id(row) in above:
                        break
                    row.gives[name] = None
        for name, row in self.makers.items():
            if not row.gives and not row.children:
                row.gives[name] = None  # nobody uses it

    def _layer(self, row: Row, depth: int) -> Layer:
        outputs = [tensor for name in row.gives if (tensor := self.rows.tensor(name)) is not None]
        origins = [self.makers[name].place if name in self.makers else self.inputs.get(name) for name in row.takes]
        is_leaf = not row.children
        return Layer(
            path=row.path,
            kind=row.kind.rpartition(".")[2] or "Scope",
            depth=depth,
            input_shapes=_shapes([self.rows.tensor(name) for name in row.takes]),
            output_shapes=_shapes(outputs),
            parameters=row.parameters,
            macs=row.macs,
            operation=row.operation,
            own_parameters=row.parameters if is_leaf else 0,
            trainable_parameters=row.parameters,
            buffers=row.buffers,
            elementwise=row.elementwise,
            output_bytes=row.output_bytes if is_leaf else sum(tensor.nbytes for tensor in outputs),
            dtype=outputs[0].dtype if outputs else "",
            call=row.call,
            calls=max(1, self.rows.calls[row.path]),
            detail=row.detail,
            window=row.window,
            inputs=tuple(dict.fromkeys(place for place in origins if place is not None)) if is_leaf else (),
            axes=row.axes
            if outputs and outputs[0].shape is not None and len(row.axes) == len(outputs[0].shape)
            else (),
            uncounted=sum(len(one.uncounted or ()) for one in (row, *row.below())),
        )


def _fold(row: Row) -> None:
    """Makes a layer of torch's one row, and a module of which nothing but its only operator is known."""
    for child in list(row.children):
        _fold(child)
    plain = row.children and row.parent is not None and all(item.operation for item in row.children)
    if not plain or row.operation or not (is_layer(row.kind) or (not row.kind and len(row.children) == 1)):
        return
    row.inside, row.children = row.children, []
    last = row.inside[-1]
    row.kind = row.kind or last.kind
    row.axes = next((item.axes for item in row.inside if item.axes), ())
    windows = [item.window for item in row.inside if item.window is not None]
    row.window = windows[0] if len(windows) == 1 else None
    row.detail = next((item.detail for item in row.inside if item.detail in (COST_UNKNOWN, SHAPE_UNKNOWN)), "")
    row.detail = row.detail or (last.detail if len(row.inside) == 1 else "")
    row.uncounted = tuple(name for item in row.inside for name in item.uncounted or ())
    row.output_bytes = last.output_bytes
    for name in SUMS:
        setattr(row, name, sum(getattr(item, name) for item in row.inside))


def _shapes(tensors: Iterable[Tensor | None]) -> tuple[tuple[int, ...], ...]:
    return tuple(tensor.shape for tensor in tensors if tensor is not None and tensor.shape is not None)
