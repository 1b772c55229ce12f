"""Quick handlers of torch's functions and tensor methods, by their name in the table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.tracing.formulas import (
    DROPOUT,
    SOFTMAX,
    attention_elementwise,
    attention_macs,
    broadcast,
    convolution_macs,
    convolution_shape,
    expand,
    matmul_macs,
    matmul_shape,
    normalisation,
    rms_normalisation,
)
from archlab.tracing.names import ACTIVATIONS
from archlab.tracing.operations import Operation, Role
from archlab.tracing.quick import Handler, Result, attempt, like, new, pooled

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


@handles("matmul", "mm", "bmm")
def _matmul(input: Tensor, other: Tensor) -> Result | None:
    left = tuple(input.shape)
    shape = matmul_shape(left, tuple(other.shape))
    if shape is None or input.dtype is not other.dtype:
        return None
    return new(shape, input.dtype), matmul_macs(left, shape), 0


@handles("linear")
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Result | None:
    if weight.dim() != 2 or input.shape[-1] != weight.shape[1] or input.dtype is not weight.dtype:
        return None
    return new((*input.shape[:-1], weight.shape[0]), input.dtype), input.numel() * weight.shape[0], 0


@handles("conv1d", "conv2d", "conv3d")
def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Result | None:
    shape, kernel = tuple(input.shape), tuple(weight.shape)
    axes = len(kernel) - 2
    if (
        len(shape) != axes + 2
        or shape[1] != kernel[1] * groups
        or isinstance(padding, str)
        or not input.is_contiguous()
    ):
        return None
    output = convolution_shape(shape, kernel, expand(stride, axes), expand(padding, axes), expand(dilation, axes))
    if min(output[2:]) <= 0 or input.dtype is not weight.dtype:
        return None
    return new(output, input.dtype), convolution_macs(shape, kernel, output, transposed=False), 0


@handles("softmax", "log_softmax")
def _softmax(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Result | None:
    if not isinstance(dim, int) or dtype not in (None, input.dtype):
        return None
    return like(input), 0, SOFTMAX * input.numel()


@handles("layer_norm")
def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *rest: Any
) -> Result | None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        return None
    return new(input.shape, input.dtype), 0, normalisation(input.numel(), affine=weight is not None)


@handles("dropout")
def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result | None:
    if inplace or p == 1:
        return None
    return like(input), 0, DROPOUT * input.numel() if training and p > 0 else 0


@handles("embedding")
def _embedding(input: Tensor, weight: Tensor, padding_idx: Any = None) -> Result | None:
    if input.is_floating_point():
        return None
    return new((*input.shape, weight.shape[1]), weight.dtype), 0, 0


@handles("scaled_dot_product_attention")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Result | None:
    shapes = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    if query.dtype is not key.dtype or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        return None
    batch = broadcast(shapes[0][:-2], shapes[2][:-2]) if not options.get("enable_gqa") else shapes[0][:-2]
    if batch is None:
        return None
    masked = is_causal or attn_mask is not None
    elementwise = attention_elementwise(shapes[0], shapes[1], masked=masked)
    return new((*batch, shapes[0][-2], shapes[2][-1]), query.dtype), attention_macs(*shapes), elementwise


@handles("mean", "sum")
def _reduction(input: Tensor, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Result | None:
    if not input.is_floating_point() or dtype is not None:
        return None
    sizes = list(input.shape)
    axes = range(len(sizes)) if dim is None or dim == [] else [dim] if isinstance(dim, int) else dim
    dropped = {axis % len(sizes) for axis in axes}
    shape = [1 if axis in dropped else size for axis, size in enumerate(sizes) if keepdim or axis not in dropped]
    return new(tuple(shape), input.dtype), 0, input.numel()


@handles("rms_norm")
def _rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Any = None, eps: Any = None) -> Result | None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        return None
    return like(input), 0, rms_normalisation(input.numel(), affine=weight is not None)


@handles("clamp", "clip")
def _clamp(input: Tensor, min: Any = None, max: Any = None) -> Result | None:
    if isinstance(min, Tensor) or isinstance(max, Tensor) or not input.is_floating_point():
        return None
    return like(input), 0, input.numel()


@handles("normalize")
def _normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Result | None:
    if not isinstance(dim, int) or not input.is_floating_point() or out is not None:
        return None
    # The norm takes each element, its clamp each norm, the division each element again.
    return like(input), 0, 2 * input.numel() + input.numel() // input.shape[dim]


@handles("pad")
def _pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Result | None:
    sizes = list(input.shape)
    for position in range(0, len(pad), 2):
        sizes[-1 - position // 2] += pad[position] + pad[position + 1]
    return (new(tuple(sizes), input.dtype), 0, 0) if min(sizes) > 0 else None


@handles("setitem")
def _setitem(input: Tensor, index: Any, value: Any) -> Result | None:
    if isinstance(value, Tensor):
        target = input[index]
        if broadcast(tuple(target.shape), tuple(value.shape)) != tuple(target.shape):
            return None
    return None, 0, 0


@handles("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "full_like")
def _same_kind(input: Tensor, value: Any = 0, *, dtype: torch.dtype | None = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    return like(input, dtype), 0, 0


@handles("new_zeros", "new_ones", "new_empty")
def _new(input: Tensor, *size: Any, dtype: torch.dtype | None = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    shape = tuple(size[0]) if isinstance(size[0], (tuple, list)) else size
    return new(shape, dtype or input.dtype), 0, 0


@handles("max_pool2d")
def _max_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Result | None:
    if return_indices:
        return None
    return pooled(input, 2, kernel_size, stride, padding, dilation, ceil_mode)


@handles("avg_pool2d")
def _avg_pool(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *rest: Any
) -> Result | None:
    return pooled(input, 2, kernel_size, stride, padding, 1, ceil_mode)


@handles("roll")
def _roll(input: Tensor, *rest: Any, **options: Any) -> Result | None:
    return new(input.shape, input.dtype), 0, 0


@handles("adaptive_avg_pool2d")
def _adaptive_pool(input: Tensor, output_size: Any) -> Result | None:
    shape = tuple(input.shape)
    sizes = [given if size is None else size for size, given in zip(expand(output_size, 2), shape[-2:], strict=True)]
    return new((*shape[:-2], *sizes), input.dtype), 0, input.numel()


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
