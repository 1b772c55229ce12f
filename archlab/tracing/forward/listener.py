"""Hears torch's functions while a network runs, and files those that are operations in the tree of calls."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from archlab.tracing.forward.call_tree import Call, CallTree, is_under_vmap
from archlab.tracing.forward.constants import base_of, move_constant, write_through
from archlab.tracing.forward.module_tree import State, Stray, stray
from archlab.tracing.forward.operations import Operation, Role, detail, opened, operation
from archlab.tracing.forward.saved import fused_attention
from archlab.tracing.pytree import convert, shape_of, tensors, version
from archlab.tracing.quick.layers import VARYING_FUNCTIONS
from archlab.tracing.quick.shape_function import Result, ShapeFunctionError, raise_refusal, registered_function


class DataDependentError(Exception):
    """The network asks for the values of a tensor that has none; the message says how."""


class Listener(TorchFunctionMode):
    """A context in which every function of torch's passes by here.

    Operations on data become rows. Views of parameters don't: whoever takes the view takes the parameter. What is
    computed from constants and buffers alone (a mask, a grid of positions) has no row either, unless it has MACs.
    """

    def __init__(self, tree: CallTree) -> None:
        super().__init__()
        self.tree = tree

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function, or what stands for it; the mode is off meanwhile."""
        known = operation(func)
        if known.role is Role.QUERY or self.tree.parent is None:
            return func(*args, **(kwargs or {}))
        return self._hear(known, func, args, kwargs or {})

    def _hear(self, known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        role = known.role
        if role is Role.COMPOSITE:
            with Listener(self.tree):
                return opened(function)(*args, **kwargs)
        given = tensors((args, kwargs))
        origins: dict[int, None] = {}
        states: dict[State, None] = {}
        mixed = meta = False
        stayed: Tensor | None = None
        for tensor in given:
            origin = getattr(tensor, "_archlab", None)
            if type(origin) is int:
                origins[origin] = None
            elif origin is not None:
                states.update(dict.fromkeys(origin))
            elif type(tensor) is nn.Parameter and not known.in_place:  # drawing first values is no use of it
                self.tree.strays.append(stray(tensor, on_meta=not self.tree.real))
                states[self.tree.strays[-1]] = None
            if tensor.is_meta:
                meta = True
            elif tensor.dim() > 0:
                mixed = True
        if role is Role.READ:
            if meta:
                parent = self.tree.parent
                where = parent.path if parent is not None else ""
                raise DataDependentError(f"{where or 'the network'} reads a tensor's values ({known.name})")
            return function(*args, **kwargs)
        if meta and not self.tree.real:
            if role is Role.CONVERSION:
                tensor, dtype = args[0], _converted_type(args, kwargs)
                if dtype is tensor.dtype:
                    return tensor
                function, args, kwargs = Tensor.to, (tensor, dtype), {}
            elif mixed and known.name not in _KEEP_DEVICE:
                stayed = move_constant(args[0]) if known.in_place else None
                if stayed is not None and type(origin := getattr(base_of(stayed), "_archlab", None)) is int:
                    origins[origin] = None  # what was written to another part of it
                args, kwargs = convert((args, kwargs), _to_meta)
        is_row = origins or role is Role.PRODUCT
        if not is_row and role is not Role.VIEW:
            is_row = any(state.is_parameter for state in states)
        if role is Role.FACTORY or not is_row:
            return self._constant(known, function, args, kwargs, states)
        out = self._operation(known, function, args, kwargs, given, origins, states)
        if stayed is not None and hasattr(args[0], "_archlab"):
            write_through(stayed, args[0])
        return out

    def _constant(
        self,
        known: Operation,
        function: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        states: dict[State, None],
    ) -> Any:
        result = _result(known, function, args, kwargs) if self.tree.is_quick else None
        out = function(*args, **kwargs) if result is None else result[0]
        if known.role is Role.FACTORY and isinstance(out, Tensor):
            out._archlab_made = True  # type: ignore[attr-defined]
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
        tree = self.tree
        parent = tree.parent
        assert parent is not None
        call = Call(parent, "", known.name, None, parent.number)
        call.inputs = tuple([shape_of(tensor) for tensor in given])
        call.origins = tuple(origins)
        try:
            out = self._run(call, known, function, args, kwargs)
        except Exception as error:
            call.path = _path(parent, known.name)
            tree.add(call)
            tree.fail(call, error)
            raise
        result = args[0] if known.name == "setitem" else out
        same = any(result is tensor for tensor in given)
        if not tensors(result) or (same and known.role is not Role.COMPUTE):
            return out  # nothing happened that is worth a row
        call.path = _path(parent, known.name)
        call.detail = detail(known.name, args, kwargs, out)
        if tree.locate is not None:
            call.source = tree.locate()
        tree.add(call)
        for state in states:
            if state.taken_by is None:
                state.taken_by = call
        tree.leave(call, result, leaf=True)
        if same and result._is_view() and result._base is not None:
            result._base._archlab = call.index
        return out

    def _run(self, call: Call, known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What the function returns, or what stands for it; its cost goes to the call."""
        tree, quick = self.tree, self.tree.is_quick
        if tree.saves and known.name == "scaled_dot_product_attention" and not tree.real:
            function = fused_attention
        if quick or (known.name in VARYING_FUNCTIONS and not is_under_vmap()):
            result = _result(known, function, args, kwargs)
            if result is not None:
                out = result[0] if quick else tree.count(call, function, args, kwargs)
                call.macs, call.elementwise = result[1:]
                call.uncounted = call.uncounted or ()
                return out
        before = version(args[0]) if args and isinstance(args[0], Tensor) else -1
        out = tree.count(call, function, args, kwargs)
        if known.role is Role.COMPUTE and isinstance(out, Tensor) and out is args[0] and version(out) == before:
            out = out.view_as(out)  # passed on as it is (dropout in evaluation): an edge of its own
        return out


def _result(known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    """What an operation gives and takes by its shape function; views are run, since that takes no arithmetic."""
    registration = registered_function(known.name) if known.is_torchs else None
    if registration is None:
        return (function(*args, **kwargs), 0, 0) if known.role is Role.VIEW else None
    try:
        result = registration.result(args, kwargs)
    except ShapeFunctionError as fault:
        raise_refusal(fault, function, args, kwargs)
    if result is None or not known.in_place or known.name == "setitem":
        return result
    target, made = args[0], result[0]
    return (target, *result[1:]) if target.shape == made.shape and target.dtype is made.dtype else None


_KEEP_DEVICE = frozenset(["pack_padded_sequence", "pad_packed_sequence"])
"""Functions that want one of their tensors on the CPU."""


def _path(parent: Call, name: str) -> str:
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
    (state, *_) = origin if type(origin := getattr(tensor, "_archlab", None)) is tuple else (None,)
    if isinstance(state, Stray) and state.original is tensor:
        return state.tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
