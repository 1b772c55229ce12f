"""From a graph's nodes to rows.

Counting semantics
------------------
A row is a module that the file names, or an operator. Counts of a row cover everything inside it. Operators between
constants (the arithmetic that exporters write to find a shape) are no rows unless they have products, nor are views of
a parameter. The body of a loop counts as often as it runs, where that stands in the file; of a branch whose condition
is an input, only what both sides cost. Whatever else is left out is listed as uncounted.

A sum of a matrix product and a vector is the bias of that product, and costs nothing, as in torch's linear layer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from archlab.formulas import FREE, Cost
from archlab.onnx.axes import axes
from archlab.onnx.control import Knowledge, run_of, taken_inside
from archlab.onnx.costs import Operation, UnknownShapeError, cost, has_macs
from archlab.onnx.inlining import DOMAINS
from archlab.onnx.names import NOT_CONSTANT
from archlab.onnx.reading import Tensor, attributes
from archlab.onnx.row import Row
from archlab.onnx.scopes import Scope, scopes
from archlab.onnx.shapes import Inferred
from archlab.onnx.weights import WEIGHT_PLACES, Weights, is_view, values_of
from archlab.onnx.windows import window

if TYPE_CHECKING:
    import onnx

SHAPE_UNKNOWN = "shape not known"
COST_UNKNOWN = "cost not known"
_NUMBERED = re.compile(r"(.+)_(\d+)")


class Rows:
    """Turns a graph into layers and totals."""

    def __init__(self, inferred: Inferred, weights: Weights) -> None:
        self.graph = inferred.graph
        self.known = inferred.known
        self.values = inferred.values
        self.weights = weights
        self.root = Row(None, "", "")
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
        if node.op_type in NOT_CONSTANT or not all(name in self.still for name in values_of(node)):
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
            tuple(self.tensor(name) for name in node.input),
            tuple(self.tensor(name) for name in node.output),
            settings,
        )

    def tensor(self, name: str) -> Tensor | None:
        """What is known of a value; None for a name that is left out."""
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
        for name in node.input:
            self._take(name, row)
        for graph in graphs:
            for name in taken_inside(graph):
                self._take(name, row)
        for name in node.output:
            if name:
                self.makers[name] = row
        if node.output and node.op_type in ("MatMul", "MatMulInteger"):
            self.products.add(node.output[0])
        row.output_bytes = times * sum(tensor.nbytes for tensor in operation.outputs if tensor is not None)
        row.axes = axes(operation)
        row.window = window(operation)

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
        first, second = node.input
        for name, other in ((first, second), (second, first)):
            vector = self.tensor(other)
            if name in self.products and vector is not None and vector.shape is not None and len(vector.shape) == 1:
                return True
        return False

    def _take(self, name: str, row: Row) -> None:
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
        run = run_of(node, Knowledge(self._value, self.tensor, self._cost_of))
        if run is None:
            return False
        row.operation, row.detail = False, run.detail
        self.calls[row.path] += 1
        for inside, outside in run.pairs:
            if not outside or outside in self.settled:
                self._settle([inside])
            else:
                self.same[inside] = self.same.get(outside, outside)
        self._walk(run.body.node, row, times * run.times)
        skipped = 1 if node.op_type == "Loop" else 0  # a loop's first result is whether it goes on
        for result, name in zip(run.body.output[skipped:], node.output, strict=False):
            maker = self.makers.get(result.name)
            if maker is not None:
                self.makers[name] = maker
            elif result.name in self.still:
                self._settle([name])
            else:
                self.same[name] = self.same.get(result.name, result.name)
        return True

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


def _own_path(node: onnx.NodeProto, parent: Row) -> str:
    """A path below the parent's: the operator's own name where the graph is flat, else its kind, numbered."""
    kind = node.op_type.lower()
    own = node.name.strip("/")
    if parent.parent is None and own and "/" not in own and not node.metadata_props:
        return own
    number = parent.kinds[kind]
    parent.kinds[kind] += 1
    name = f"{kind}_{number}" if number else kind
    return f"{parent.path}.{name}" if parent.path else name


def _detail(operation: Operation) -> str:
    """What the shapes don't say."""
    if operation.kind == "Concat" and operation.domain in DOMAINS:
        axis = operation.get("axis", 0)
        sizes = [tensor.shape[axis] for tensor in operation.inputs if tensor is not None and tensor.shape]
        if len(sizes) == len(operation.inputs) > 1:
            return f"{'+'.join(map(str, sizes))} -> {sum(sizes)}"
    return "causal" if operation.kind == "Attention" and operation.get("is_causal") else ""
