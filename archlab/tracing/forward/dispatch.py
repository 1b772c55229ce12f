"""Hears every operation as torch dispatches it: counts what runs for a row, and gives a row to what has none.

A function that torch announces to Python is heard by `archlab.tracing.forward.listener`, and what it dispatches counts
in its row. A jitted function announces nothing:

    @torch.jit.script
    def gate(x, w):
        return torch.relu(x @ w)          # dispatches aten::mm and aten::relu, one after the other

Both become rows of their own, below the module that called the function. Operations that cost nothing, views among
them, have no row: their results carry on where their first argument came from.

A dispatch mode belongs to its thread. What another thread computes is heard by nobody, so that its results carry no
mark when they come back; `CallTree.found` names them as uncounted.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from itertools import compress
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archlab.networks.dispatching import DispatchMode
from archlab.networks.members import modules
from archlab.tracing.costs.registry import cost_of, operation_name
from archlab.tracing.forward.names import FACTORIES
from archlab.tracing.forward.placement import all_on_meta
from archlab.tracing.pytree import shape_of, tensors
from archlab.tracing.quick.dispatched import run

if TYPE_CHECKING:
    from archlab.tracing.forward.call_tree import CallTree


class Tally:
    """The cost of some operations, as it adds up."""

    __slots__ = ("elementwise", "macs", "unknown")

    def __init__(self) -> None:
        self.macs = 0
        self.elementwise = 0
        self.unknown: dict[str, None] = {}
        """Names of the operations without a formula."""

    def add(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
        """Count one operation."""
        cost = cost_of(func, args, kwargs, out)
        if cost is None:
            self.unknown[operation_name(func)] = None
        else:
            self.macs += cost.macs
            self.elementwise += cost.elementwise


class Dispatched(DispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every dispatched operation counts in the row that runs, or becomes a row."""

    def __init__(self, tree: CallTree) -> None:
        super().__init__()
        self.tree = tree

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and files what it takes."""
        kwargs = kwargs or {}
        tree = self.tree
        if tree.counting is not None:
            out = self._run(func, args, kwargs)
            tree.tally.add(func, args, kwargs, out)
        elif tree.is_quiet or tree.parent is None or torch._C._is_torch_function_all_disabled():
            out = self._run(func, args, kwargs)
        else:
            with torch._C.DisableTorchFunction():  # running it, and asking for its shapes, is to be announced to nobody
                out = self._run(func, args, kwargs)
                self._file(func, args, kwargs, out)
        if tree.saves and func in _NORMALISATIONS and not args[5]:
            tree.idle.update((tensor.untyped_storage()._cdata, tensor) for tensor in out[1:])
        made = operation_name(func).rpartition("::")[2] in FACTORIES  # from nothing that its arguments hold
        _carry_on([] if made else tensors((args, kwargs)), tensors(out), taken=tree.counting is not None)
        return out

    def _run(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the operation gives; tensors with values go to those without where it takes no such mixture."""
        try:
            return run(func, args, kwargs)
        except Exception:
            moved = None if self.tree.real else all_on_meta(args, kwargs)
            if moved is None:
                raise
            return func(*moved[0], **moved[1])

    def _file(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
        """Makes a row of an operation that no function announced, if it computes something of data."""
        tally = Tally()
        tally.add(func, args, kwargs, out)
        results = tensors(out)
        if not results or not (tally.macs or tally.elementwise or tally.unknown):
            return
        given = tensors((args, kwargs))
        marks = [self.tree.found(tensor) for tensor in given]
        states = [state for mark in marks if isinstance(mark, tuple) for state in mark]
        is_data = any(type(mark) is int for mark in marks) or any(state.is_parameter for state in states)
        if not (is_data or tally.macs or tally.unknown):
            return  # made of constants alone
        name = operation_name(func).rpartition("::")[2].strip("_")
        call = self.tree.operation_call(name, [shape_of(tensor) for tensor in given], marks)
        call.macs, call.elementwise, call.uncounted = tally.macs, tally.elementwise, tuple(tally.unknown)
        call.dispatched = tally.macs
        self.tree.add(call)
        for state in states:
            if state.taken_by is None:
                state.taken_by = call
        self.tree.leave(call, results[0] if len(results) == 1 else results, leaf=True)


_NORMALISATIONS = (torch.ops.aten.native_batch_norm.default, torch.ops.aten._native_batch_norm_legit.default)
"""What gives the batch's statistics too: empty ones where it takes the running ones (argument 5 is false); without
values, as many as in training."""


def _carry_on(given: list[Tensor], results: Iterable[Tensor], *, taken: bool) -> None:
    """Mark results that carry nothing yet with where the first argument that comes from data does.

    Where there is none they are views of parameters; or constants, if the parameters are `taken` by a row.
    """
    mark: Any = None
    for tensor in results:
        if getattr(tensor, "_archlab", ()) not in (None, ()):
            continue  # it is an argument, changed in place
        if mark is None:
            marks = [mark_of(argument) for argument in given]
            states = dict.fromkeys(state for item in marks if isinstance(item, tuple) for state in item)
            mark = next((item for item in marks if type(item) is int), () if taken else tuple(states))
        tensor._archlab = mark  # type: ignore[attr-defined]


def mark_of(tensor: Tensor) -> Any:
    """What a tensor carries, or what it wraps does (of `torch.vmap`, a tensor without the batch); None if nothing."""
    mark = getattr(tensor, "_archlab", None)
    while mark is None and torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
        mark = getattr(tensor, "_archlab", None)
    return mark


def held_tensors(network: nn.Module | None, *, everywhere: bool) -> dict[int, Tensor]:
    """By identity, the tensors that modules hold as plain attributes; `everywhere`, all that there are.

    Held themselves: the identity of one that is gone meanwhile would be given to a new one.
    """
    if everywhere:
        objects = gc.get_objects()  # half a million where libraries are loaded, of a few thousand classes
        kinds = {kind for kind in set(map(type, objects)) if issubclass(kind, Tensor)}
        return {id(item): item for item in compress(objects, map(kinds.__contains__, map(type, objects)))}
    held = modules(network) if network is not None else ()
    return {id(tensor): tensor for module in held for tensor in tensors(vars(module))}
