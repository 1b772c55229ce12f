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

from collections.abc import Callable, Iterable
from types import EllipsisType, NoneType
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from archlab.records import Shape
from archlab.tracing.forward.call_tree import Call, CallTree, is_under_vmap
from archlab.tracing.forward.operations import Operation, Role

if TYPE_CHECKING:
    from archlab.tracing.forward.module_tree import State
    from archlab.tracing.quick.shape_function import Result

Signature = tuple[Any, ...]
_ATOMS = frozenset([bool, int, str, NoneType, EllipsisType, torch.dtype, torch.memory_format])
"""Classes of arguments that stand in a signature as they are, beside their class: True is no 1."""
_BOUNDS = frozenset([int, NoneType])
_TENSORS = frozenset([Tensor, nn.Parameter])
_COMMON = frozenset(
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
            if not _BOUNDS.issuperset(map(type, bounds)):
                return False
            parts += (kind, bounds)
        else:
            return False
    return True


def remember(tree: CallTree, signed: Signature, call: Call, out: object, given: list[Tensor], *, is_view: bool) -> None:
    """Keep what a call that was measured has in common with others of its signature, if its result is a plain tensor.

    Args:
        tree: where it is kept.
        signed: the signature.
        call: the row.
        out: what it gave.
        given: the tensors among its arguments.
        is_view: whether the result may share the elements of an argument.
    """
    if type(out) is not Tensor or not out.is_meta or out.layout is not _strided or out.is_nested or out.requires_grad:
        return
    storage = out.untyped_storage()._cdata
    shares = out._is_view() or any(item.is_meta and item.untyped_storage()._cdata == storage for item in given)
    if is_view or not shares:
        row = {name: value for name, value in vars(call).items() if name in _COMMON}
        tree.repeated[signed] = Repeated(row, None if shares else (tuple(out.shape), out.stride(), out.dtype))


def repeat(
    tree: CallTree, known: Operation, before: Repeated, given: list[Tensor], view: Callable[[], Result | None]
) -> Any:
    """What a call gives, filed as one of the same signature was before; None where it must be measured.

    Args:
        tree: where it is filed.
        known: the function.
        before: what is known of calls of the signature.
        given: the tensors among the arguments.
        view: makes the result, if that is a view.
    """
    parent = tree.parent
    origins: dict[int, None] = {}
    states: list[State] = []
    for tensor in given:
        mark = getattr(tensor, "_archlab", None)
        if type(mark) is int:
            origins[mark] = None
        elif mark or (mark is not None and type(tensor) is Tensor):
            states += mark
        else:
            return None  # nobody knows it yet
    is_row = origins or known.role is Role.PRODUCT
    if not is_row and known.role is not Role.VIEW:
        is_row = any(state.is_parameter for state in states)
    if not is_row or parent is None or is_under_vmap():
        return None
    if before.made is not None:
        shape, strides, dtype = before.made
        out = torch.empty_strided(shape, strides, dtype=dtype, device=_META)
    else:
        result = view()
        if result is None:
            return None
        out = result[0]
    call = Call(parent, tree.path_of(known.name), known.name, None, parent.number)
    call.__dict__.update(before.row)
    call.origins = tuple(origins)
    if tree.locate is not None:
        call.source = tree.locate()
    tree.add(call)
    for state in states:
        if state.taken_by is None:
            state.taken_by = call
    out._archlab = call.index  # type: ignore[attr-defined]
    return out
