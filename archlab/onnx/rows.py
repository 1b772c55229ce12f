"""From a graph's nodes to the layers of a trace.

Counting semantics
------------------
A row is a module that the file names, or an operator. Counts of a row cover everything inside it. Operators between
constants (the arithmetic that exporters write to find a shape) are no rows unless they have products, nor are views of a
parameter. The body of a loop counts as often as it runs, where that stands in the file; of a branch whose condition is
an input, only what both sides cost. Whatever else is left out is listed as uncounted.

A sum of a matrix product and a stored vector is the bias of that product, and costs nothing, as torch's linear layer
says of its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from typing import TYPE_CHECKING, Any

from archlab.formulas import FREE, Cost
from archlab.onnx.axes import axes
from archlab.onnx.costs import Operation, UnknownShapeError, cost, has_macs
from archlab.onnx.inlining import DOMAINS
from archlab.onnx.reading import Tensor, attributes
from archlab.onnx.scopes import Scope, is_layer, scopes
from archlab.onnx.shapes import Inferred
from archlab.onnx.weights import NOT_CONSTANT, WEIGHT_PLACES, Weights, is_view
from archlab.records import Layer, Totals

if TYPE_CHECKING:
    import onnx

SHAPE_UNKNOWN = "shape not known"
COST_UNKNOWN = "cost not known"
_NUMBERED = re.compile(r"(.+)_(\d+)")


class Row:
    """A row in the making."""

    __slots__ = (
        *("axes", "buffers", "call", "children", "cost", "detail", "elementwise", "inside", "kind", "macs", "operation"),
        *("output_bytes", "parameters", "parent", "path", "place", "takes", "gives", "given", "uncounted"),
    )

    def __init__(self, parent: Row | None, path: str, kind: str) -> None:
        self.parent = parent
        self.path = self.given = path
        """The path, and as the file gives it, which may number the calls of one module."""
        self.kind = kind
        self.children: list[Row] = []
        self.inside: list[Row] = []
        """The operators of a layer that is one row."""
        self.operation = False
        self.detail = ""
        self.axes: tuple[str, ...] = ()
        self.macs = self.elementwise = self.parameters = self.buffers = self.output_bytes = 0
        self.uncounted: tuple[str, ...] | None = None
        """Of an operator: its name if it has no formula, nothing if it has; None for a module."""
        self.takes: dict[str, None] = {}
        """Values that come from outside."""
        self.gives: dict[str, None] = {}
        """Values that are used outside."""
        self.call = 1
        self.place = -1
        if parent is not None:
            parent.children.append(self)

    def above(self) -> Iterable[Row]:
        """The row and those that hold it, from inside to outside."""
        row: Row | None = self
        while row is not None:
            yield row
            row = row.parent


class Rows:
    """Turns a graph into layers and totals."""

    def __init__(self, inferred: Inferred, weights: Weights, inputs: Sequence[str]) -> None:
        self.graph = inferred.graph
        self.known = inferred.known
        self.values = inferred.values
        self.weights = weights
        self.root = Row(None, "", "")
        self.inputs = {name: -1 - place for place, name in enumerate(inputs)}
        self.makers: dict[str, Row] = {}
        """The operator's row that makes a value."""
        self.products: set[str] = set()
        """Results of matrix products."""
        self.same: dict[str, str] = {}
        """Names inside a loop or a branch, and names of the same values outside."""
        self.owners = {name.rpartition(".")[0] for name in weights.stored}
        """The modules that stored tensors are named after."""
        self.still = {name for name, role in weights.roles.items() if role == "constant"}
        """Constants."""
        self.settled = {*self.still, *weights.alias}
        """Constants, stored tensors, and views of these."""
        self.users: list[tuple[str, Row]] = []
        self.filed: set[str] = set()
        self.calls: Counter[str] = Counter()
        self._walk(self.graph.node, self.root, 1)

    def layers(self) -> tuple[Layer, ...]:
        """The rows in order, parents before children."""
        self._fold(self.root)
        self._connect()
        ordered: list[tuple[Row, int]] = []
        stack = [(row, 1) for row in reversed(self.root.children)]
        while stack:
            row, depth = stack.pop()
            row.place = len(ordered)
            ordered.append((row, depth))
            stack.extend((child, depth + 1) for child in reversed(row.children))
        for row, _ in reversed(ordered):
            _sum_into(row)
        _sum_into(self.root)
        return tuple(self._layer(row, depth) for row, depth in ordered)

    def totals(self) -> Totals:
        """The sums over the graph, once its layers are made."""
        operators = [row for row in _below(self.root) if row.uncounted is not None]
        parameters = self._stored("parameter")
        return Totals(
            parameters=parameters,
            trainable_parameters=parameters,
            buffers=self._stored("buffer"),
            macs=self.root.macs,
            flops=2 * self.root.macs,
            uncounted_operations=dict(sorted(Counter(name for row in operators for name in row.uncounted or ()).items())),
            counted_operations=sum(row.uncounted == () for row in operators),
            elementwise=self.root.elementwise,
            output_bytes=sum(row.output_bytes for row in _below(self.root) if not row.children),
        )

    def _stored(self, role: str) -> int:
        return sum(self.weights.stored[name].size for name in self.filed if self.weights.roles[name] == role)

    def _walk(self, nodes: Iterable[onnx.NodeProto], root: Row, times: int) -> None:
        """Makes rows of nodes, in or below a row, counted a number of times."""
        opened = [root]
        for node in nodes:
            if self._is_still(node):
                continue
            opened = self._opened(root, opened, self._scopes(node))
            self._operator(node, opened[-1], times)

    def _is_still(self, node: onnx.NodeProto) -> bool:
        """Whether a node is none of the forward pass: it makes a constant, or a view of a stored tensor."""
        alias = self.weights.alias
        if node.op_type in ("Constant", "Shape", "Size") and node.domain in DOMAINS:
            self._settle(node.output)
            return True
        if is_view(node, alias, self.settled):
            if alias[node.input[0]] in self.still:
                self._settle(node.output)
            return True
        if node.op_type in NOT_CONSTANT or not all(name in self.still for name in node.input if name):
            return False
        if has_macs(self._operation(node)):
            return False
        self._settle(node.output)
        return True

    def _settle(self, names: Iterable[str]) -> None:
        self.still.update(names)
        self.settled.update(names)

    def _scopes(self, node: onnx.NodeProto) -> tuple[Scope, ...]:
        places = WEIGHT_PLACES.get(node.op_type, ())[:1] if node.op_type != "Gemm" else (1,)
        names = [self.weights.alias.get(node.input[place], "") for place in places if place < len(node.input)]
        return scopes(node, names[0] if names else "")

    def _opened(self, root: Row, opened: list[Row], wanted: Sequence[Scope]) -> list[Row]:
        """The rows of the modules around a node: those that are open already, as far as they are the same, then new."""
        prefix = root.path + "." if root.path else ""
        rows = [root]
        for place, scope in enumerate(wanted, start=1):
            path = scope.path if scope.path.startswith(prefix) or not prefix else prefix + scope.path
            is_open = len(rows) == place and place < len(opened) and opened[place].parent is rows[-1]
            if is_open and opened[place].given == path:
                rows.append(opened[place])
                continue
            row = Row(rows[-1], path, scope.kind)
            self._number(row)
            rows.append(row)
        return rows

    def _number(self, row: Row) -> None:
        """Counts the calls of a module; `relu_1` behind `relu` is how torch's older exporter names a second call."""
        match = _NUMBERED.fullmatch(row.path)
        if not row.kind and match and self.calls[match[1]] == int(match[2]) and row.path not in self.owners:
            row.path = match[1]
        self.calls[row.path] += 1
        row.call = self.calls[row.path]

    def _operation(self, node: onnx.NodeProto) -> Operation:
        settings: dict[str, Any] = attributes(node)
        if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
            settings["training_mode"] = self._value(node.input[2])
        return Operation(
            node.op_type,
            node.domain,
            tuple(self._tensor(name) for name in node.input),
            tuple(self._tensor(name) for name in node.output),
            settings,
        )

    def _tensor(self, name: str) -> Tensor | None:
        if not name:
            return None
        return self.known.get(name) or self.weights.stored.get(name) or Tensor()

    def _value(self, name: str) -> Any:
        """A stored number; None where it isn't one, or is no constant."""
        found = self.values.get(self.same.get(name, name))
        return found.item() if found is not None and found.size == 1 else None

    def _operator(self, node: onnx.NodeProto, parent: Row, times: int) -> None:
        row = Row(parent, _own_path(node, parent), node.op_type)
        row.operation = True
        graphs = [part for item in node.attribute for part in ([item.g] if item.HasField("g") else item.graphs)]
        if graphs and node.domain in DOMAINS and self._control(node, row, times):
            return
        operation = self._operation(node)
        self._count(node, row, operation, bool(graphs), times)
        for place, name in enumerate(node.input):
            self._take(name, place, node, row)
        for graph in graphs:
            for name in _taken_inside(graph):
                self._take(name, -1, node, row)
        for name in node.output:
            if name:
                self.makers[name] = row
        if node.output and node.op_type in ("MatMul", "MatMulInteger"):
            self.products.add(node.output[0])
        row.output_bytes = times * sum(tensor.nbytes for tensor in operation.outputs if tensor is not None)
        row.axes = axes(operation)

    def _count(self, node: onnx.NodeProto, row: Row, operation: Operation, is_control: bool, times: int) -> None:
        try:
            found = None if is_control else FREE if self._is_bias(node) else cost(operation)
            reason = COST_UNKNOWN
        except (UnknownShapeError, IndexError, TypeError, ValueError, ZeroDivisionError):
            found, reason = None, SHAPE_UNKNOWN
        if found is None:
            row.uncounted = (f"{node.domain}.{node.op_type}" if node.domain not in DOMAINS else node.op_type,) * times
            row.detail = reason
            return
        row.uncounted = ()
        row.macs, row.elementwise = times * found.macs, times * found.elementwise
        row.detail = _detail(operation)
        if any(tensor is not None and tensor.shape is None for tensor in operation.outputs[:1]):
            row.detail = SHAPE_UNKNOWN
        if times > 1:
            row.detail = f"{row.detail}, x{times}".removeprefix(", ")

    def _is_bias(self, node: onnx.NodeProto) -> bool:
        if node.op_type != "Add" or len(node.input) != 2:
            return False
        for name, other in (node.input, reversed(node.input)):
            stored = self.weights.alias.get(other)
            if stored is not None and len(self.weights.stored[stored].shape or ()) == 1:
                return name in self.products and self.weights.roles[stored] == "parameter"
        return False

    def _take(self, name: str, place: int, node: onnx.NodeProto, row: Row) -> None:
        stored = self.weights.alias.get(name)
        if stored is not None:
            if stored not in self.filed:
                self.filed.add(stored)
                size = self.weights.stored[stored].size
                row.parameters += size if self.weights.roles[stored] == "parameter" else 0
                row.buffers += size if self.weights.roles[stored] == "buffer" else 0
        elif name and name not in self.still:
            self.users.append((self.same.get(name, name), row))

    def _control(self, node: onnx.NodeProto, row: Row, times: int) -> bool:
        """Makes rows of what a loop or a branch holds; whether it is known what and how often it runs."""
        bodies = {item.name: item.g for item in node.attribute if item.HasField("g")}
        settings = attributes(node)
        body = bodies.get("body")
        pairs: list[tuple[str, str]] = []
        if node.op_type == "If" and {"then_branch", "else_branch"} <= bodies.keys():
            body, detail = self._branch(node, bodies)
            runs = 1
        elif node.op_type == "Loop" and body is not None and len(node.input) > 1:
            found = self._value(node.input[0]) if node.input[0] else None
            goes_on = (not node.input[1] or self._value(node.input[1]) is True) and _keeps_on(body)
            if not isinstance(found, int) or not goes_on:
                return False
            runs, detail = found, f"x{found}"
            pairs = list(zip([item.name for item in body.input][2:], node.input[2:], strict=False))
        elif node.op_type == "Scan" and body is not None:
            count = settings.get("num_scan_inputs")
            given = self._tensor(node.input[-count]) if isinstance(count, int) and 0 < count <= len(node.input) else None
            first = settings.get("scan_input_axes")
            axis = first[0] if isinstance(first, (list, tuple)) and first else 0
            if given is None or given.shape is None or not -len(given.shape) <= axis < len(given.shape):
                return False
            runs = given.shape[axis]
            detail = f"x{runs}"
            pairs = list(zip([item.name for item in body.input], node.input, strict=False))
        else:
            return False
        if body is None:
            return False
        row.operation, row.detail = False, detail
        self.calls[row.path] += 1
        for inside, outside in pairs:
            if outside in self.still or outside in self.weights.alias:
                self._settle([inside])
            self.same[inside] = self.same.get(outside, outside)
        self._walk(body.node, row, times * runs)
        skipped = 1 if node.op_type == "Loop" else 0  # a loop's first result is whether it goes on
        for result, name in zip(body.output[skipped:], node.output, strict=False):
            maker = self.makers.get(result.name)
            if maker is not None:
                self.makers[name] = maker
            elif result.name in self.still:
                self._settle([name])
            else:
                self.same[name] = self.same.get(result.name, result.name)
        return True

    def _branch(self, node: onnx.NodeProto, bodies: dict[str, onnx.GraphProto]) -> tuple[onnx.GraphProto | None, str]:
        """The side that runs, as far as the file decides it; either, where both cost the same."""
        taken = self._value(node.input[0]) if node.input else None
        if taken is not None:
            return bodies["then_branch" if taken else "else_branch"], "then" if taken else "else"
        sides = [self._cost_of(bodies[name]) for name in ("then_branch", "else_branch")]
        return (bodies["then_branch"], "either side") if sides[0] is not None and sides[0] == sides[1] else (None, "")

    def _cost_of(self, graph: onnx.GraphProto) -> Cost | None:
        total = FREE
        for node in graph.node:
            try:
                found = cost(self._operation(node))
            except (UnknownShapeError, IndexError, TypeError, ValueError, ZeroDivisionError):
                return None
            if found is None:
                return None
            total = Cost(total.macs + found.macs, total.elementwise + found.elementwise)
        return total

    def _fold(self, row: Row) -> None:
        """Makes a layer of torch's one row, and a module of which nothing but its only operator is known."""
        for child in list(row.children):
            self._fold(child)
        plain = row.children and row.parent is not None and all(item.operation for item in row.children)
        if not plain or row.operation or not (is_layer(row.kind) or (not row.kind and len(row.children) == 1)):
            return
        row.inside, row.children = row.children, []
        last = row.inside[-1]
        row.kind = row.kind or last.kind
        row.axes = next((item.axes for item in row.inside if item.axes), ())
        row.detail = next((item.detail for item in row.inside if item.detail in (COST_UNKNOWN, SHAPE_UNKNOWN)), "")
        row.detail = row.detail or (last.detail if len(row.inside) == 1 else "")
        row.uncounted = tuple(name for item in row.inside for name in item.uncounted or ())
        row.output_bytes = last.output_bytes
        for name in ("macs", "elementwise", "parameters", "buffers"):
            setattr(row, name, sum(getattr(item, name) for item in row.inside))

    def _connect(self) -> None:
        """Finds what goes into and out of each row."""
        homes = {id(item): row for row in _below(self.root) for item in row.inside}
        results = [self.same.get(item.name, item.name) for item in self.graph.output]
        self.makers = {name: homes.get(id(row), row) for name, row in self.makers.items()}
        for name, user in [*((name, homes.get(id(row), row)) for name, row in self.users), *((n, self.root) for n in results)]:
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
        outputs = [tensor for name in row.gives if (tensor := self._tensor(name)) is not None]
        origins = [self.makers[name].place if name in self.makers else self.inputs.get(name) for name in row.takes]
        is_leaf = not row.children
        return Layer(
            path=row.path,
            kind=row.kind.rpartition(".")[2] or "Scope",
            depth=depth,
            input_shapes=_shapes([self._tensor(name) for name in row.takes]),
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
            calls=max(1, self.calls[row.path]),
            detail=row.detail,
            inputs=tuple(dict.fromkeys(place for place in origins if place is not None)) if is_leaf else (),
            axes=row.axes if outputs and outputs[0].shape is not None and len(row.axes) == len(outputs[0].shape) else (),
        )


