"""What is written down while a network runs: its calls as a tree, and where each tensor comes from.

How a tensor carries its origin: torch lets tensors have attributes, and each has `_archlab`. Of

    def forward(self, x):                 # x._archlab == -1: the network's first input; -2 would be the second
        y = self.conv(x)                  # y._archlab == 1: made by call 1 (call 0 is the network's own)
        z = y + x                         # call 2: its origins are (1, -1), which are its edges in the diagram
        return F.linear(z, self.w.t())    # self.w._archlab == (state,), and so has the view self.w.t()

the last call, 3, has the origin 2, and takes the parameter `w`, which thereby counts in its row. A constant has the
empty tuple. So a tensor without the attribute was made where nobody listened: by a jitted function, which announces
nothing to Python, or in another thread. Shape functions can't follow it: `UnheardError` has the network run again with
every operation heard as it is dispatched (`archlab.tracing.forward.dispatch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archlab.records import Shape, Weight, Window
from archlab.tracing.forward.constants import base_of
from archlab.tracing.forward.dispatch import Dispatched, Tally, held_tensors, mark_of
from archlab.tracing.pytree import dtype_name, nbytes, shape_of, tensors, version
from archlab.tracing.quick.shape_function import registered_module

if TYPE_CHECKING:
    from archlab.tracing.forward.attempt import Attempt
    from archlab.tracing.forward.gradients import Gradients
    from archlab.tracing.forward.module_tree import Stray
    from archlab.tracing.forward.repeated import Repeated, Signature
    from archlab.tracing.receptive.regions import Region


ELSEWHERE = "work in another thread"
"""What stands among the uncounted operations for a tensor that was made where nothing could listen."""


class UnheardError(Exception):
    """A tensor was made where shape functions hear nothing; the network is run as operations are dispatched."""


class Call:
    """A module call or an operation: a row while it is being measured.

    A network makes thousands: what most of them never set is a default of the class, and no attribute.
    """

    index = -1
    """Position in the order of execution; -1 for rows without a call, which are added afterwards."""
    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    output_bytes = 0
    dtype = ""
    macs = 0
    elementwise = 0
    uncounted: tuple[str, ...] | None = None
    """Operations inside without a formula; None if nothing inside was measured as part of this row."""
    lacking = 0
    """How many operations without a formula it and what is inside it have, once its network's rows are made."""
    origins: tuple[int, ...] = ()
    """Where its inputs come from: indices of calls, -1 - k for the network's k-th input."""
    detail = ""
    window: Window | None = None
    weights: tuple[Weight, ...] = ()
    """Parameters that an operation takes."""
    source = ""
    dispatched = 0
    """The part of `macs` that was dispatched: what a formula for the whole row says may be another."""
    backward = 0
    recomputed = 0
    saved: int | None = None
    regions: tuple[Region, ...] = ()
    """What the first result sees of the inputs, if that is followed."""
    version = 0
    """Version of the first tensor that the module was given: how often it had been changed in place."""
    suffixes: dict[str, int] | None = None
    """How often each operation's name was used for a child."""
    whole = False
    """Whether the module was measured as a whole, with all that it holds."""
    depth = 0
    parameters = 0
    own_parameters = 0
    trainable = 0
    buffers = 0

    def __init__(
        self, parent: Call | None, path: str, kind: str, module: nn.Module | None = None, number: int = 1
    ) -> None:
        self.parent = parent
        self.path = path
        self.kind = kind
        self.module = module
        """None for an operation."""
        self.number = number
        """Which of the module's calls this is, from 1; 0 for a module that is never called."""
        self.children: list[Call] = []


