"""Quick handlers of torch's functions and tensor methods, by their name in the table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.tracing.costs.formulas import (
    broadcast,
)
from archlab.tracing.costs.names import ACTIVATIONS
from archlab.tracing.forward.operations import Operation, Role
from archlab.tracing.quick.results import Handler, Result, attempt, like, new

Registered = TypeVar("Registered", bound=Handler)

_HANDLERS: dict[str, Handler] = {}


def function_result(function: Any, known: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    """What a function returns and takes, without running it; None if nothing is foreseen.

    Views are run as they are, since making one takes no arithmetic.
    """
    handler = _HANDLERS.get(known.name) if known.is_torchs else None
    if handler is None:
        return (function(*args, **kwargs), 0, 0) if known.role is Role.VIEW else None
    result = attempt(handler, args, kwargs)
    if result is None or not known.in_place or known.name == "setitem":
        return result
    target, made = args[0], result[0]
    return (target, *result[1:]) if target.shape == made.shape and target.dtype is made.dtype else None


ALWAYS_BY_FORMULA = frozenset(["div", "linear", "rms_norm", "scaled_dot_product_attention"])
"""What torch runs in ways that differ by device and version: counted by its formula also where it is dispatched."""


def handles(*names: str) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the handler of some of torch's."""

    def add(handler: Registered) -> Registered:
        for name in names:
            _HANDLERS[name] = handler
        return handler

    return add


@handles(*ACTIVATIONS)
def _unary(input: Tensor, *rest: Any, inplace: bool = False, **options: Any) -> Result | None:
    if not input.is_floating_point() or any(isinstance(item, (Tensor, torch.dtype)) for item in rest) or options:
        return None
    return (input if inplace else like(input)), 0, input.numel()


@handles("add", "sub", "mul", "div", "pow", "maximum", "minimum")
def _binary(input: Any, other: Any) -> Result | None:
    if not isinstance(input, Tensor):
        input, other = other, input
    if not input.is_floating_point():
        return None
    if not isinstance(other, Tensor):
        return (like(input), 0, input.numel()) if isinstance(other, (int, float)) else None
    if not other.is_floating_point():
        return None
    shape = broadcast(tuple(input.shape), tuple(other.shape))
    if shape is None:
        return None
    dtype = input.dtype if input.dtype is other.dtype else torch.result_type(input, other)
    for operand in (input, other):
        if tuple(operand.shape) == shape:
            return like(operand, dtype), 0, operand.numel()
    return new(shape, dtype), 0, prod(shape)


@handles("cumsum")
def _cumulative(input: Tensor, dim: int) -> Result | None:
    return (like(input), 0, input.numel()) if input.is_floating_point() else None


@handles("eq", "ne", "lt", "le", "gt", "ge")
def _comparison(input: Tensor, other: Any) -> Result | None:
    shape = broadcast(tuple(input.shape), tuple(other.shape) if isinstance(other, Tensor) else ())
    return None if shape is None else (new(shape, torch.bool), 0, 0)


@handles("masked_fill")
def _masked_fill(input: Tensor, mask: Tensor, value: Any) -> Result | None:
    if broadcast(tuple(input.shape), tuple(mask.shape)) != tuple(input.shape):
        return None
    return like(input), 0, 0


@handles("cat", "concat", "concatenate")
def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Result | None:
    first = tensors[0]
    shape = list(first.shape)
    total = 0
    for tensor in tensors:
        sizes = list(tensor.shape)
        total += sizes[dim]
        sizes[dim] = shape[dim]
        if sizes != shape or tensor.dtype is not first.dtype:
            return None
    shape[dim] = total
    return new(tuple(shape), first.dtype), 0, 0


@handles("stack")
def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Result | None:
    first = tensors[0]
    if any(item.shape != first.shape or item.dtype is not first.dtype for item in tensors):
        return None
    shape = list(first.shape)
    shape.insert(dim if dim >= 0 else dim + len(shape) + 1, len(tensors))
    return new(tuple(shape), first.dtype), 0, 0


@handles("repeat_interleave")
def _repeat_interleave(input: Tensor, repeats: Any, dim: int) -> Result | None:
    if not isinstance(repeats, int):
        return None
    sizes = list(input.shape)
    sizes[dim] *= repeats
    return new(tuple(sizes), input.dtype), 0, 0


@handles("repeat")
def _repeat(input: Tensor, *repeats: Any) -> Result | None:
    times = list(repeats[0] if isinstance(repeats[0], (list, tuple)) else repeats)
    sizes = [1] * (len(times) - input.dim()) + list(input.shape)
    return new(tuple(size * time for size, time in zip(sizes, times, strict=True)), input.dtype), 0, 0


@handles("mean", "sum")
def _reduction(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Result | None:
    if not input.is_floating_point() or dtype is not None:
        return None
    sizes = list(input.shape)
    axes = range(len(sizes)) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    dropped = {axis % len(sizes) for axis in axes}
    shape = [1 if axis in dropped else size for axis, size in enumerate(sizes) if keepdim or axis not in dropped]
    return new(tuple(shape), input.dtype), 0, input.numel()


@handles("clamp", "clip")
def _clamp(input: Tensor, min: Any = None, max: Any = None) -> Result | None:
    if isinstance(min, Tensor) or isinstance(max, Tensor) or not input.is_floating_point():
        return None
    return like(input), 0, input.numel()


@handles("setitem")
def _setitem(input: Tensor, index: Any, value: Any) -> Result | None:
    if isinstance(value, Tensor):
        target = input[index]
        if broadcast(tuple(target.shape), tuple(value.shape)) != tuple(target.shape):
            return None
    return None, 0, 0


@handles("roll")
def _roll(input: Tensor, *rest: Any, **options: Any) -> Result | None:
    return new(input.shape, input.dtype), 0, 0


@handles("contiguous")
def _contiguous(input: Tensor) -> Result | None:
    return _dense(input), 0, 0


@handles("clone")
def _clone(input: Tensor) -> Result | None:
    return like(input), 0, 0


@handles("getitem")
def _getitem(input: Tensor, index: Any) -> Result | None:
    if isinstance(index, Tensor):
        if index.dtype not in (torch.int64, torch.int32):
            return None
        return new((*index.shape, *input.shape[1:]), input.dtype), 0, 0
    if isinstance(index, list) or (
        isinstance(index, tuple) and any(isinstance(item, (Tensor, list)) for item in index)
    ):
        return None
    return input[index], 0, 0


@handles("flatten")
def _flatten(input: Tensor, *rest: Any, **options: Any) -> Result | None:
    return _viewed(input, _dense(input).flatten(*rest, **options)), 0, 0


@handles("reshape")
def _reshape(input: Tensor, *rest: Any, **options: Any) -> Result | None:
    return _viewed(input, _dense(input).reshape(*rest, **options)), 0, 0


def _viewed(input: Tensor, reshaped: Tensor) -> Tensor:
    """A view of the input in another shape where its strides allow one, else what a copy would be."""
    if not input.is_contiguous():
        with contextlib.suppress(RuntimeError):
            return input.view(reshaped.shape)
    return reshaped


def _dense(input: Tensor) -> Tensor:
    return input if input.is_contiguous() else new(input.shape, input.dtype)