def _shapes(tensors: Iterable[Tensor | None]) -> tuple[tuple[int, ...], ...]:
    return tuple(tensor.shape for tensor in tensors if tensor is not None and tensor.shape is not None)


def _below(root: Row) -> Iterable[Row]:
    stack = list(reversed(root.children))
    while stack:
        row = stack.pop()
        yield row
        stack.extend(reversed(row.children))


def _sum_into(row: Row) -> None:
    if row.children:
        for name in ("macs", "elementwise", "parameters", "buffers"):
            setattr(row, name, sum(getattr(child, name) for child in row.children))


def _own_path(node: onnx.NodeProto, parent: Row) -> str:
    """A name below the parent's path: the operator's own in the file where the graph is flat, else its kind, numbered."""
    kind = node.op_type.lower()
    own = node.name.strip("/")
    if parent.parent is None and own and "/" not in own and not node.metadata_props:
        return own
    used = {row.path for row in parent.children}
    path = f"{parent.path}.{kind}" if parent.path else kind
    number, name = 0, path
    while name in used:
        number += 1
        name = f"{path}_{number}"
    return name


def _detail(operation: Operation) -> str:
    """What the shapes don't say."""
    if operation.kind == "Concat" and operation.domain in DOMAINS:
        axis = operation.get("axis", 0)
        sizes = [tensor.shape[axis] for tensor in operation.inputs if tensor is not None and tensor.shape]
        if len(sizes) == len(operation.inputs) > 1:
            return f"{'+'.join(map(str, sizes))} -> {sum(sizes)}"
    return "causal" if operation.kind == "Attention" and operation.get("is_causal") else ""


def _keeps_on(body: onnx.GraphProto) -> bool:
    """Whether a loop's body never ends it: what it says of going on is what it was told, or a stored yes."""
    import numpy
    from onnx.numpy_helper import to_array

    if len(body.input) < 2 or not body.output:
        return False
    name = body.output[0].name
    makers = {output: node for node in body.node for output in node.output}
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    if name == body.input[1].name:
        return True
    node = makers.get(name)
    stored = [item.t for item in node.attribute if item.name == "value"] if node and node.op_type == "Constant" else []
    stored += [tensor for tensor in body.initializer if tensor.name == name]
    return bool(stored) and prod(stored[0].dims) == 1 and bool(numpy.all(to_array(stored[0])))


def _taken_inside(graph: onnx.GraphProto) -> list[str]:
    """Values from around a body that nobody followed."""
    made = {item.name for item in graph.input} | {item.name for item in graph.initializer}
    taken: dict[str, None] = {}
    for node in graph.node:
        taken.update((name, None) for name in node.input if name and name not in made)
        made.update(node.output)
    return list(taken)