class CallTree:
    """The calls of one run, and how they are measured."""

    def __init__(
        self,
        *,
        quick: bool = False,
        real: bool = False,
        saves: bool = False,
        locate: Callable[[], str] | None = None,
    ) -> None:
        self.quick = quick and not real
        """Whether shape functions may stand for running."""
        self.real = real
        """Whether tensors have values."""
        self.saves = saves
        """Whether somebody files what autograd saves."""
        self.gradients: Gradients | None = None
        """Counts the backward pass; None if nobody asks."""
        self.locate = locate
        """Says where in the source an operation is called; None if nobody asks."""
        self.calls: list[Call] = []
        """In the order of execution, the network's own first."""
        self.by_module: dict[int, list[Call]] = {}
        """By the module's identity."""
        self.parent: Call | None = None
        """The module call that is running."""
        self.opened: Call | None = None
        """The network's own call, until its `forward` runs, if it was filed before."""
        self.counting: Call | None = None
        """The row whose operations are being dispatched."""
        self.tally = Tally()
        """What they take."""
        self.is_quiet = False
        """Whether a function is running that was heard, and has no row."""
        self.dispatched: Dispatched | None = None
        """Hears all that is dispatched; None while only what `count` runs is."""
        self.held: dict[int, Tensor] = {}
        """Tensors that were there before the run, by identity."""
        self.written: dict[int, tuple[Tensor, int]] = {}
        """Somebody else's tensors that calls wrote into, by identity, each with the last call: they can't be marked."""
        self.has_unheard = False
        """Whether a tensor was made where shape functions hear nothing."""
        self.idle: dict[int, Tensor] = {}
        """Results that hold nothing where there are values, by their storage's identity."""
        self.repeated: dict[Signature, Repeated] = {}
        """Calls that were measured, for those that are like them."""
        self.notes: dict[str, None] = {}
        self.strays: list[Stray] = []
        """Parameters that operations took and that no module had registered."""
        self.failed: Call | None = None
        """The innermost call that an exception left."""
        self.attempt: Attempt | None = None
        """What it was a call of, if that was one of torch's."""
        self._error: BaseException | None = None

    def release(self) -> None:
        """Let the calls go, once their rows are made: each holds its parent, which holds it, as only the garbage
        collector would find.
        """
        for call in self.calls:
            call.parent, call.children = None, []

    @property
    def is_quick(self) -> bool:
        """Whether shape functions may stand for running, here and now."""
        return self.quick and not is_under_vmap()

    def enter(self, call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """File a module call with what it was given."""
        if call.parent is None and self.dispatched is not None:
            self.held = held_tensors(call.module, everywhere=self.real)
        if len(args) == 1 and not kwargs and type(args[0]) is Tensor:
            tensor = args[0]
            call.inputs = (shape_of(tensor),)
            origin = getattr(tensor, "_archlab", None)
            if origin is None:
                origin = self.found(tensor)
            if type(origin) is int:
                call.origins = (origin,)
            call.version = version(tensor)
        else:
            given = tensors((args, kwargs))
            call.inputs = tuple([shape_of(tensor) for tensor in given])
            origins = [self.found(tensor) for tensor in given]
            call.origins = tuple(dict.fromkeys([origin for origin in origins if type(origin) is int]))
            if given:
                call.version = version(given[0])
        self.add(call)

    def add(self, call: Call) -> None:
        """File a call below its parent."""
        call.index = len(self.calls)
        self.calls.append(call)
        if call.parent is not None:
            call.parent.children.append(call)

    def replace(self, call: Call, out: Any) -> None:
        """File what a hook gives back in the place of a call's own result.

        What the hook computed has rows behind the call, and says itself where it comes from; a new tensor, made of
        nothing that was followed, is the call's.
        """
        origins = call.origins
        for tensor in tensors(out):
            if getattr(tensor, "_archlab", None) is None:
                tensor._archlab = call.index  # type: ignore[attr-defined]
        self.leave(call, out, leaf=False)
        call.origins = origins

    def leave(self, call: Call, out: Any, *, leaf: bool) -> None:
        """Complete a call with what it gave back; a leaf is where its results come from."""
        if self.gradients is not None:
            self.gradients.left(call)
        results = (out,) if type(out) is Tensor else tensors(out)
        call.outputs = tuple([shape_of(tensor) for tensor in results])
        if results:
            call.dtype = dtype_name(results[0])
            call.regions = getattr(results[0], "_archlab_regions", ())
            call.output_bytes = sum([nbytes(tensor) for tensor in results])
        if call.module is not None and not call.whole:
            for tensor in results:
                if getattr(tensor, "_archlab", None) is None:
                    self.found(tensor)
                    leaf = leaf and not call.children  # what it found is a row below
        if not leaf:
            call.origins = ()
            return
        for tensor in results:
            if not isinstance(mark := getattr(tensor, "_archlab", None), tuple) or not mark:
                tensor._archlab = call.index  # type: ignore[attr-defined]

    def overwrite(self, tensor: Tensor, call: Call) -> None:
        """File that a call has written into a tensor, which may be a view: from now on it holds the call's result.

        A parameter stays the parameter that it is.
        """
        for item in (tensor, base_of(tensor)):
            mark = mark_of(item)
            if not isinstance(mark, tuple) or not any(state.is_parameter for state in mark):
                item._archlab = call.index  # type: ignore[attr-defined]

    def count(self, call: Call, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function returns; its cost, as it is dispatched, goes to the call."""
        outer = self.counting, self.tally
        tally = Tally()
        self.counting, self.tally = call, tally
        try:
            if self.dispatched is not None:
                out = function(*args, **kwargs)
            else:
                with Dispatched(self):
                    out = function(*args, **kwargs)
        finally:
            self.counting, self.tally = outer
        call.macs = call.dispatched = tally.macs
        call.elementwise = tally.elementwise
        call.uncounted = tuple(tally.unknown)
        if call.module is not None and args and isinstance(args[0], Tensor) and args[0].is_complex():
            # Torch makes three real convolutions of a complex one, by Gauss's trick: counted as the product that it is.
            registration = registered_module(call.module)
            result = registration.module_result(call.module, args, kwargs) if registration is not None else None
            if result is not None:
                call.macs, call.elementwise = result[1:]
        return out

    def found(self, tensor: Tensor) -> Any:
        """Where a tensor comes from: its mark, or that of what it wraps.

        One without a mark, which wasn't there before the run, was made where nobody listened: it gets a row.

        Raises:
            UnheardError: the same, while shape functions stand for running; another run hears more.
        """
        mark = mark_of(tensor)
        if mark is None and id(tensor) in self.written:
            return self.written[id(tensor)][1]
        if mark is not None or not (tensor.is_meta or self.real) or isinstance(tensor, nn.Parameter):
            return mark
        if self.parent is None or id(tensor) in self.held:
            return None
        if self.dispatched is None:
            self.has_unheard = True
            raise UnheardError
        call = self.operation_call("unheard", (), ())
        call.uncounted = (ELSEWHERE,)
        self.add(call)
        self.leave(call, tensor, leaf=True)
        return call.index

    def operation_call(self, name: str, inputs: Iterable[Shape], marks: Iterable[Any]) -> Call:
        """A row for an operation below the call that runs, which is still to be filed."""
        assert self.parent is not None
        call = Call(self.parent, self.path_of(name), name, None, self.parent.number)
        call.inputs = tuple(inputs)
        call.origins = tuple(dict.fromkeys(mark for mark in marks if type(mark) is int))
        return call

    def path_of(self, name: str) -> str:
        """The dotted name of an operation below the call that runs, numbered from its second use there."""
        parent = self.parent
        assert parent is not None
        if parent.suffixes is None:
            parent.suffixes = {}
        taken = parent.module._modules if parent.module is not None else {}
        while True:
            count = parent.suffixes.get(name, 0)
            parent.suffixes[name] = count + 1
            unique = f"{name}_{count}" if count else name
            if unique not in taken:
                return f"{parent.path}.{unique}" if parent.path else unique

    def fail(self, call: Call, error: BaseException, attempt: Attempt | None = None) -> None:
        """Remember the innermost call that an exception leaves, and what it was a call of."""
        if self._error is not error:
            self.failed, self._error, self.attempt = call, error, attempt


def is_under_vmap() -> bool:
    """Whether shapes lack the batch, so that no formula of shapes holds."""
    return torch._C._functorch.maybe_current_level() is not None
