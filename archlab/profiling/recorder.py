"""Notes when a network's modules and operations begin and end, in one pass.

Each module's `forward` is wrapped on the instance for the time of the pass, and a torch function mode hears the
operations between the modules. Whenever one begins or ends, a mark is made, so that the marks cut the pass into
segments, and each segment belongs to what is running then. Of

    def forward(self, x):
        y = self.conv(x)          # network | conv | network | relu | network
        return F.relu(y)          #  mark 0-1  1-2    2-3      3-4    4-5

the segment 1-2 is the convolution's, 3-4 the operation's, and the three others are the network's own: Python, and what
has no row. No time is lost or counted twice. What a segment cost to measure is taken off by whoever sums them
(`archlab.profiling.cost`).

Hooks of torch's are not used: a module that has any is run another way (its `__call__` is slower, and
`TransformerEncoderLayer` leaves its fast path). For the same reason the mode is off inside torch's own modules, where
`MultiheadAttention` asks whether somebody listens.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.autograd import _get_sequence_nr  # type: ignore[attr-defined]
from torch.overrides import TorchFunctionMode, _get_current_function_mode, _pop_mode, _push_mode

from archlab.networks.members import modules, named_modules
from archlab.profiling.clock import Clock, Lead
from archlab.profiling.traffic import traffic
from archlab.records import Shape
from archlab.tracing.forward.operations import Role, operation
from archlab.tracing.forward.tracer import is_atomic
from archlab.tracing.pytree import shape_of, tensors, version

MarkKind = Literal["end", "module", "operation"]


@dataclass(frozen=True, slots=True)
class Span:
    """A call of a module or an operation in a pass."""

    parent: int
    """The span that it lies in; -1 for the network's own."""
    name: str
    """A module's path, or an operation's name."""
    call: int
    """Which of the module's calls it is, from 1; 0 for an operation."""


@dataclass(slots=True)
class Pass:
    """One pass, as it was noted."""

    spans: list[Span] = field(default_factory=list)
    """The network's own call first."""
    marks: list[Any] = field(default_factory=list)
    kinds: list[MarkKind] = field(default_factory=list)
    """What each mark was made for."""
    owners: list[int] = field(default_factory=list)
    """The span that runs from each mark to the next."""
    numbers: list[int] = field(default_factory=list)
    """At each mark, the number that autograd will give to the next node that it makes."""
    shapes: dict[int, tuple[Shape, ...]] = field(default_factory=dict)
    """Of a span's results, where they were asked for."""
    bytes: dict[int, int] = field(default_factory=dict)
    """What a span has to move at least, where it was asked for."""


