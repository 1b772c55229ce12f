"""What dispatched operations give on tensors without values, where torch works that out in slow Python.

Where every operation is dispatched (for what autograd saves, or for receptive fields) torch's meta kernels run. Many
are decompositions in Python: 1.4 ms for a batch normalisation, 0.3 ms for a ReLU, and seconds of imports at the first.
A kernel of this table makes the same empty results in some microseconds. It answers what it surely knows: dense tensors
of one floating-point type on the meta device, with the strides that are plain. None from it means that torch decides,
so whatever torch would refuse is still refused by torch.

>>> x = torch.empty(2, 3, device="meta")
>>> run(torch.ops.aten.relu.default, (x,), {}).shape
torch.Size([2, 3])
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

import torch
from torch import Tensor, nn

from archlab.formulas import broadcast
from archlab.records import Shape
from archlab.tracing.quick.results import new

Kernel = TypeVar("Kernel", bound=Callable[..., Any])
KERNELS: dict[Any, Callable[..., Any]] = {}
"""By overload."""
_aten = torch.ops.aten
_META = torch.device("meta")


def run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What an operation gives that a dispatch mode has been handed, the mode being off: by a kernel, or by torch.

    Other modes below are asked first: they are to hear the operation too.
    """
    kernel = KERNELS.get(func)
    if (
        kernel is not None
        and not kwargs
        and not torch._C._len_torch_dispatch_stack()
        and torch._C._functorch.maybe_current_level() is None
    ):
        out = kernel(*args)
        if out is not None:
            return out
    return func(*args, **kwargs)


def _kernel(*names: str) -> Callable[[Kernel], Kernel]:
    """A decorator that registers a kernel for overloads, `add.Tensor`; those that this torch doesn't have are left out.

    Names without an overload stand for the default one.
    """

    def add(kernel: Kernel) -> Kernel:
        for name in names:
            packet, _, overload = name.partition(".")
            found = getattr(getattr(_aten, packet, None), overload or "default", None)
            if found is not None:
                KERNELS[found] = kernel
        return kernel

    return add


