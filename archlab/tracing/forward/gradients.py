"""The MACs of the backward pass, in the rows of the forward pass.

Counting semantics
------------------
The network's results are taken for a loss: behind a forward pass that autograd follows, a backward pass runs from all
of them, on tensors without values, and every operation that it dispatches is counted by the same formulas as the
forward pass, and those of `archlab.tracing.costs.backward`. So what nothing needs is left out, as in training: the
gradient of the network's own inputs, that of a constant first state of a recurrent layer, frozen parameters, and all
that lies before the first trainable one. A loss, an optimiser and what is elementwise have no MACs here.

Attention counts as a fused kernel computes it, the scores a second time, wherever one can stand in (the condition is
that of the column `saved`): five products for the forward pass's two. What a checkpoint runs again in the backward pass
is counted apart, as `recomputed`; torch stops as soon as all is there that the backward pass needs, so that the last
product of a checkpointed block may not run a second time.

How an operation finds its row: autograd numbers the nodes of its graph as the forward pass makes them. Of

    y = self.fc1(x)       # makes node 7; the row fc1 is left when the next number is 8
    z = self.fc2(y)       # makes nodes 8 and 9; the row fc2 is left at 10

a product that node 8 dispatches belongs to fc2, the first row that was left behind it. What a checkpoint runs again is
the same sequence of products as before, so that it fills the checkpoint's rows one after the other.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import _engine_run_backward

from archlab.errors import ForwardError
from archlab.networks.dispatching import DispatchMode
from archlab.networks.members import parameters
from archlab.tracing.costs.backward import gradient_macs
from archlab.tracing.costs.registry import operation_name
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.forward.listener import DataDependentError, Listener
from archlab.tracing.forward.location import first_line
from archlab.tracing.forward.module_tree import ModuleTree
from archlab.tracing.pytree import tensors

NO_BACKWARD_PASS = "No result depends on a trainable parameter: there is no backward pass, and its MACs are 0."
_next_number: Callable[[], int] = torch.autograd._get_sequence_nr  # type: ignore[attr-defined]
"""The number that autograd gives to the next node of its graph."""
_OUTER_PRODUCTS = frozenset(["dot", "einsum", "inner", "matmul", "mv", "addmv", "vdot"])
"""Products whose gradient may be one with an inner axis of size 1, which torch runs as a plain `mul`."""


class Gradients:
    """Follows the forward pass that runs in this context, and counts the backward pass behind it."""

    def __init__(self, tree: CallTree, modules: ModuleTree) -> None:
        tree.gradients = self
        self.tree = tree
        self.modules = modules
        self.has_run = False
        self.uncounted: Counter[str] = Counter()
        """Operations of the backward pass without a formula, and how often they ran."""
        self._ends: list[int] = []
        """The number of autograd's next node when a row was left, for each of `_rows`."""
        self._rows: list[Call] = []
        self._frames: dict[int, tuple[FrameType, list[Call]]] = {}
        """Calls of `checkpoint` and the rows in each, by the frame's identity; the frame is held, so that none is
        used twice."""
        self._regions: dict[Call, list[list[Call]]] = {}
        """The checkpoints that a row lies in, the outermost first."""
        self._again = _Again(self._regions)
        self._switched = ExitStack()

    def __enter__(self) -> Gradients:
        """On a CPU a whole recurrent layer is one operation, and so is its gradient, needed or not: then without."""
        if self.tree.real:
            self._switched.callback(torch._C._set_mkldnn_enabled, torch._C._get_mkldnn_enabled())
            torch._C._set_mkldnn_enabled(False)
        return self

    def __exit__(self, *args: object) -> None:
        """Leaves torch's switches as they were."""
        self._switched.close()

    def left(self, call: Call) -> None:
        """Note that a row is complete: autograd's nodes since the last one are its own."""
        row = call if not call.children or not self._rows else self._rows[-1]
        self._ends.append(_next_number())
        self._rows.append(row)
        if row is call:
            frames = _calls([*_checkpoints()])
            if frames:
                held = [self._frames.setdefault(id(frame), (frame, []))[1] for frame in reversed(frames)]
                for rows in held:
                    rows.append(row)
                self._regions[row] = held

    def run(self, out: object) -> None:
        """Run the backward pass from what the network gave back.

        Raises:
            DataDependentError: it fails on tensors without values.
            ForwardError: it fails on tensors with values.
        """
        tree = self.tree
        self.has_run = True
        self._frames.clear()
        results = tuple({id(tensor): tensor for tensor in tensors(out) if tensor.requires_grad}.values())
        if not results:
            tree.notes[NO_BACKWARD_PASS] = None
            return
        # A checkpoint's function runs here again: what moved its constants in the forward pass listens, to a tree of
        # its own.
        aside = CallTree(real=tree.real, saves=tree.saves)
        aside.gradients, aside.is_quiet = self, True
        aside.parent = Call(None, "", "")
        starts = tuple(torch.ones_like(result) for result in results)
        strays = [state.original for state in tree.strays]
        takers = [(state, state.taken_by) for state in (*self.modules.states, *tree.strays)]
        try:
            with (
                _left_without_gradients([*parameters(self.modules.network), *strays, *_leaves(results)]),
                Listener(aside),
                _Counted(self),
            ):
                # `torch.autograd.backward` announces itself, and would have the listener off for all that it runs.
                _engine_run_backward(results, starts, False, False, (), allow_unreachable=True, accumulate_grad=True)
        except Exception as error:
            line = first_line(error).rstrip(".")
            if not tree.real:  # whether it is for want of values, a run with values shows
                raise DataDependentError(f"its backward pass fails without values ({line})") from error
            raise ForwardError(
                f"the forward pass runs, and the backward pass fails: {line}. Training would fail there; without the "
                "columns backward and recomputed the network can be traced"
            ) from error
        finally:
            for state, taker in takers:
                state.taken_by = taker
            for met in aside.strays:
                met.original.__dict__.pop("_archlab", None)

    def count(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> None:
        """Count an operation of the backward pass in its row."""
        macs = gradient_macs(func, args, kwargs, out)
        node = torch._C._current_autograd_node()
        row = self._row_of(node)
        if macs == 0 and _is_outer_product(row, node, func, args):
            macs = sum(tensor.numel() for tensor in tensors(out))
        if macs is None:
            self.uncounted[operation_name(func)] += 1
        elif macs == 0:
            return
        elif torch.is_grad_enabled() or next(_checkpoints(), None) is not None:
            row = self._again.row(node, row, macs)
            row.recomputed += _as_counted(row, macs)
            self._ends.append(_next_number())
            self._rows.append(row)
        else:
            self._again.node = None
            row.backward += _as_counted(row, macs)

    def _row_of(self, node: Any) -> Call:
        """The row in which the forward pass made a node of autograd's graph.

        That of a `torch.autograd.Function` is made before its `forward` runs, in which nothing makes a node: of the
        rows there it is the first with MACs.
        """
        ends, rows = self._ends, self._rows
        place = bisect_right(ends, node._sequence_nr()) if node is not None else len(ends)
        if place == len(ends):
            return rows[-1]
        if isinstance(node, BackwardCFunction):
            inside = rows[place : bisect_right(ends, ends[place])]
            return next((row for row in inside if row.macs), inside[0])
        return rows[place]


class _Again:
    """Where in the rows of a checkpoint its second forward pass is."""

    def __init__(self, regions: dict[Call, list[list[Call]]]) -> None:
        self.regions = regions
        self.node: int | None = None
        """The number of autograd's node that asked for it; None while nothing runs again."""
        self.rows: list[Call] = []
        self.place = 0
        self.filled = 0
        """MACs of the row at that place that have run again."""
        self.done: set[int] = set()

    def row(self, node: Any, asking: Call, macs: int) -> Call:
        """The row of a product that runs again; that of the node which asked for it, if no checkpoint is known."""
        number = -1 if node is None else node._sequence_nr()
        if number != self.node:
            self.node = number
            self._begin(asking)
        while not self._fits(macs):
            if self.place == len(self.rows):
                if not self._begin(asking):
                    return asking
                continue
            skipped = self.rows[self.place]
            skipped.recomputed += 0 if skipped.dispatched else skipped.macs
            self.place, self.filled = self.place + 1, 0
        self.filled += macs
        return self.rows[self.place]

    def _fits(self, macs: int) -> bool:
        return self.place < len(self.rows) and self.filled + macs <= self.rows[self.place].dispatched

    def _begin(self, asking: Call) -> bool:
        """Goes to the outermost checkpoint of a row that hasn't run again; False where each has."""
        regions = self.regions.get(asking, [])
        new = next((rows for rows in regions if id(rows) not in self.done), None)
        self.rows, self.place, self.filled = new or [], 0, 0
        if new is not None:
            self.done.add(id(new))
        return new is not None


class _Counted(DispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every dispatched operation counts for the backward pass."""

    def __init__(self, gradients: Gradients) -> None:
        super().__init__()
        self.gradients = gradients

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and counts it."""
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():  # what runs it is Python in part, and to be announced to nobody
            out = func(*args, **kwargs)
            self.gradients.count(func, args, kwargs, out)
        return out


def _is_outer_product(row: Call, node: Any, func: Any, args: tuple[Any, ...]) -> bool:
    """Whether a `mul` is a product's gradient: of `mv(w, x)`, the outer product of the gradient and x."""
    return (
        row.module is None
        and row.kind in _OUTER_PRODUCTS
        and operation_name(func) == "aten::mul"
        and node is not None
        and not isinstance(node, BackwardCFunction)
        and all(isinstance(item, Tensor) for item in args[:2])
    )


def _as_counted(row: Call, macs: int) -> int:
    """MACs of a row's operation as the row counts: a complex convolution is 4 real ones, of which torch makes 3."""
    if row.dispatched and row.macs != row.dispatched and row.dtype.startswith("complex"):
        return round(macs * Fraction(row.macs, row.dispatched))
    return macs


def _calls(frames: list[FrameType]) -> list[FrameType]:
    """Of the frames of `torch.utils.checkpoint`, one for each checkpoint."""
    inner = [frame for frame in frames if frame.f_code.co_name == "_checkpoint_impl"]  # what `checkpoint` hands on to
    return inner or [frame for frame in frames if frame.f_code.co_name == "checkpoint"]


def _checkpoints() -> Iterator[FrameType]:
    """The functions of `torch.utils.checkpoint` that are running, the innermost first, up to a backward pass."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if name == "torch.autograd.graph":
            return
        if name == "torch.utils.checkpoint":
            yield frame
        frame = frame.f_back


def _leaves(results: Iterable[Tensor]) -> Iterator[Tensor]:
    """The tensors that a backward pass gives gradients to."""
    waiting = [result.grad_fn for result in results if result.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if isinstance(variable := getattr(node, "variable", None), Tensor):
            yield variable
        for after, _ in node.next_functions:
            if after is not None and after not in seen:
                seen.add(after)
                waiting.append(after)


@contextmanager
def _left_without_gradients(leaves: Iterable[Tensor]) -> Iterator[None]:
    """A context before which tensors lose their gradients, and after which each has the one that it had."""
    kept = [(leaf, leaf.grad) for leaf in {id(leaf): leaf for leaf in leaves if leaf.is_leaf}.values()]
    for leaf, _ in kept:
        leaf.grad = None
    try:
        yield
    finally:
        for leaf, gradient in kept:
            leaf.grad = gradient
