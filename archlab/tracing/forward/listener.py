"""Hears torch's functions while a network runs, and files those that are operations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level
from torch.overrides import TorchFunctionMode

from archlab.tracing.forward.nodes import Node, State
from archlab.tracing.forward.operations import Operation, Role, detail, opened, operation
from archlab.tracing.forward.saved import fused_attention
from archlab.tracing.pytree import convert, shape_of, tensors, version
from archlab.tracing.quick.functions import ALWAYS_BY_FORMULA, function_result

if TYPE_CHECKING:
    from archlab.tracing.forward.tracer import Tracer


class DataDependentError(Exception):
    """The network asks for the values of a tensor that has none; the message says how."""


class Listener(TorchFunctionMode):
    """Passes every torch function by, on a tracer's behalf.

    Operations on data become rows. Views of parameters don't: whoever takes the view takes the parameter. What is
    computed from constants and buffers alone (a mask, a grid of positions) has no row either, unless it has MACs.
    """

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self.tracer = tracer

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function, or what stands for it; the mode is off meanwhile."""
        known = operation(func)
        if known.role is Role.QUERY or self.tracer.parent is None:
            return func(*args, **(kwargs or {}))
        return self._hear(known, func, args, kwargs or {})

    def _hear(self, known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        role = known.role
        if role is Role.COMPOSITE:
            with Listener(self.tracer):
                return opened(function)(*args, **kwargs)
        given = tensors((args, kwargs))
        origins: dict[int, None] = {}
        states: dict[State, None] = {}
        mixed = meta = False
        for tensor in given:
            origin = getattr(tensor, "_archlab", None)
            if type(origin) is int:
                origins[origin] = None
            elif origin is not None:
                states.update(dict.fromkeys(origin))
            if tensor.is_meta:
                meta = True
            elif tensor.dim() > 0:
                mixed = True
        if role is Role.READ:
            if meta:
                parent = self.tracer.parent
                where = parent.path if parent is not None else ""
                raise DataDependentError(f"{where or 'the network'} reads a tensor's values ({known.name})")
            return function(*args, **kwargs)
        if meta and not self.tracer.real:
            if role is Role.CONVERSION:
                tensor, dtype = args[0], _converted_type(args, kwargs)
                if dtype is tensor.dtype:
                    return tensor
                function, args, kwargs = Tensor.to, (tensor, dtype), {}
            elif mixed and known.name not in _KEEP_DEVICE:
                args, kwargs = convert((args, kwargs), _to_meta)
        if role is Role.FACTORY or (not origins and not self._is_worth_a_row(role, states)):
            return self._constant(known, function, args, kwargs, states)
        return self._operation(known, function, args, kwargs, given, origins, states)

    def _is_worth_a_row(self, role: Role, states: dict[State, None]) -> bool:
        if role is Role.PRODUCT:
            return True
        return role is not Role.VIEW and any(state.is_parameter for state in states)

    def _constant(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        states: dict[State, None],
    ) -> Any:
        result = function_result(function, known, args, kwargs) if self.tracer.is_quick() else None
        out = function(*args, **kwargs) if result is None else result[0]
        if states and known.role is not Role.FACTORY:
            for tensor in tensors(out):
                if getattr(tensor, "_archlab", None) is None:
                    tensor._archlab = tuple(states)  # type: ignore[attr-defined]
        return out

    def _operation(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        given: list[Tensor],
        origins: dict[int, None],
        states: dict[State, None],
    ) -> Any:
        tracer = self.tracer
        parent = tracer.parent
        assert parent is not None
        node = Node(-1, parent, "", known.name, None, parent.call)
        node.inputs = tuple([shape_of(tensor) for tensor in given])
        node.origins = tuple(origins)
        counted, unknown = tracer.counted, dict(tracer.unknown)
        try:
            out = self._run(node, known, function, args, kwargs)
        except Exception as error:
            node.path = _path(parent, known.name)
            tracer.add(node)
            tracer.fail(node, error)
            raise
        result = args[0] if known.name == "setitem" else out
        same = any(result is tensor for tensor in given)
        if not tensors(result) or (same and known.role is not Role.COMPUTE):
            tracer.counted, tracer.unknown = counted, unknown  # nothing happened that is worth a row
            return out
        node.path = _path(parent, known.name)
        node.detail = detail(known.name, args, kwargs, out)
        if tracer.locate is not None:
            node.source = tracer.locate()
        tracer.add(node)
        for state in states:
            if state.taken_by is None:
                state.taken_by = node
        tracer.leave(node, result, leaf=True)
        if same and result._is_view() and result._base is not None:
            result._base._archlab = node.index
        return out

    def _run(self, node: Node, known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, or what stands for it; its cost goes to the node."""
        by_formula = known.name in ALWAYS_BY_FORMULA and maybe_current_level() is None
        if self.tracer.saves and known.name == "scaled_dot_product_attention" and not self.tracer.real:
            function = fused_attention
        quick = self.tracer.is_quick()
        if quick or by_formula:
            result = function_result(function, known, args, kwargs)
            if result is not None:
                out = result[0]
                if not quick:
                    out = self.tracer.count(node, function, args, kwargs)
                else:
                    self.tracer.counted += 1
                node.macs, node.elementwise = result[1:]
                return out
        before = version(args[0]) if args and isinstance(args[0], Tensor) else -1
        out = self.tracer.count(node, function, args, kwargs)
        if known.role is Role.COMPUTE and isinstance(out, Tensor) and out is args[0] and version(out) == before:
            out = out.view_as(out)  # passed on as it is (dropout in evaluation): an edge of its own
        return out


_KEEP_DEVICE = frozenset(["pack_padded_sequence", "pad_packed_sequence"])
"""Functions that want one of their tensors on the CPU."""


def _path(parent: Node, name: str) -> str:
    """The dotted name of an operation, numbered from its second use in one call of its module."""
    if parent.suffixes is None:
        parent.suffixes = {}
    taken = parent.module._modules if parent.module is not None else {}
    while True:
        count = parent.suffixes.get(name, 0)
        parent.suffixes[name] = count + 1
        unique = f"{name}_{count}" if count else name
        if unique not in taken:
            return f"{parent.path}.{unique}" if parent.path else unique


def _converted_type(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.dtype:
    """The element type that `to`, `cpu` or `cuda` gives; a tensor without values stays where it is."""
    dtype: torch.dtype = args[0].dtype
    for item in [*args[1:], kwargs.get("dtype"), kwargs.get("other")]:
        dtype = item if isinstance(item, torch.dtype) else item.dtype if isinstance(item, Tensor) else dtype
    return dtype


def _to_meta(tensor: Tensor) -> Tensor:
    if tensor.is_meta or tensor.dim() == 0:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
