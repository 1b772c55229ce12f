"""What shape functions share: tensors without values, and checks of what an operation is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from archlab.formulas import expand
from archlab.records import Shape
from archlab.tracing.pytree import dtype_name
from archlab.tracing.quick.shape_function import MismatchError, UnknownCallError, is_dense

_empty = torch.empty
_META = torch.device("meta")


def new(shape: Shape, dtype: torch.dtype) -> Tensor:
    """A tensor without values."""
    return _empty(shape, dtype=dtype, device=_META)


def like(tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A new tensor without values, of the same shape and, as pointwise operations keep it, the same order of axes."""
    if tensor.is_contiguous():
        return _empty(tensor.shape, dtype=dtype or tensor.dtype, device=_META)
    order = sorted(range(tensor.dim()), key=tensor.stride, reverse=True)
    strides = [0] * tensor.dim()
    step = 1
    for axis in reversed(order):
        strides[axis] = step
        step *= max(1, tensor.shape[axis])
    return torch.empty_strided(tensor.shape, strides, dtype=dtype or tensor.dtype, device=_META)


def check_same_type(input: Tensor, weight: Tensor) -> None:
    """Hold that two factors have one element type, outside autocast; without values torch would let others pass.

    Raises:
        MismatchError: they have two.
    """
    if input.dtype is not weight.dtype and not any(torch.is_autocast_enabled(kind) for kind in ("cpu", "cuda")):
        raise MismatchError(f"{dtype_name(input)} can't be multiplied with {dtype_name(weight)}")


def check_floating(input: Tensor) -> None:
    """Hold that the elements are floating-point or complex numbers.

    Raises:
        MismatchError: they are not.
    """
    if not (input.is_floating_point() or input.is_complex()):
        raise MismatchError(f"the layer takes floating-point numbers, and was given {dtype_name(input)}")


def axis_of(dim: object, dimensions: int) -> int:
    """An axis counted from the front.

    Raises:
        UnknownCallError: it is no number, or there is no such axis.
    """
    if not isinstance(dim, int) or not -dimensions <= dim < dimensions:
        raise UnknownCallError
    return dim % dimensions


def per_axis(value: object, axes: int) -> tuple[Any, ...]:
    """A setting as one number per axis: `3` and `[3]` are `(3, 3)` on two axes.

    Raises:
        UnknownCallError: it is neither one number nor one per axis.
    """
    if type(value) is tuple and len(value) == axes:
        return value
    if not isinstance(value, (int, tuple, list)) or (not isinstance(value, int) and len(value) not in (1, axes)):
        raise UnknownCallError
    return expand(value, axes)


def check_tensors(*operands: object) -> None:
    """Hold that operands are dense tensors.

    Raises:
        UnknownCallError: one is not.
    """
    for operand in operands:
        if not isinstance(operand, Tensor) or not is_dense(operand):
            raise UnknownCallError


def view_of(function: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    """The view that torch itself makes.

    Raises:
        UnknownCallError: torch refuses, and says why when the operation is run.
    """
    try:
        return function(*args, **options)
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        raise UnknownCallError from error