def _is_plain(value: object) -> TypeGuard[Tensor]:
    """Whether it is a dense tensor of floating-point numbers without values, of torch's own class."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.is_meta  # type: ignore[attr-defined]
        and value.layout is torch.strided  # type: ignore[attr-defined]
        and value.is_floating_point()  # type: ignore[attr-defined]
        and not value.is_nested  # type: ignore[attr-defined]
    )


def _strides(tensor: Tensor) -> tuple[int, ...] | None:
    """The strides of a pointwise result of this tensor alone, () where they are those of the shape.

    None where the elements lie apart or over each other, or an axis of one step could stand anywhere in their order.
    """
    if _in_order(tensor):
        return ()
    shape, strides = tensor.shape, tensor.stride()
    step = 1
    for stride, size in sorted(zip(strides, shape, strict=True)):
        if stride != step or size < 2:
            return None
        step *= size
    return tuple(strides)


def _made(shape: Shape, strides: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    if strides:
        return torch.empty_strided(shape, strides, dtype=dtype, device=_META)
    return new(shape, dtype)


def _like(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor | None:
    strides = _strides(tensor)
    return None if strides is None else _made(tensor.shape, strides, dtype or tensor.dtype)


def _is_number(value: object) -> bool:
    return type(value) in (int, float, bool)


def _same_numbers(numbers: tuple[Any, ...]) -> bool:
    return all(_is_number(item) or item is None for item in numbers)


# Pointwise


@_kernel("relu", "sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "neg", "abs", "sin", "cos", "reciprocal", "erf")
@_kernel("silu", "mish", "hardswish", "hardsigmoid")
@_kernel("hardtanh", "leaky_relu", "elu", "softplus", "clamp_min", "clamp_max", "pow.Tensor_Scalar")
def _unary(input: Any, *numbers: Any) -> Tensor | None:
    if not _is_plain(input) or not _same_numbers(numbers):
        return None
    return _like(input)


@_kernel("clamp")
def _clamp(input: Any, low: Any = None, high: Any = None) -> Tensor | None:
    return None if low is None and high is None else _unary(input, low, high)


@_kernel("hardswish_", "hardtanh_", "leaky_relu_", "elu_", "clamp_min_", "clamp_max_", "mish_", "hardsigmoid_")
def _unary_in_place(input: Any, *numbers: Any) -> Tensor | None:
    known = _is_plain(input) and _same_numbers(numbers) and _strides(input) is not None
    return input if known else None


@_kernel("gelu")
def _gelu(input: Any) -> Tensor | None:
    return _unary(input)


@_kernel("add.Tensor", "sub.Tensor", "mul.Tensor", "div.Tensor", "maximum", "minimum")
def _binary(input: Any, other: Any) -> Tensor | None:
    if not _is_plain(input):
        return None
    if _is_number(other):
        return _like(input)
    if not _is_plain(other) or other.dtype is not input.dtype:
        return None
    return _joined(input.dtype, input, other)


@_kernel("rsub.Scalar", "add.Scalar", "sub.Scalar", "mul.Scalar", "div.Scalar")
def _with_number(input: Any, other: Any) -> Tensor | None:
    return _like(input) if _is_plain(input) and _is_number(other) else None


@_kernel("gt.Scalar", "ge.Scalar", "lt.Scalar", "le.Scalar", "eq.Scalar", "ne.Scalar")
def _compared(input: Any, other: Any) -> Tensor | None:
    return _like(input, torch.bool) if _is_plain(input) and _is_number(other) else None


@_kernel("gt.Tensor", "ge.Tensor", "lt.Tensor", "le.Tensor", "eq.Tensor", "ne.Tensor")
def _compared_with(input: Any, other: Any) -> Tensor | None:
    if not _is_plain(input) or not _is_plain(other) or other.dtype is not input.dtype:
        return None
    return _joined(torch.bool, input, other)


@_kernel("where.self")
def _where(condition: Any, input: Any, other: Any) -> Tensor | None:
    if not _is_plain(input) or not _is_plain(other) or other.dtype is not input.dtype or not _is_mask(condition):
        return None
    return _joined(input.dtype, condition, input, other)


@_kernel("masked_fill.Scalar")
def _masked_fill(input: Any, mask: Any, value: Any) -> Tensor | None:
    if not _is_plain(input) or not _is_mask(mask) or not _is_number(value) or not input.is_contiguous():
        return None
    filled = _joined(input.dtype, input, mask)
    return filled if filled is not None and filled.shape == input.shape else None


def _is_mask(value: object) -> TypeGuard[Tensor]:
    return type(value) is Tensor and value.is_meta and value.dtype is torch.bool and value.layout is torch.strided


def _joined(dtype: torch.dtype, *operands: Tensor) -> Tensor | None:
    """The result of an operation on several tensors: each laid out as the others, or all in the order of their axes."""
    first = operands[0]
    if all(operand.shape == first.shape for operand in operands):
        strides = _strides(first)
        if strides is None or any(_strides(operand) != strides for operand in operands[1:]):
            return None
        return _made(first.shape, strides, dtype)
    shape = broadcast(*[tuple(operand.shape) for operand in operands])
    if shape is None or not all(_in_order(operand) for operand in operands):
        return None
    return new(shape, dtype)


def _in_order(tensor: Tensor) -> bool:
    """Whether the strides are those of the shape, also along axes of one step, where they say nothing."""
    step = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if stride != step or not size:
            return False
        step *= size
    return True


# Normalisation and dropout


def _are_per_channel(parts: tuple[Any, ...], channels: int, dtype: torch.dtype) -> bool:
    return all(
        part is None or (_is_plain(part) and part.dtype is dtype and part.shape == (channels,)) for part in parts
    )


_FULL = (torch.float32, torch.float64)
"""Types whose statistics are of the same type."""


@_kernel("native_batch_norm", "_native_batch_norm_legit")
def _batch_norm(
    input: Any, weight: Any, bias: Any, mean: Any, variance: Any, training: bool, momentum: float, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if not _is_plain(input) or input.dtype not in _FULL or input.dim() < 2 or not _in_order(input):
        return None
    channels, dtype = input.shape[1], input.dtype
    if not _are_per_channel((weight, bias, mean, variance), channels, dtype):
        return None
    if (mean is None) != (variance is None) or (mean is None and not training):
        return None
    if training and input.numel() <= channels:
        return None  # one value per channel has no variance
    saved = (channels,)
    return new(input.shape, dtype), new(saved, dtype), new(saved, dtype)


@_kernel("native_layer_norm")
def _layer_norm(input: Any, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Tensor, Tensor, Tensor] | None:
    if not _is_plain(input) or input.dtype not in _FULL or not _in_order(input) or not shape:
        return None
    sizes, own = tuple(input.shape), tuple(shape)
    kept = len(sizes) - len(own)
    if kept < 0 or sizes[kept:] != own:
        return None
    for part in (weight, bias):
        if part is not None and not (_is_plain(part) and part.dtype is input.dtype and part.shape == own):
            return None
    saved = (*sizes[:kept], *(1,) * len(own))
    return new(sizes, input.dtype), new(saved, input.dtype), new(saved, input.dtype)


@_kernel("native_group_norm")
def _group_norm(
    input: Any, weight: Any, bias: Any, batch: int, channels: int, positions: int, groups: int, eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    if not _is_plain(input) or input.dtype not in _FULL or input.dim() < 2 or not _in_order(input):
        return None
    fits = input.shape[:2] == (batch, channels) and input.numel() == batch * channels * positions
    if not fits or groups < 1 or channels % groups or not _are_per_channel((weight, bias), channels, input.dtype):
        return None
    saved = (batch, groups)
    return new(input.shape, input.dtype), new(saved, input.dtype), new(saved, input.dtype)


@_kernel("native_dropout")
def _dropout(input: Any, p: float, training: bool | None) -> tuple[Tensor, Tensor] | None:
    if not _is_plain(input) or not training or not 0 < p < 1 or not _in_order(input):
        return None
    return new(input.shape, input.dtype), new(input.shape, torch.bool)


@_kernel("_log_softmax")
def _log_softmax(input: Any, dim: int, half_to_float: bool) -> Tensor | None:
    if not _is_plain(input) or half_to_float or not input.dim() or not _in_order(input):
        return None
    return new(input.shape, input.dtype) if -input.dim() <= dim < input.dim() else None


# Products and sums


@_kernel("addmm")
def _addmm(bias: Any, left: Any, right: Any) -> Tensor | None:
    if not (_is_plain(bias) and _is_plain(left) and _is_plain(right)):
        return None
    if not (bias.dtype is left.dtype is right.dtype) or left.dim() != 2 or right.dim() != 2:
        return None
    shape = (left.shape[0], right.shape[1])
    if left.shape[1] != right.shape[0] or broadcast(tuple(bias.shape), shape) != shape:
        return None
    return new(shape, left.dtype)


@_kernel("mean.dim")
def _mean(input: Any, dim: Any = None, keepdim: bool = False) -> Tensor | None:
    if not _is_plain(input) or not _in_order(input) or not input.dim() or not dim:
        return None
    count = input.dim()
    if any(not -count <= axis < count for axis in dim) or len({axis % count for axis in dim}) < len(dim):
        return None
    dropped = {axis % count for axis in dim}
    sizes = [1 if axis in dropped else size for axis, size in enumerate(input.shape) if keepdim or axis not in dropped]
    return new(tuple(sizes), input.dtype)
