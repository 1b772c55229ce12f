"""Operations that were called before with the same arguments but for values, and need no finding out again.

A network repeats itself: in its blocks, and in the time steps of a recurrent or spiking one, which may make a thousand
calls of forty kinds. What a row says of an operation follows from its function, the shapes, strides and types of its
tensors, and its other arguments; so does the result, where nothing has values. Of

    spikes = potential - threshold        # sub(float32[1, 12, 24, 24], float32[] on the CPU), 25 times

the first call is measured and remembered as a `Repeated`, and the others take it from there, in a sixth of the time:
only where the arguments come from, and below which module the row is, are their own.

That holds while shape functions stand for running. An argument of any other kind (an object, a mask with values, a
sparse tensor, a subclass) makes no signature, and the call is measured each time, as is whatever writes in place.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import EllipsisType, NoneType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archlab.records import Shape

Signature = tuple[Any, ...]
_ATOMS = frozenset([bool, int, str, NoneType, EllipsisType, torch.dtype, torch.memory_format])
"""Classes of arguments that stand in a signature as they are, beside their class: True is no 1."""
_BOUNDS = frozenset([int, NoneType])
_TENSORS = frozenset([Tensor, nn.Parameter])
COMMON = frozenset(
    ["inputs", "outputs", "output_bytes", "dtype", "macs", "elementwise", "uncounted", "detail", "window", "dispatched"]
)
"""Attributes of a `Call` that follow from its signature."""
_META = torch.device("meta")
_strided = torch.strided


class Repeated(NamedTuple):
    """What every call of one signature has in common."""

    row: dict[str, Any]
    """Attributes of its `Call`."""
    made: tuple[Shape, Shape, torch.dtype] | None
    """Shape, strides and type of a result of its own; None where the result is a view, which torch makes each time."""


def signature(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Signature, list[Tensor]] | None:
    """All that a row and its result follow from, and the tensors among the arguments.

    None where there may be more to it; so it is under autocast, which decides by what surrounds the call.
    """
    parts: list[Any] = [function, torch.get_default_dtype()]
    given: list[Tensor] = []
    if torch._C._is_any_autocast_enabled() or not _described(args, parts, given):
        return None
    if kwargs:
        parts += kwargs
        if "out" in kwargs or not _described(kwargs.values(), parts, given):
            return None
    return tuple(parts), given


def _described(items: Iterable[Any], parts: list[Any], given: list[Tensor]) -> bool:
    """Adds what a signature has of some arguments, and the tensors in them; whether that is all there is."""
    for item in items:
        kind = type(item)
        if kind in _TENSORS:
            if item.layout is not _strided or item.is_nested or item.is_complex():
                return False
            if not item.is_meta and (item.dim() or not item.is_floating_point()):
                return False  # its values may decide; those of a single fraction decide no shape
            given.append(item)
            parts += (item.shape, item.stride(), item.dtype, item.is_meta)
        elif kind in _ATOMS:
            parts += (kind, item)
        elif kind is float:
            parts += (kind, item or str(item))  # 0.0 equals -0.0, which is written otherwise
        elif kind is tuple or kind is list or kind is torch.Size:
            parts += (kind, len(item))
            if not _described(item, parts, given):
                return False
        elif kind is slice:
            bounds = (item.start, item.stop, item.step)
            if any([type(bound) not in _BOUNDS for bound in bounds]):
                return False
            parts += (kind, bounds)
        else:
            return False
    return True


def repeated(row: dict[str, Any], out: object, given: list[Tensor], *, is_view: bool) -> Repeated | None:
    """What to remember of a call that has been measured; None where its result isn't one plain tensor.

    Args:
        row: attributes of its `Call`.
        out: what it gave.
        given: the tensors among its arguments.
        is_view: whether the result may share the elements of an argument.
    """
    if type(out) is not Tensor or not out.is_meta or out.layout is not _strided or out.is_nested or out.requires_grad:
        return None
    storage = out.untyped_storage()._cdata
    if out._is_view() or any(item.is_meta and item.untyped_storage()._cdata == storage for item in given):
        return Repeated(row, None) if is_view else None
    return Repeated(row, (tuple(out.shape), out.stride(), out.dtype))


def new_result(made: tuple[Shape, Shape, torch.dtype]) -> Tensor:
    """A tensor without values."""
    shape, strides, dtype = made
    return torch.empty_strided(shape, strides, dtype=dtype, device=_META)
