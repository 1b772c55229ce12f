"""Shape functions of arithmetic on tensors, and of what makes, moves, joins and copies them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from archlab.formulas import broadcast
from archlab.records import Shape
from archlab.tracing.costs.names import ACTIVATIONS
from archlab.tracing.quick.results import axis_of, check_tensors, like, new, view_of
from archlab.tracing.quick.shape_function import Result, UnknownCallError, for_functions, for_modules, is_dense


@for_functions(*ACTIVATIONS - {"hardtanh"})
@for_modules(
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.SiLU, nn.Mish),
    settings=("inplace",),
)
@for_modules(nn.Sigmoid, nn.Tanh, settings=())
def _unary(input: Tensor, *settings: Any, inplace: bool = False, **named: Any) -> Result | None:
    if not input.is_floating_point():
        return None
    if settings or named:
        if not all(isinstance(setting, (int, float)) for setting in (*settings, *named.values())):
            return None
        inplace = inplace or any(setting is True for setting in settings)
    return (input if inplace else like(input)), 0, input.numel()


@for_functions("hardtanh")
def _hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Result | None:
    return None if min_val > max_val else _unary(input, inplace=inplace)


@for_functions("add", "sub", "mul", "div", "pow", "maximum", "minimum", first=object)
def _binary(input: Any, other: Any) -> Result | None:
    if not isinstance(input, Tensor):
        input, other = other, input
    check_tensors(input)
    if not input.is_floating_point():
        return None
    if not isinstance(other, Tensor):
        return (like(input), 0, input.numel()) if isinstance(other, (int, float)) else None
    check_tensors(other)
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


@for_functions("cumsum")
def _cumulative(input: Tensor, dim: int) -> Result | None:
    axis_of(dim, max(1, input.dim()))
    return (like(input), 0, input.numel()) if input.is_floating_point() else None


@for_functions("eq", "ne", "lt", "le", "gt", "ge")
def _comparison(input: Tensor, other: Any) -> Result | None:
    if not isinstance(other, (Tensor, int, float)) or not is_dense(other):
        return None
    shape = broadcast(tuple(input.shape), tuple(other.shape) if isinstance(other, Tensor) else ())
    return None if shape is None else (new(shape, torch.bool), 0, 0)


@for_functions("index_select")
def _index_select(input: Tensor, dim: int, index: Tensor) -> Result | None:
    check_tensors(index)
    if not input.dim() or index.dim() > 1 or index.dtype not in (torch.int64, torch.int32):
        return None
    sizes = list(input.shape)
    sizes[axis_of(dim, len(sizes))] = index.numel()
    return new(tuple(sizes), input.dtype), 0, 0


@for_functions("gather")
def _gather(input: Tensor, dim: int, index: Tensor) -> Result | None:
    check_tensors(index)
    if index.dtype is not torch.int64 or index.dim() != input.dim():
        return None
    axis = axis_of(dim, input.dim())
    if any(index.shape[k] > size for k, size in enumerate(input.shape) if k != axis):
        return None
    return new(tuple(index.shape), input.dtype), 0, 0


@for_functions("scatter_add")
def _scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Result | None:
    check_tensors(index, src)
    if index.dtype is not torch.int64 or src.dtype is not input.dtype or not index.dim() == src.dim() == input.dim():
        return None
    axis = axis_of(dim, input.dim())
    if any(
        index.shape[k] > src.shape[k] or (k != axis and index.shape[k] > size) for k, size in enumerate(input.shape)
    ):
        return None
    return like(input), 0, input.numel()


@for_functions("scatter_reduce")
def _scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Result | None:
    if reduce not in ("sum", "prod", "mean", "amax", "amin"):
        return None
    return _scatter_add(input, dim, index, src)


@for_functions("masked_fill")
def _masked_fill(input: Tensor, mask: Tensor, value: Any) -> Result | None:
    check_tensors(mask)
    if not isinstance(value, (int, float)) or broadcast(tuple(input.shape), tuple(mask.shape)) != tuple(input.shape):
        return None
    return like(input), 0, 0


@for_functions("cat", "concat", "concatenate", first=(tuple, list))
def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Result | None:
    check_tensors(*tensors)
    if not tensors:
        return None
    first = tensors[0]
    axis = axis_of(dim, first.dim())
    shape = list(first.shape)
    total = 0
    for tensor in tensors:
        sizes = list(tensor.shape)
        if len(sizes) != len(shape) or tensor.dtype is not first.dtype:
            return None
        total += sizes[axis]
        sizes[axis] = shape[axis]
        if sizes != shape:
            return None
    shape[axis] = total
    return new(tuple(shape), first.dtype), 0, 0


@for_functions("stack", first=(tuple, list))
def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Result | None:
    check_tensors(*tensors)
    if not tensors:
        return None
    first = tensors[0]
    if any(item.shape != first.shape or item.dtype is not first.dtype for item in tensors):
        return None
    shape = list(first.shape)
    shape.insert(axis_of(dim, len(shape) + 1), len(tensors))
    return new(tuple(shape), first.dtype), 0, 0


@for_functions("repeat_interleave")
def _repeat_interleave(input: Tensor, repeats: Any, dim: int) -> Result | None:
    if not isinstance(repeats, int):
        return None
    sizes = list(input.shape)
    sizes[axis_of(dim, len(sizes))] *= repeats
    return new(tuple(sizes), input.dtype), 0, 0


@for_functions("repeat")
def _repeat(input: Tensor, *repeats: Any) -> Result | None:
    times = _sizes(repeats)
    if len(times) < input.dim():
        return None
    sizes = [1] * (len(times) - input.dim()) + list(input.shape)
    return new(tuple(size * time for size, time in zip(sizes, times, strict=True)), input.dtype), 0, 0


@for_functions("mean", "sum")
def _reduction(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Result | None:
    if not input.is_floating_point() or dtype is not None:
        return None
    sizes = list(input.shape)
    if dim is None or dim == [] or dim == ():
        dropped = set(range(len(sizes)))
    else:
        dropped = {axis_of(axis, len(sizes)) for axis in ([dim] if isinstance(dim, int) else dim)}
    shape = [1 if axis in dropped else size for axis, size in enumerate(sizes) if keepdim or axis not in dropped]
    return new(tuple(shape), input.dtype), 0, input.numel()


@for_functions("clamp", "clip")
def _clamp(input: Tensor, min: Any = None, max: Any = None) -> Result | None:
    if isinstance(min, Tensor) or isinstance(max, Tensor) or not input.is_floating_point():
        return None
    return like(input), 0, input.numel()


@for_functions("setitem")
def _setitem(input: Tensor, index: Any, value: Any) -> Result | None:
    if isinstance(value, Tensor):
        check_tensors(value)
        target = view_of(input.__getitem__, index)
        if broadcast(tuple(target.shape), tuple(value.shape)) != tuple(target.shape):
            return None
    return None, 0, 0


@for_functions("roll")
def _roll(input: Tensor, shifts: Any, dims: Any = ()) -> Result | None:
    moved = shifts if isinstance(shifts, (tuple, list)) else (shifts,)
    axes = [axis_of(dim, input.dim()) for dim in (dims if isinstance(dims, (tuple, list)) else (dims,))]
    if len(moved) != (len(axes) or 1):
        return None
    return new(input.shape, input.dtype), 0, 0


@for_functions("contiguous")
def _contiguous(input: Tensor) -> Result | None:
    return _dense(input), 0, 0


@for_functions("clone")
def _clone(input: Tensor) -> Result | None:
    return like(input), 0, 0


@for_modules(nn.Identity, settings=())
def _identity(input: Tensor) -> Result | None:
    return input.detach(), 0, 0


@for_functions("getitem")
def _getitem(input: Tensor, index: Any) -> Result | None:
    if isinstance(index, Tensor):
        if index.dtype not in (torch.int64, torch.int32) or not input.dim():
            return None
        return new((*index.shape, *input.shape[1:]), input.dtype), 0, 0
    if isinstance(index, list) or (
        isinstance(index, tuple) and any(isinstance(item, (Tensor, list)) for item in index)
    ):
        return None
    return view_of(input.__getitem__, index), 0, 0


@for_functions("flatten")
@for_modules(nn.Flatten, settings=("start_dim", "end_dim"))
def _flatten(input: Tensor, *axes: Any, **options: Any) -> Result | None:
    return _viewed(input, view_of(_dense(input).flatten, *axes, **options)), 0, 0


@for_functions("reshape")
def _reshape(input: Tensor, *shape: Any, **options: Any) -> Result | None:
    return _viewed(input, view_of(_dense(input).reshape, *shape, **options)), 0, 0


def _viewed(input: Tensor, reshaped: Tensor) -> Tensor:
    """A view of the input in another shape where its strides allow one, else what a copy would be."""
    if not input.is_contiguous():
        with contextlib.suppress(RuntimeError):
            return input.view(reshaped.shape)
    return reshaped


def _dense(input: Tensor) -> Tensor:
    return input if input.is_contiguous() else new(input.shape, input.dtype)


# Tensors that hold nothing of the data: masks, grids, positions


@for_functions("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "full_like")
def _filled_like(input: Tensor, value: Any = 0, *, dtype: Any = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    return like(input, dtype), 0, 0


@for_functions("new_zeros", "new_ones", "new_empty")
def _new_filled(input: Tensor, *size: Any, dtype: Any = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    return new(_sizes(size), dtype or input.dtype), 0, 0


@for_functions("zeros", "ones", "empty", "rand", "randn", first=(int, tuple, list))
def _filled(*size: Any, dtype: Any = None, device: Any = None) -> Result | None:
    if not _is_meta(device):
        return None
    return new(_sizes(size), dtype or torch.get_default_dtype()), 0, 0


@for_functions("arange", first=int)
def _range(start: int, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Result | None:
    if end is None:
        start, end = 0, start
    if not _is_meta(device) or not all(type(value) is int for value in (start, end, step)) or not step:
        return None
    return new((max(0, -((start - end) // step)),), dtype or torch.int64), 0, 0


@for_functions("outer")
def _outer(input: Tensor, vec2: Tensor) -> Result | None:
    check_tensors(vec2)
    if not (input.is_meta and vec2.is_meta) or input.dim() != 1 or vec2.dim() != 1 or input.dtype is not vec2.dtype:
        return None
    return new((input.shape[0], vec2.shape[0]), input.dtype), 0, input.shape[0] * vec2.shape[0]


@for_functions("tril", "triu")
def _triangle(input: Tensor, diagonal: int = 0) -> Result | None:
    return (like(input), 0, 0) if input.is_meta and input.dim() > 1 else None


def _is_meta(device: object) -> bool:
    return str(device).partition(":")[0] == "meta"


def _sizes(given: tuple[Any, ...]) -> Shape:
    """Sizes as torch takes them: `(2, 3)` of `f(2, 3)` and of `f((2, 3))`."""
    sizes = tuple(given[0]) if given and isinstance(given[0], (tuple, list)) else given
    if not all(type(size) is int for size in sizes):
        raise UnknownCallError
    return sizes