class Recorder:
    """Runs a network with everything noted that begins and ends in it."""

    def __init__(self, network: nn.Module, clock: Clock, lead: Lead | None = None) -> None:
        self.network = network
        self.clock = clock
        self._lead = lead or Lead(clock)
        self.current = Pass()
        self._stack: list[int] = []
        self._calls: dict[int, int] = {}
        self._describes = False
        self._thread = 0
        self._mode = _Operations(self)
        self._copies: dict[int, nn.Module] = {}

    def record(self, run: Callable[[], Any], *, describe: bool = False) -> tuple[Pass, Any]:
        """The pass that `run` makes, and what it returns.

        Args:
            run: calls the network.
            describe: note shapes and bytes too, which takes time that is in the marks then.
        """
        noted = self.current = Pass()
        self._stack, self._calls, self._describes = [], {}, describe
        self._thread = threading.get_ident()
        with self._wrapped():
            with self._lead, self._mode:
                noted.spans.append(Span(-1, "", 1))
                self._stack.append(0)
                self._note("end")
                out = run()
                self._note("end")
            self._thread = 0
        return noted, out

    def begin(self, span: Span, kind: MarkKind) -> int:
        """Note that something begins; returns its place among the spans."""
        place = len(self.current.spans)
        self.current.spans.append(span)
        self._stack.append(place)
        self._note(kind)
        return place

    def end(self, kind: MarkKind) -> None:
        """Note that the innermost thing ends."""
        self._stack.pop()
        self._note(kind)

    def _note(self, kind: MarkKind) -> None:
        noted = self.current
        noted.owners.append(self._stack[-1])
        noted.kinds.append(kind)
        noted.numbers.append(_get_sequence_nr())
        noted.marks.append(self.clock.mark())

    @property
    def parent(self) -> int:
        """The span that runs."""
        return self._stack[-1]

    @property
    def is_here(self) -> bool:
        """Whether the pass runs, in the thread that it began in."""
        return threading.get_ident() == self._thread

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        changed: list[tuple[dict[str, Any], Any]] = []
        inside: set[int] = set()
        try:
            for path, module in named_modules(self.network):
                if id(module) in inside:
                    continue
                own = module.__dict__
                before = own.get("forward", _MISSING)
                if isinstance(module, torch.jit.ScriptModule):
                    inside.update(id(child) for child in modules(module))
                    original = self._scripted(module)
                else:
                    original = module.forward
                own["forward"] = partial(self._module, module, path, original, is_opaque(module))
                changed.append((own, before))
            yield
        finally:
            for own, before in changed:
                if before is _MISSING:
                    own.pop("forward", None)
                else:
                    own["forward"] = before

    def _scripted(self, module: nn.Module) -> Any:
        """A jitted module's `forward`, of a copy: nothing can stand in for its parameters."""
        if id(module) not in self._copies:
            self._copies[id(module)] = copy.deepcopy(module)
        return self._copies[id(module)].forward

    def _module(self, module: nn.Module, path: str, original: Any, opaque: bool, /, *args: Any, **kwargs: Any) -> Any:
        """Stands in for `module.forward`."""
        if not self.is_here:
            return original(*args, **kwargs)
        number = self._calls[id(module)] = self._calls.get(id(module), 0) + 1
        versions = self._versions(args, kwargs)
        place = self.begin(Span(self.parent, path, number), "module")
        mode = None
        if opaque and _get_current_function_mode() is self._mode:  # type: ignore[no-untyped-call]
            mode = _pop_mode()  # type: ignore[no-untyped-call]
        try:
            out = original(*args, **kwargs)
        finally:
            if mode is not None:
                _push_mode(mode)  # type: ignore[no-untyped-call]
            self.end("module")
        if self._describes:
            self.describe(place, (args, kwargs), out, versions, module)
        return out

    def _versions(self, args: Any, kwargs: Any) -> list[int]:
        return [version(tensor) for tensor in tensors((args, kwargs))] if self._describes else []

    def operation(self, name: str, function: Any, args: Any, kwargs: Any) -> Any:
        """What an operation returns, noted."""
        versions = self._versions(args, kwargs)
        place = self.begin(Span(self.parent, name, 0), "operation")
        try:
            out = function(*args, **kwargs)
        finally:
            self.end("operation")
        if self._describes:
            self.describe(place, (args, kwargs), args[0] if name == "setitem" else out, versions, None)
        return out

    def describe(self, place: int, given: Any, out: Any, versions: list[int], module: nn.Module | None) -> None:
        """Note the shapes that a span gives, and the bytes that it has to move."""
        name = self.current.spans[place].name
        results = tensors(out)
        self.current.shapes[place] = tuple(shape_of(tensor) for tensor in results)
        self.current.bytes[place] = traffic(tensors(given), versions, results, module, name)


class _Operations(TorchFunctionMode):
    """Hears the functions that are called outside torch's own modules."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = operation(func)
        if known.role in (Role.QUERY, Role.READ, Role.FACTORY) or not self.recorder.is_here:
            return func(*args, **(kwargs or {}))
        return self.recorder.operation(known.name, func, args, kwargs or {})


def is_opaque(module: nn.Module) -> bool:
    """Whether a module's own operations are not noted: torch's layers, its attention and transformers; not `Sequential`
    and other containers of somebody's modules."""
    home = str(type(module).forward.__module__)
    return is_atomic(module) or (home.startswith("torch.nn.modules.") and home != "torch.nn.modules.container")


def is_same(first: Pass, second: Pass) -> bool:
    """Whether two passes called the same, in the same order."""
    return first.spans == second.spans


_MISSING = object()
