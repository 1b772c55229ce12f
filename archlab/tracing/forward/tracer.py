"""Runs a network once and writes down every module call and every operation."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from archlab.tracing.costs.registry import CostCounter
from archlab.tracing.forward import location
from archlab.tracing.forward.listener import DataDependentError, Listener
from archlab.tracing.forward.nodes import Node, Outline
from archlab.tracing.pytree import dtype_name, nbytes, shape_of, tensors, version
from archlab.tracing.quick.modules import BY_FORMULA, has_one_value, module_handler
from archlab.tracing.quick.results import MismatchError, attempt

without_functions = torch._C.DisableTorchFunction
"""No function mode hears what is called within: measuring is not to be measured."""


class Tracer:
    """One run of a network.

    Every module's `forward` is wrapped on the instance for the time of the run, which gives the tree of calls; a torch
    function mode hears every operation outside the modules that are measured as a whole. With `quick`, what has a
    formula for its result's shape isn't run at all; without, everything runs and is counted as it is dispatched.

    Each tensor carries in `_archlab` where it comes from: the index of a node, -1 - k for the network's k-th input, or
    a tuple of the states that it is a view of.
    """

    def __init__(
        self,
        outline: Outline,
        *,
        quick: bool,
        real: bool = False,
        locate: Callable[[], str] | None = None,
        saves: bool = False,
    ) -> None:
        self.outline = outline
        self.network = outline.network
        self.quick = quick and not real
        self.real = real
        """Whether tensors have values."""
        self.locate = locate
        """Says where in the source an operation is called; None if nobody asks."""
        self.saves = saves
        """Whether somebody files what autograd saves."""
        self.calls: dict[int, list[Node]] = {}
        """Nodes of each module, by its identity."""
        self.nodes: list[Node] = []
        self.parent: Node | None = None
        """The module call that is running."""
        self.running: Node | None = None
        """The row whose operations are being dispatched."""
        self.counted = 0
        self.unknown: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self.failed: tuple[Node, BaseException] | None = None
        """The innermost node that an exception left, and the exception."""

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Calls the network under observation.

        Raises:
            DataDependentError: it asks for values, and there are none.
            Exception: whatever the network raises; `failed` then says where.
        """
        for position, tensor in enumerate(tensors((args, kwargs))):
            tensor._archlab = -1 - position  # type: ignore[attr-defined]
        with self._wrapped(), Listener(self):
            try:
                self.network(*args, **kwargs)
                self.failed = None  # what failed on the way, the network has caught
            except Exception as error:
                if not self.real and _needs_values(error):
                    where = self.failed[0].path if self.failed else ""
                    raise DataDependentError(f"{where or 'the network'} asks for values ({_summary(error)})") from error
                raise

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        changed: list[tuple[dict[str, Any], Any]] = []
        inside: set[int] = set()
        try:
            for module in self.outline.modules.values():
                if id(module) in inside:
                    continue
                own = module.__dict__
                before = own.get("forward", _MISSING)
                if isinstance(module, torch.jit.ScriptModule):
                    inside.update(id(child) for child in module.modules())
                    original = self._copied(module)
                else:
                    original = module.forward
                is_usual = before is _MISSING or isinstance(module, torch.jit.ScriptModule)
                calls = self.calls[id(module)] = []
                place = (module, self.outline.paths[id(module)], calls)
                own["forward"] = partial(self._module, place, original, is_usual)
                changed.append((own, before))
                if isinstance(module, LazyModuleMixin) and hasattr(module, "_initialize_hook"):
                    hooks = module._forward_pre_hooks
                    hooks[module._initialize_hook.id] = partial(_unheard, hooks[module._initialize_hook.id])
            yield
        finally:
            for own, before in changed:
                if before is _MISSING:
                    own.pop("forward", None)
                else:
                    own["forward"] = before

    def _copied(self, module: torch.jit.ScriptModule) -> Callable[..., Any]:
        """The forward of a copy of a jitted module, whose parameters no twin can stand in for."""
        if not self.real:
            name = self.outline.paths[id(module)]
            raise DataDependentError(f"{name or 'it'} is jitted, and runs on its own parameters")
        forward: Callable[..., Any] = copy.deepcopy(module).forward
        return forward

    def _module(
        self,
        place: tuple[nn.Module, str, list[Node]],
        original: Callable[..., Any],
        is_usual: bool,
        /,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Stands in for `module.forward`, which is its class's if `is_usual`."""
        module, path, calls = place
        parent = self.parent
        node = Node(-1, parent, path, type(module).__name__, module, len(calls) + 1)
        if self.locate is not None:
            node.source = location.of_class(type(module))
        with without_functions():
            self.enter(node, args, kwargs)
            calls.append(node)
            measure = module_handler(module) if is_usual else None
            if measure is not None:
                refused = module.training and has_one_value(module, args)
                if refused:
                    self.notes[_ONE_VALUE.format(path or node.kind)] = None
                if refused or (self.quick and shapes_tell()):
                    try:
                        result = attempt(measure, (module, *args), kwargs)
                    except MismatchError as error:
                        self.fail(node, error)
                        raise
                    if result is not None:
                        out, node.macs, node.elementwise = result
                        self.counted += 1
                        node.whole = True
                        self.leave(node, out, leaf=True)
                        return out
        self.parent = node
        try:
            if is_usual and is_atomic(module):
                node.whole = True
                with without_functions():
                    out = self.count(node, original, args, kwargs)
                    if measure is not None and type(module) in BY_FORMULA and shapes_tell():
                        known = attempt(measure, (module, *args), kwargs)
                        node.macs, node.elementwise = known[1:] if known is not None else (node.macs, node.elementwise)
            else:
                out = original(*args, **kwargs)
            with without_functions():
                out = self._returned(node, out, args, kwargs)
        except Exception as error:
            self.fail(node, error)
            raise
        finally:
            self.parent = parent
        return out

    def _returned(self, node: Node, out: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a module that ran gives back, filed as the result of its row if it has none below."""
        if node.children:
            self.leave(node, out, leaf=False)
            return out
        given = tensors((args, kwargs))
        if type(out) is Tensor and any(out is tensor for tensor in given) and version(out) == node.version:
            out = out.view_as(out)  # passed on as it is: an edge of its own, for those who take it from here
        self.leave(node, out, leaf=True)
        return out

    # What module calls and operations have in common

    def is_quick(self) -> bool:
        """Whether formulas may stand for results."""
        return self.quick and shapes_tell()

    def enter(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Files a module call with what it was given."""
        if len(args) == 1 and not kwargs and type(args[0]) is Tensor:
            tensor = args[0]
            node.inputs = (shape_of(tensor),)
            origin = getattr(tensor, "_archlab", None)
            if type(origin) is int:
                node.origins = (origin,)
            node.version = version(tensor)
        else:
            given = tensors((args, kwargs))
            node.inputs = tuple([shape_of(tensor) for tensor in given])
            origins = [getattr(tensor, "_archlab", None) for tensor in given]
            node.origins = tuple(dict.fromkeys([origin for origin in origins if type(origin) is int]))
            if given:
                node.version = version(given[0])
        self.add(node)

    def add(self, node: Node) -> None:
        """Files a node below its parent."""
        node.index = len(self.nodes)
        self.nodes.append(node)
        if node.parent is not None:
            node.parent.children.append(node)

    def leave(self, node: Node, out: Any, *, leaf: bool) -> None:
        """Completes a node with what it gave back; a leaf is where its results come from."""
        results = (out,) if type(out) is Tensor else tensors(out)
        node.outputs = tuple([shape_of(tensor) for tensor in results])
        if results:
            node.dtype = dtype_name(results[0])
            node.seen = getattr(results[0], "_archlab_seen", ())
            node.output_bytes = sum([nbytes(tensor) for tensor in results])
        if not leaf:
            node.origins = ()
            return
        for tensor in results:
            if type(getattr(tensor, "_archlab", None)) is not tuple:
                tensor._archlab = node.index  # type: ignore[attr-defined]

    def count(self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a function returns; its cost, as it is dispatched, goes to the node."""
        outer, self.running = self.running, node
        try:
            with CostCounter() as counter:
                out = function(*args, **kwargs)
        finally:
            self.running = outer
        node.macs = counter.macs
        node.elementwise = counter.elementwise
        if counter.unknown:
            for name in counter.unknown:
                self.unknown[name] = self.unknown.get(name, 0) + 1
        else:
            self.counted += 1
        return out

    def fail(self, node: Node, error: BaseException) -> None:
        """Remembers the innermost node that an exception leaves."""
        if self.failed is None or self.failed[1] is not error:
            self.failed = (node, error)


def shapes_tell() -> bool:
    """Whether shapes tell everything: not under `vmap`, where they lack the batch."""
    return torch._C._functorch.maybe_current_level() is None


def is_atomic(module: nn.Module) -> bool:
    """Whether a module is one row without operations below: torch's own layers, and jitted ones."""
    if isinstance(module, torch.jit.ScriptModule):
        return True
    home = str(type(module).forward.__module__)
    return home.startswith("torch.ao.nn.") or (not module._modules and home.startswith("torch.nn.modules."))


def _unheard(hook: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Runs a hook that gives a lazy module its parameters: part of its making, and no operation."""
    with without_functions():
        return hook(*args, **kwargs)


_MISSING = object()
_ONE_VALUE = (
    "{} has one value a channel at this batch: training would fail there (take a larger batch); counted as if it ran."
)
_NO_VALUES = re.compile(
    r"meta tensor|on device meta|device=meta|'?Meta'? (backend|tensors)|data-dependent|no data|is on meta"
    r"|storage_device",
    re.I,
)


def _needs_values(error: BaseException) -> bool:
    return isinstance(error, NotImplementedError) or bool(_NO_VALUES.search(str(error)))


def _summary(error: BaseException) -> str:
    line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return line if len(line) <= 120 else f"{line[:117]}..."
