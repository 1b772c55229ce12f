"""The arithmetic that a graph does on shapes, on numbers that are known.

Exporters write `x.reshape(x.size(0), -1, x.size(3) // 2)` as operators: the shape is taken, a size is picked, divided,
put together with others and given to the reshape. With sizes that are known all of it is known. Tensors of more than
1024 elements are left alone, and so is every operator that isn't here: nothing of the network itself is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from archlab.onnx.reading import LARGEST_CONSTANT
from archlab.records import Shape

Array = np.ndarray[Any, Any]
_NUMPY = {1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8"}
"""numpy's types by ONNX's numbers of them."""


def value(kind: str, inputs: Sequence[Array | None], settings: Mapping[str, Any]) -> Array | None:
    """What an operator makes of numbers; None where it isn't known, or more than shapes need.

    >>> value("Div", [np.array(7), np.array(2)], {}).item()
    3
    """
    rule = _RULES.get(kind)
    if rule is None or any(item is None for item in inputs[:1]):
        return None
    try:
        with np.errstate(all="ignore"):
            found = np.asarray(rule(settings, *inputs))
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError, AttributeError, KeyError, ZeroDivisionError):
        return None  # the graph is wrong there, and whatever reads it says so
    return found if found.size <= LARGEST_CONSTANT and found.dtype != object else None


def shape_value(shape: Shape, settings: Mapping[str, Any]) -> Array:
    """What `Shape` makes of a tensor of this shape."""
    return np.array(shape[settings.get("start", 0) : settings.get("end")], dtype="i8")


def _pair(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda settings, left, right: function(left, right)


def _divided(settings: Any, left: Any, right: Any) -> Any:
    if left.dtype.kind not in "iu":
        return left / right
    quotient = np.abs(left) // np.abs(right)  # ONNX rounds towards zero
    return (quotient * np.sign(left) * np.sign(right)).astype(left.dtype)


def _modulo(settings: Any, left: Any, right: Any) -> Any:
    return np.fmod(left, right) if settings.get("fmod", 0) else np.mod(left, right)


def _axes(settings: Any, given: Any) -> tuple[int, ...] | None:
    found = settings.get("axes") if given is None else given.reshape(-1).tolist()
    return None if found is None else tuple(found)


def _unsqueezed(settings: Any, data: Any, axes: Any = None) -> Any:
    return np.expand_dims(data, _axes(settings, axes) or ())


def _squeezed(settings: Any, data: Any, axes: Any = None) -> Any:
    return np.squeeze(data, _axes(settings, axes))


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    def rule(settings: Any, data: Any, axes: Any = None) -> Any:
        along = _axes(settings, axes) or None
        return function(data, axis=along, keepdims=bool(settings.get("keepdims", 1))).astype(data.dtype)

    return rule


def _sliced(settings: Any, data: Any, *given: Any) -> Any:
    names = ("starts", "ends", "axes", "steps")
    parts = {name: settings.get(name) for name in names}
    parts |= {name: item.reshape(-1).tolist() for name, item in zip(names, given, strict=False) if item is not None}
    axes = parts["axes"] or range(len(parts["starts"]))
    steps = parts["steps"] or [1] * len(parts["starts"])
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, parts["starts"], parts["ends"], steps, strict=True):
        stop = None if step < 0 and end < -data.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return data[tuple(index)]


def _reshaped(settings: Any, data: Any, shape: Any) -> Any:
    sizes = [data.shape[place] if size == 0 else int(size) for place, size in enumerate(shape.tolist())]
    return data.reshape(sizes)


def _small(shape: Sequence[int]) -> tuple[int, ...]:
    if prod(shape) > LARGEST_CONSTANT:
        raise ValueError("too large to be a shape")
    return tuple(shape)


def _filled(settings: Any, shape: Any) -> Any:
    from onnx.numpy_helper import to_array

    filling = to_array(settings["value"]).reshape(-1)[0] if "value" in settings else np.float32(0)
    return np.full(_small(shape.tolist()), filling)


def _range(settings: Any, start: Any, stop: Any, step: Any) -> Any:
    _small([max(0, int(np.ceil((stop - start) / step)))])
    return np.arange(start.item(), stop.item(), step.item(), dtype=start.dtype)


def _expanded(settings: Any, data: Any, shape: Any) -> Any:
    return np.broadcast_to(data, _small(np.broadcast_shapes(data.shape, tuple(shape.tolist()))))


def _joined(settings: Any, *parts: Any) -> Any:
    if any(part is None for part in parts):
        raise ValueError("a part isn't known")
    return np.concatenate(parts, axis=settings.get("axis", 0))


def _folded(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def rule(settings: Any, first: Any, *rest: Any) -> Any:
        for item in rest:
            first = function(first, item)
        return first

    return rule


_RULES: dict[str, Callable[..., Any]] = {
    "Abs": lambda settings, data: np.abs(data),
    "Add": _pair(np.add),
    "And": _pair(np.logical_and),
    "Cast": lambda settings, data: data.astype(_NUMPY[settings["to"]]),
    "CastLike": lambda settings, data, like: data.astype(like.dtype),
    "Ceil": lambda settings, data: np.ceil(data),
    "Concat": _joined,
    "ConstantOfShape": _filled,
    "Div": _divided,
    "Equal": _pair(np.equal),
    "Expand": _expanded,
    "Floor": lambda settings, data: np.floor(data),
    "Gather": lambda settings, data, index: np.take(data, index, axis=settings.get("axis", 0)),
    "Greater": _pair(np.greater),
    "GreaterOrEqual": _pair(np.greater_equal),
    "Identity": lambda settings, data: data,
    "Less": _pair(np.less),
    "LessOrEqual": _pair(np.less_equal),
    "Max": _folded(np.maximum),
    "Min": _folded(np.minimum),
    "Mod": _modulo,
    "Mul": _pair(np.multiply),
    "Neg": lambda settings, data: -data,
    "Not": lambda settings, data: np.logical_not(data),
    "Or": _pair(np.logical_or),
    "Pow": lambda settings, data, power: np.power(data, power).astype(data.dtype),
    "Range": _range,
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
    "ReduceSum": _reduced(np.sum),
    "Reshape": _reshaped,
    "Slice": _sliced,
    "Sqrt": lambda settings, data: np.sqrt(data),
    "Squeeze": _squeezed,
    "Sub": _pair(np.subtract),
    "Transpose": lambda settings, data: np.transpose(data, settings.get("perm")),
    "Unsqueeze": _unsqueezed,
    "Where": lambda settings, which, left, right: np.where(which, left, right),
}
