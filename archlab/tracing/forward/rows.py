"""From the calls of a run to the layers of a trace.

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

from bisect import bisect_left
from collections import Counter
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from archlab.records import Layer, ReceptiveField, Totals, Weight
from archlab.records.making import maker
from archlab.records.trace import SIZE_UNKNOWN
from archlab.tracing.forward.axes import axes
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.forward.module_tree import ModuleTree, State, Stray, is_uninitialised
from archlab.tracing.forward.windows import module_window
from archlab.tracing.pytree import shape_of


class Rows:
    """Turns one run into layers and totals."""

    def __init__(self, modules: ModuleTree, tree: CallTree) -> None:
        self.modules = modules
        self.tree = tree
        loose = modules.measure(tree.strays)
        self.gradients = tree.gradients if tree.gradients is not None and tree.gradients.has_run else None
        """What counted the backward pass; None if nobody asked, or the forward pass failed."""
        self.states = modules.states
        self.used: set[int] = set()
        """Modules that ran, or hold something that did, or hold something that was taken."""
        self.idle: dict[int, list[Call]] = {}
        """Rows of what no operation takes, by the identity of the row that they come below."""
        self.notes = [*_packed(modules), *_loose(loose), *_unknown(modules.states)]

    def layers(self) -> tuple[Layer, ...]:
        """The rows in order, parents before children, with sums over everything inside each."""
        if not self.tree.calls:
            return ()  # it failed before it began
        root = self.tree.calls[0]
        self._find_used()
        for state in self.states:
            self._file(state)
        for rows in self.idle.values():
            above = rows[0].parent
            assert above is not None
            above.children[:0] = rows
        if self.tree.failed is None:
            self._add_unused()
        ordered: list[Call] = []
        stack = [(call, 1) for call in reversed(root.children or [root])]
        while stack:
            call, depth = stack.pop()
            call.depth = depth
            ordered.append(call)
            if call.children:
                stack += [(child, depth + 1) for child in reversed(call.children)]
        places = {call.index: place for place, call in enumerate(ordered) if call.index >= 0}
        for call in reversed(ordered):
            if call.uncounted:
                call.lacking += len(call.uncounted)
            if call.parent is not None:
                _sum_into(call.parent, call)
        return tuple([self._layer(call, places) for call in ordered])

    def totals(self) -> Totals:
        """The sums over the network, once its layers are made."""
        root = self.tree.calls[0] if self.tree.calls else Call(None, "", "")
        parameters = [state for state in self.states if state.is_parameter]
        uncounted = Counter(name for call in self.tree.calls for name in call.uncounted or ())
        return Totals(
            parameters=sum(state.size for state in parameters),
            trainable_parameters=sum(state.size for state in parameters if state.tensor.requires_grad),
            buffers=sum(state.size for state in self.states if not state.is_parameter),
            macs=root.macs,
            flops=2 * root.macs,
            uncounted_operations=dict(sorted(uncounted.items())),
            counted_operations=sum(call.uncounted == () for call in self.tree.calls),
            elementwise=root.elementwise,
            output_bytes=sum(call.output_bytes for call in self.tree.calls if not call.children),
            saved_bytes=(root.saved or 0) if self.tree.saves else None,
            **self._of_a_step(root),
        )

    def _of_a_step(self, root: Call) -> dict[str, Any]:
        """What the totals say of a training step, if its backward pass was counted."""
        if self.gradients is None:
            return {}
        return {
            "backward_macs": root.backward,
            "recomputed_macs": root.recomputed,
            "step_macs": root.macs + root.backward + root.recomputed,
            "uncounted_backward_operations": dict(sorted(self.gradients.uncounted.items())),
        }

    def _find_used(self) -> None:
        taken = {id(holder) for state in self.states if state.taken_by is not None for holder in state.holders}
        calls = self.tree.by_module
        waiting = [module for key, module in self.modules.modules.items() if key in taken or calls.get(key)]
        while waiting:
            module = waiting.pop()
            if id(module) not in self.used:
                self.used.add(id(module))
                waiting.extend(self.modules.parents.get(id(module), ()))

    def _row_of(self, module: nn.Module) -> Call:
        """The row of a module's first call, or of the nearest module around it that was called."""
        while not self.tree.by_module.get(id(module)):
            module = self.modules.parents[id(module)][0]
        return self.tree.by_module[id(module)][0]

    def _file(self, state: State) -> None:
        """Counts a state in the row that it belongs to."""
        place = state.taken_by
        if place is None and len(state.holders) == 1:
            calls = self.tree.by_module.get(id(state.holders[0]))
            if calls and not self._has_rows(calls[0]):  # the usual case, and the quickest
                _add(calls[0], state)
                calls[0].own_parameters += state.size if state.is_parameter else 0
                return
        for holder in state.holders:
            call = self._row_of(holder)
            if not self._has_rows(call) and (call.module is holder or call.whole):
                place = call if place is None or call.index < place.index else place
        if place is None:
            user = next((holder for holder in state.holders if id(holder) in self.used), None)
            if user is None or self.tree.failed is not None:
                return  # in the row of the unused module; or nobody knows who would have used it
            above = self._row_of(user)
            place = Call(above, state.path, "Parameter" if state.is_parameter else "Buffer", None, above.number)
            if is_uninitialised(state):
                place.detail = SIZE_UNKNOWN
            else:
                place.outputs = (shape_of(state.tensor),)
            self.idle.setdefault(id(above), []).append(place)
        _add(place, state)
        if state.is_parameter and place.module is None:
            place.weights += (Weight(state.path.rpartition(".")[2], shape_of(state.tensor)),)
        if state.is_parameter:
            rows = [calls[0] for holder in state.holders if (calls := self.tree.by_module.get(id(holder)))]
            home = next((row for row in rows if row.parent is not None), place)  # the network itself has no row
            home.own_parameters += state.size

    def _has_rows(self, call: Call) -> bool:
        return bool(call.children) or id(call) in self.idle

    def _add_unused(self) -> None:
        unused = [(key, module) for key, module in self.modules.modules.items() if key not in self.used]
        if not unused:
            return
        made: dict[int, Call] = {}
        below: dict[int, list[Call]] = {}
        held: dict[int, list[State]] = {}
        for state in self.states:
            if state.holders and all(id(holder) not in self.used for holder in state.holders):
                held.setdefault(id(state.holders[0]), []).append(state)
        for key, module in unused:
            if type(module) in _CONTAINERS and not module._modules and not module._parameters:
                continue
            registered = self.modules.parents[key][0]
            above = made.get(id(registered)) or self._row_of(registered)
            if above.whole:
                continue
            call = Call(above, self.modules.paths[key], type(module).__name__, module, 0)
            made[key] = call
            below.setdefault(id(above), []).append(call)
            for state in held.get(key, ()):
                _add(call, state)
                call.own_parameters += state.size if state.is_parameter else 0
                call.detail = SIZE_UNKNOWN if is_uninitialised(state) else call.detail
        for rows in below.values():
            assert rows[0].parent is not None
            self._insert(rows[0].parent, rows)

    def _insert(self, above: Call, unused: list[Call]) -> None:
        """Puts rows, in the order of registration, each behind the rows of modules registered before it.

        Children that ran in the order 3, 1, 4 with 2, 5 unused become 3, 1, 2, 4, 5. Behind which child a row comes
        is looked up once for each: the last that was registered before number n is the last of those whose smallest
        number from there to the end (1, 1, 4 in the example) is below n, and these only grow.
        """
        order, children = self.modules.order, above.children
        least = [len(order) if child.module is None else order[id(child.module)] for child in children]
        for place in range(len(least) - 2, -1, -1):
            least[place] = min(least[place], least[place + 1])
        first = sum(child.module is None and child.index < 0 for child in children)
        merged: list[Call] = []
        done = 0
        for call in unused:
            place = bisect_left(least, order[id(call.module)]) or first
            merged += children[done:place]
            merged.append(call)
            done = max(done, place)
        above.children = merged + children[done:]

    def _layer(self, call: Call, places: dict[int, int]) -> Layer:
        module, origins = call.module, call.origins
        return _new_layer(
            path=call.path,
            kind=call.kind,
            depth=call.depth,
            input_shapes=call.inputs,
            output_shapes=call.outputs,
            parameters=call.parameters,
            macs=call.macs,
            operation=module is None and call.index >= 0,
            own_parameters=call.own_parameters,
            trainable_parameters=call.trainable,
            buffers=call.buffers,
            elementwise=call.elementwise,
            output_bytes=call.output_bytes,
            saved_bytes=(call.saved or 0) if self.tree.saves else None,
            backward_macs=call.backward if self.gradients else None,
            recomputed_macs=call.recomputed if self.gradients else None,
            receptive_field=_receptive_field(call) if call.regions else None,
            dtype=call.dtype,
            call=call.number,
            calls=self._call_count(call),
            source=call.source,
            detail=call.detail,
            inputs=tuple([origin if origin < 0 else places[origin] for origin in origins]) if origins else (),
            axes=axes(call),
            window=module_window(module) if module is not None and not call.children else call.window,
            weights=_weights(module) if module is not None else call.weights,
            uncounted=call.lacking,
        )

    def _call_count(self, call: Call) -> int:
        while call.module is None and call.parent is not None:
            call = call.parent
        return len(self.tree.by_module.get(id(call.module), ()))


