"""From what a tracer wrote down to the layers of a trace.

Counting semantics
------------------
A parameter counts once, by identity, in the first row that uses it: the module that holds it, if that is measured as
a whole, or the operation that takes it (`F.linear(x, self.weight)`, or `out_proj` inside attention). A view of a
parameter is no use of it; whoever takes the view is. A parameter that no such row takes gets a row of kind
`Parameter` below the module that holds it. So the rows at depth 1 sum to `sum(p.numel() for p in
network.parameters())`, and so do the children of every row. Buffers are treated alike, their rows are of kind
`Buffer`. `own_parameters` stands in the row of the module that holds the parameters (or in the row that they count
in, where that module has none), and sums to the same total over all rows.

A module that is never called and whose parameters nobody takes is unused: a row with call 0 where it is registered.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archlab.records import Layer, ReceptiveField, Totals
from archlab.tracing.forward.nodes import Node, Outline, State
from archlab.tracing.forward.tracer import Tracer
from archlab.tracing.pytree import shape_of


class Rows:
    """Turns one run into layers and totals."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.outline = tracer.outline
        self.states = tracer.outline.states
        self.sizes = {id(state): state.size for state in self.states}
        self.used: set[int] = set()
        """Modules that ran, or hold something that did, or hold something that was taken."""
        self.notes = _notes(self.outline)

    def layers(self) -> tuple[Layer, ...]:
        """The rows in order, parents before children, with sums over everything inside each."""
        if not self.tracer.nodes:
            return ()  # it failed before it began
        root = self.tracer.nodes[0]
        self._find_used()
        for state in self.states:
            self._file(state)
        if self.tracer.failed is None:
            self._add_unused()
        rows = [root] if not root.children else root.children
        ordered: list[Node] = []
        for node in rows:
            self._flatten(node, 1, ordered)
        places = {node.index: place for place, node in enumerate(ordered) if node.index >= 0}
        for node in reversed(ordered):
            if node.parent is not None:
                _sum_into(node.parent, node)
        return tuple([self._layer(node, places) for node in ordered])

    def totals(self) -> Totals:
        """The sums over the network, once its layers are made."""
        root = self.tracer.nodes[0] if self.tracer.nodes else Node(0, None, "", "", None, 1)
        return Totals(
            parameters=sum(self.sizes[id(state)] for state in self.states if state.is_parameter),
            trainable_parameters=sum(
                self.sizes[id(state)] for state in self.states if state.is_parameter and state.tensor.requires_grad
            ),
            buffers=sum(self.sizes[id(state)] for state in self.states if not state.is_parameter),
            macs=root.macs,
            flops=2 * root.macs,
            uncounted_operations=dict(sorted(self.tracer.unknown.items())),
            counted_operations=self.tracer.counted,
            elementwise=root.elementwise,
            output_bytes=sum(node.output_bytes for node in self.tracer.nodes if not node.children),
            saved_bytes=(root.saved or 0) if self.tracer.saves else None,
        )

    def _calls(self, module: nn.Module) -> list[Node]:
        return self.tracer.calls.get(id(module), [])

    def _find_used(self) -> None:
        taken = {id(holder) for state in self.states if state.taken_by is not None for holder in state.holders}
        calls = self.tracer.calls
        waiting = [module for key, module in self.outline.modules.items() if key in taken or calls.get(key)]
        while waiting:
            module = waiting.pop()
            if id(module) not in self.used:
                self.used.add(id(module))
                waiting.extend(self.outline.parents.get(id(module), ()))

    def _row_of(self, module: nn.Module) -> Node:
        """The row of a module's first call, or of the nearest module around it that was called."""
        while not self._calls(module):
            module = self.outline.parents[id(module)][0]
        return self._calls(module)[0]

    def _file(self, state: State) -> None:
        """Counts a state in the row that it belongs to."""
        size = self.sizes[id(state)]
        place = state.taken_by
        if place is None and len(state.holders) == 1:
            calls = self.tracer.calls.get(id(state.holders[0]))
            if calls and not calls[0].children:  # the usual case, and the quickest
                _add(calls[0], state, size)
                calls[0].own_parameters += size if state.is_parameter else 0
                return
        for holder in state.holders:
            node = self._row_of(holder)
            if not node.children and (node.module is holder or node.whole):
                place = node if place is None or node.index < place.index else place
        if place is None:
            user = next((holder for holder in state.holders if id(holder) in self.used), None)
            if user is None or self.tracer.failed is not None:
                return  # in the row of the unused module; or nobody knows who would have used it
            above = self._row_of(user)
            place = Node(-1, above, state.path, "Parameter" if state.is_parameter else "Buffer", None, above.call)
            place.outputs = (shape_of(state.tensor),)
            position = sum(child.index < 0 for child in above.children)
            above.children.insert(position, place)
        _add(place, state, size)
        if state.is_parameter:
            rows = [calls[0] for holder in state.holders if (calls := self._calls(holder))]
            home = next((row for row in rows if row.parent is not None), place)  # the network itself has no row
            home.own_parameters += size

    def _add_unused(self) -> None:
        unused = [(key, module) for key, module in self.outline.modules.items() if key not in self.used]
        if not unused:
            return
        made: dict[int, Node] = {}
        held: dict[int, list[State]] = {}
        for state in self.states:
            if all(id(holder) not in self.used for holder in state.holders):
                held.setdefault(id(state.holders[0]), []).append(state)
        for key, module in unused:
            if type(module) in _HOLDERS and not module._modules and not module._parameters:
                continue
            registered = self.outline.parents[key][0]
            above = made.get(id(registered)) or self._row_of(registered)
            if above.whole:
                continue
            node = Node(-1, above, self.outline.paths[key], type(module).__name__, module, 0)
            made[key] = node
            self._insert(above, node)
            for state in held.get(key, ()):
                _add(node, state, self.sizes[id(state)])
                node.own_parameters += self.sizes[id(state)] if state.is_parameter else 0

    def _insert(self, above: Node, node: Node) -> None:
        """Puts a row behind the one of the module that is registered before it."""
        number = self.outline.order[id(node.module)]
        position = sum(child.module is None and child.index < 0 for child in above.children)
        for place, child in enumerate(above.children):
            if child.module is not None and self.outline.order[id(child.module)] < number:
                position = place + 1
        above.children.insert(position, node)

    def _flatten(self, node: Node, depth: int, ordered: list[Node]) -> None:
        stack = [(node, depth)]
        while stack:
            current, level = stack.pop()
            current.depth = level
            ordered.append(current)
            stack.extend((child, level + 1) for child in reversed(current.children))

    def _layer(self, node: Node, places: dict[int, int]) -> Layer:
        return Layer(
            path=node.path,
            kind=node.kind,
            depth=node.depth,
            input_shapes=node.inputs,
            output_shapes=node.outputs,
            parameters=node.parameters,
            macs=node.macs,
            operation=node.module is None and node.index >= 0,
            own_parameters=node.own_parameters,
            trainable_parameters=node.trainable,
            buffers=node.buffers,
            elementwise=node.elementwise,
            output_bytes=node.output_bytes,
            saved_bytes=(node.saved or 0) if self.tracer.saves else None,
            receptive_field=self._receptive_field(node) if node.seen else None,
            dtype=node.dtype,
            call=node.call,
            calls=self._call_count(node),
            source=node.source,
            detail=node.detail,
            inputs=tuple([origin if origin < 0 else places[origin] for origin in node.origins]),
        )

    def _receptive_field(self, node: Node) -> ReceptiveField | None:
        from archlab.tracing.receptive.terms import receptive_field

        return receptive_field(node.seen)

    def _call_count(self, node: Node) -> int:
        owner = node
        while owner.module is None and owner.parent is not None:
            owner = owner.parent
        return len(self.tracer.calls.get(id(owner.module), ()))


_HOLDERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Sequential)


def _sum_into(above: Node, node: Node) -> None:
    above.parameters += node.parameters
    above.trainable += node.trainable
    above.buffers += node.buffers
    above.macs += node.macs
    above.elementwise += node.elementwise
    if node.saved is not None:
        above.saved = (above.saved or 0) + node.saved


def _add(node: Node, state: State, size: int) -> None:
    if not state.is_parameter:
        node.buffers += size
        return
    node.parameters += size
    if state.tensor.requires_grad:
        node.trainable += size


def _notes(outline: Outline) -> list[str]:
    """What the counts leave out: the packed weights of quantised layers."""
    packed = {}
    for key, module in outline.modules.items():
        weight: Any = getattr(module, "weight", None)
        bias: Any = getattr(module, "bias", None)
        if type(module).__module__.startswith("torch.ao.nn.") and callable(weight):
            parts = (weight(), bias() if callable(bias) else None)
            packed[outline.paths[key]] = sum(part.numel() for part in parts if isinstance(part, Tensor))
    if not packed:
        return []
    places = ", ".join(list(packed)[:3]) + (", ..." if len(packed) > 3 else "")
    return [f"{sum(packed.values()):,} quantised weights are packed, and so are no parameters: those of {places}."]
