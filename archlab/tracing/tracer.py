"""Runs a network once and writes down every module call and every operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archlab.tracing.costs import CostCounter
from archlab.tracing.leaves import convert, dtype_name, nbytes, shape_of, tensors
from archlab.tracing.nodes import Node, State
from archlab.tracing.operations import Operation, Role, detail, opened, operation
from archlab.tracing.quick import attempt
from archlab.tracing.quick_functions import function_result
from archlab.tracing.quick_modules import module_handler

without_functions = torch._C.DisableTorchFunction
"""No function mode hears what is called within: measuring is not to be measured."""


class DataDependentError(Exception):
    """The network asks for the values of a tensor that has none."""


class Tracer:
    """One run of a network.

    Every module's `forward` is wrapped on the instance for the time of the run, which gives the tree of calls; a torch
    function mode hears every operation outside the modules that are measured as a whole. With `quick`, what has a
    formula for its result's shape isn't run at all; without, everything runs and is counted as it is dispatched.

    Each tensor carries in `_archlab` where it comes from: the index of a node, -1 - k for the network's k-th input, or
    the states that it is a view of.
    """

    def __init__(self, network: nn.Module, *, quick: bool, real: bool = False) -> None:
        self.network = network
        self.quick = quick and not real
        self.real = real
        """Whether tensors have values."""
        self.paths = {id(module): name for name, module in network.named_modules()}
        self.calls: dict[int, list[Node]] = {}
        """Nodes of each module, by its identity."""
        self.nodes: list[Node] = []
        self.parent: Node | None = None
        self.counted = 0
        self.unknown: dict[str, int] = {}
        self.failed: tuple[Node, BaseException] | None = None
        """The innermost node that an exception left, and the exception."""
        self.arguments: tuple[Any, Any] = ((), {})
        """What the failed node was given."""

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Calls the network under observation.

        Raises:
            DataDependentError: it asks for values, and there are none.
            Exception: whatever the network raises; `failed` then says where.
        """
        for position, tensor in enumerate(tensors((args, kwargs))):
            tensor._archlab = -1 - position  # type: ignore[attr-defined]
        with self._wrapped(), _Functions(self):
            self.network(*args, **kwargs)

    @contextmanager
    def _wrapped(self) -> Iterator[None]:
        changed: list[tuple[dict[str, Any], Any]] = []
        try:
            for module in self.network.modules():
                if isinstance(module, torch.jit.ScriptModule) and module is not self.network:
                    continue
                own = module.__dict__
                before = own.get("forward", _MISSING)
                original = before if before is not _MISSING else partial(type(module).forward, module)
                own["forward"] = partial(self._module, module, original)
                changed.append((own, before))
            yield
        finally:
            for own, before in changed:
                if before is _MISSING:
                    own.pop("forward", None)
                else:
                    own["forward"] = before

    # Modules

    def _module(self, module: nn.Module, original: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Stands in for `module.forward`."""
        calls = self.calls.setdefault(id(module), [])
        parent = self.parent
        node = Node(
            len(self.nodes), parent, self.paths.get(id(module), ""), type(module).__name__, module, len(calls) + 1
        )
        with without_functions():
            self._enter(node, args, kwargs)
            calls.append(node)
            measure = module_handler(module) if self.quick else None
            if measure is not None:
                result = attempt(measure, (module, *args), kwargs)
                if result is not None:
                    out, node.macs, node.elementwise = result
                    self.counted += 1
                    node.whole = True
                    self._leave(node, out, leaf=True)
                    return out
        self.parent = node
        try:
            if is_atomic(module):
                node.whole = True
                with without_functions():
                    out = self._count(node, original, args, kwargs)
                    self._leave(node, out, leaf=True)
            else:
                out = original(*args, **kwargs)
                with without_functions():
                    self._leave(node, out, leaf=not node.children)
        except BaseException as error:
            self._fail(node, error, args, kwargs)
            raise
        finally:
            self.parent = parent
        return out

    def _enter(self, node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args if len(args) == 1 and type(args[0]) is Tensor and not kwargs else tensors((args, kwargs))
        node.inputs = tuple([shape_of(tensor) for tensor in given])
        origins = [getattr(tensor, "_archlab", None) for tensor in given]
        node.origins = tuple(dict.fromkeys([origin for origin in origins if type(origin) is int]))
        self.nodes.append(node)
        if node.parent is not None:
            node.parent.children.append(node)

    def _leave(self, node: Node, out: Any, *, leaf: bool) -> None:
        results = (out,) if type(out) is Tensor else tensors(out)
        node.outputs = tuple([shape_of(tensor) for tensor in results])
        if results:
            node.dtype = dtype_name(results[0])
            node.output_bytes = sum([nbytes(tensor) for tensor in results])
        if leaf:
            for tensor in results:
                if type(getattr(tensor, "_archlab", None)) is not tuple:
                    tensor._archlab = node.index  # type: ignore[attr-defined]
        else:
            node.origins = ()

    def _count(self, node: Node, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        with CostCounter() as counter:
            out = function(*args, **kwargs)
        node.macs = counter.macs
        node.elementwise = counter.elementwise
        if counter.unknown:
            node.unknown = frozenset(counter.unknown)
            for name in counter.unknown:
                self.unknown[name] = self.unknown.get(name, 0) + 1
        else:
            self.counted += 1
        return out

    def _fail(self, node: Node, error: BaseException, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.failed is None or self.failed[1] is not error:
            self.failed = (node, error)
            self.arguments = (args, kwargs)

    # Operations

    def function(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Stands in for one of torch's functions, with the mode off."""
        known = operation(function)
        role = known.role
        if role is Role.QUERY or self.parent is None:
            return function(*args, **kwargs)
        if role is Role.COMPOSITE:
            with _Functions(self):
                return opened(function)(*args, **kwargs)
        given = tensors((args, kwargs))
        origins: dict[int, None] = {}
        states: dict[State, None] = {}
        for tensor in given:
            origin = getattr(tensor, "_archlab", None)
            if type(origin) is int:
                origins[origin] = None
            elif origin is not None:
                states.update(dict.fromkeys(origin))
        if not self.real:
            if role is Role.READ:
                return self._read(function, args, kwargs, given)
            if role is Role.CONVERSION:
                return self._convert(function, known, args, kwargs, origins, states)
            if any(tensor.device.type == "meta" for tensor in given):
                args, kwargs = convert((args, kwargs), _to_meta) if _is_mixed(given) else (args, kwargs)
        if role is Role.READ:
            return function(*args, **kwargs)
        return self._operation(known, function, args, kwargs, origins, states, given)

    def _operation(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        origins: dict[int, None],
        states: dict[State, None],
        given: list[Tensor],
    ) -> Any:
        name, role = known.name, known.role
        constant = not origins and (not states or not any(state.is_parameter for state in states))
        if (constant and role is not Role.PRODUCT) or (not origins and role is Role.VIEW):
            out = function(*args, **kwargs)
            if states:
                for tensor in tensors(out):
                    if getattr(tensor, "_archlab", None) is None:
                        tensor._archlab = tuple(states)  # type: ignore[attr-defined]
            return out
        parent = self.parent
        assert parent is not None
        node = Node(len(self.nodes), parent, "", name, None, parent.call)
        node.inputs = tuple([shape_of(tensor) for tensor in given])
        node.origins = tuple(origins)
        try:
            out, is_counted = None, False
            if self.quick:
                result = function_result(function, known, args, kwargs)
                if result is not None:
                    out, node.macs, node.elementwise = result
                    is_counted = True
                    self.counted += 1
            if not is_counted:
                out = self._count(node, function, args, kwargs)
        except NotImplementedError as error:
            if not self.real:
                raise DataDependentError(f"{name} needs values: {error}") from error
            raise
        except Exception as error:
            self._name(node, parent, name)
            self.nodes.append(node)
            parent.children.append(node)
            self._fail(node, error, args, kwargs)
            raise
        if known.name == "setitem":
            self._record(node, known, parent, args, kwargs, args[0], states)
            return out
        results = (out,) if type(out) is Tensor else tensors(out)
        if not results or (role is Role.VIEW and any(out is tensor for tensor in given)):
            return out
        self._record(node, known, parent, args, kwargs, out, states)
        return out

    def _record(
        self,
        node: Node,
        known: Operation,
        parent: Node,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Any,
        states: dict[State, None],
    ) -> None:
        self._name(node, parent, known.name)
        node.detail = detail(known.name, args, kwargs, out)
        self.nodes.append(node)
        parent.children.append(node)
        for state in states:
            if state.taken_by is None:
                state.taken_by = node
        self._leave(node, out, leaf=True)
        if (known.in_place or known.name == "setitem") and isinstance(out, Tensor) and out._base is not None:
            out._base._archlab = node.index  # type: ignore[attr-defined]

    def _name(self, node: Node, parent: Node, name: str) -> None:
        if parent.suffixes is None:
            parent.suffixes = {}
        taken = parent.module._modules if parent.module is not None else {}
        while True:
            count = parent.suffixes.get(name, 0)
            parent.suffixes[name] = count + 1
            unique = f"{name}_{count}" if count else name
            if unique not in taken:
                break
        node.path = f"{parent.path}.{unique}" if parent.path else unique

    def _read(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], given: list[Tensor]) -> Any:
        if any(tensor.is_meta for tensor in given):
            raise DataDependentError(f"it reads a tensor's values ({operation(function).name})")
        return function(*args, **kwargs)

    def _convert(
        self,
        function: Any,
        known: Operation,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        origins: dict[int, None],
        states: dict[State, None],
    ) -> Any:
        """`to`, `cpu` and `cuda` keep a tensor without values where it is."""
        tensor = args[0]
        if not isinstance(tensor, Tensor) or not tensor.is_meta:
            return function(*args, **kwargs)
        dtype = tensor.dtype
        if known.name == "to":
            for item in [*args[1:], kwargs.get("dtype"), kwargs.get("other")]:
                dtype = item if isinstance(item, torch.dtype) else item.dtype if isinstance(item, Tensor) else dtype
        if dtype == tensor.dtype:
            return tensor
        return self._operation(known, Tensor.to, (tensor, dtype), {}, origins, states, [tensor])


class _Functions(TorchFunctionMode):
    """Passes every torch function on to a tracer."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.tracer.function(func, args, kwargs or {})


def is_atomic(module: nn.Module) -> bool:
    """Whether a module is one row without operations below: torch's own layers that hold no other modules."""
    return not module._modules and type(module).forward.__module__.startswith(("torch.nn.modules.", "torch.ao.nn."))


def _is_mixed(given: list[Tensor]) -> bool:
    return any(not tensor.is_meta and tensor.dim() > 0 for tensor in given)


def _to_meta(tensor: Tensor) -> Tensor:
    if tensor.is_meta or tensor.dim() == 0:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


_MISSING = object()