_new_layer = maker(Layer)


def _weights(module: nn.Module) -> tuple[Weight, ...]:
    held = module._parameters.items()
    return tuple(
        [
            Weight(name, shape_of(parameter))
            for name, parameter in held
            if parameter is not None and not isinstance(parameter, UninitializedParameter)
        ]
    )


def _receptive_field(call: Call) -> ReceptiveField | None:
    from archlab.tracing.receptive.regions import receptive_field

    return receptive_field(call.regions)


_CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Sequential)


def _sum_into(above: Call, call: Call) -> None:
    if call.parameters or call.buffers:  # which most rows haven't
        above.parameters += call.parameters
        above.trainable += call.trainable
        above.buffers += call.buffers
    above.macs += call.macs
    above.elementwise += call.elementwise
    above.lacking += call.lacking
    if call.backward or call.recomputed:
        above.backward += call.backward
        above.recomputed += call.recomputed
    if call.saved is not None:
        above.saved = (above.saved or 0) + call.saved


def _add(call: Call, state: State) -> None:
    if not state.is_parameter:
        call.buffers += state.size
        return
    call.parameters += state.size
    if state.tensor.requires_grad:
        call.trainable += state.size


def _packed(modules: ModuleTree) -> list[str]:
    """What the counts leave out: the packed weights of quantised layers."""
    packed = {}
    for key, module in modules.modules.items():
        if not type(module).__module__.startswith("torch.ao.nn."):
            continue
        weight: Any = getattr(module, "weight", None)
        bias: Any = getattr(module, "bias", None)
        if callable(weight):
            parts = (weight(), bias() if callable(bias) else None)
            packed[modules.paths[key]] = sum(part.numel() for part in parts if isinstance(part, Tensor))
    if not packed:
        return []
    count = sum(packed.values())
    return [f"{count:,} quantised weights are packed, and so are no parameters: those of {_some(list(packed))}."]


def _loose(strays: list[Stray]) -> list[str]:
    """Parameters outside the network: left out on purpose (a frozen network that judges), or forgotten in a list."""
    if not strays:
        return []
    takers = dict.fromkeys(state.taken_by.path for state in strays if state.taken_by is not None)
    count = sum(state.size for state in strays)
    by = f", used by {_some(list(takers))}," if takers else ""
    numbers = f"{count:,} {'number' if count == 1 else 'numbers'}"
    parameters = f"{len(strays):,} {'parameter' if len(strays) == 1 else 'parameters'}"
    note = (
        f"{numbers} in {parameters}{by} stand in no registered module (a plain list or dict holds it, say): they are "
        "in no total here, in no state_dict() and in no optimiser made from parameters(). nn.ModuleList and "
        "nn.ModuleDict register what they hold."
    )
    return [note]


def _unknown(states: list[State]) -> list[str]:
    """Parameters whose size nothing has settled: lazy ones in layers that never ran."""
    paths = [state.path for state in states if is_uninitialised(state)]
    if not paths:
        return []
    return [f"Not known, and so in no total, are the sizes of what nothing has initialised: {_some(paths)}."]


def _some(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (", ..." if len(paths) > 3 else "")
