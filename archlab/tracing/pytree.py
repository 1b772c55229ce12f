"""The tensors in whatever a layer takes or returns."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archlab.records import Shape

NESTING_DEPTH = 8
"""Containers within containers that are looked into."""
_ATOMS = (str, bytes, int, float, complex, bool, type(None), torch.Size, torch.dtype, torch.device)
_USUAL_ATOMS = frozenset(_ATOMS)
"""The same, asked by class alone: that is quicker, and a subclass is found by the other."""
_OPAQUE = (nn.Module, type, types.FunctionType, types.MethodType, types.ModuleType, types.BuiltinFunctionType)


def tensors(value: object, depth: int = NESTING_DEPTH) -> list[Tensor]:
    """All tensors in a value, in order.

    Looks into mappings, sequences, sets, dataclasses and objects with attributes (a model's own output class), not into
    modules, classes or functions.
    """
    if isinstance(value, Tensor):
        return [value]
    found: list[Tensor] = []
    _walk(value, depth, found)
    return found


def _walk(value: object, depth: int, found: list[Tensor]) -> None:
    kind = type(value)
    if kind is tuple or kind is list:  # the usual ones first: a network makes thousands of calls
        items: Any = value
    elif isinstance(value, Tensor):
        found.append(value)
        return
    elif isinstance(value, _ATOMS):
        return
    elif kind is dict or isinstance(value, Mapping):
        items = value.values()  # type: ignore[attr-defined]
    elif isinstance(value, (tuple, list, set, frozenset)):
        items = value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, item.name, None) for item in dataclasses.fields(value)]
    elif isinstance(value, _OPAQUE):
        return
    else:
        items = getattr(value, "__dict__", {}).values()
    if depth == 0:
        return
    for item in items:
        kind = type(item)
        if kind is Tensor:
            found.append(item)
        elif kind not in _USUAL_ATOMS:
            _walk(item, depth - 1, found)


def shape_of(tensor: Tensor) -> Shape:
    """The shape as integers; of a nested tensor, as far as it has one."""
    try:
        return tuple(tensor.shape)
    except RuntimeError:  # strided nested tensors have no shape
        return (tensor.size(0),)


def dtype_name(tensor: Tensor) -> str:
    """The element type as torch names it: `float32`."""
    return _DTYPE_NAMES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch.")


def nbytes(tensor: Tensor) -> int:
    """Bytes of the elements."""
    return tensor.numel() * tensor.element_size()


def version(tensor: Tensor) -> int:
    """How often the tensor was changed in place; inference tensors don't count it."""
    return 0 if tensor.is_inference() else tensor._version


def convert(value: Any, change: Any) -> Any:
    """The same nested containers with `change` applied to each tensor; untouched where there is none."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) in (list, tuple, set):
        return type(value)(convert(item, change) for item in value)
    if isinstance(value, PackedSequence):
        # Its batch sizes are read by Python, and torch takes them on the CPU alone; the order is of the data's device.
        orders = (value.sorted_indices, value.unsorted_indices)
        return PackedSequence(change(value.data), value.batch_sizes, *(convert(order, change) for order in orders))
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(convert(item, change) for item in value))
    if type(value) is dict:
        return {key: convert(item, change) for key, item in value.items()}
    return value


_DTYPE_NAMES = {torch.float32: "float32", torch.int64: "int64", torch.float16: "float16", torch.bfloat16: "bfloat16"}
