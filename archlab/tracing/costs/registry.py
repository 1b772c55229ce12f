"""The registry of costs: from an operation's name to a pure function of shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.formulas import FREE, REAL_MACS_PER_COMPLEX, Cost
from archlab.tracing.costs.names import FREE_OPERATIONS, POINTWISE, REDUCTIONS, UNKNOWN_OPERATIONS
from archlab.tracing.pytree import convert, shape_of, tensors

Formula = TypeVar("Formula", bound=Callable[..., "int | Cost"])

_COSTS: dict[str, Callable[..., int | Cost]] = {}


def register_cost(*operations: object) -> Callable[[Formula], Formula]:
    """A decorator that gives one or more operations a cost, and returns the function as it is.

    The function is called with the operation's own arguments, each tensor replaced by its shape (a tuple of integers),
    and with the keyword `output`: the shape of the result, or a tuple of shapes if there are several. It returns the
    MACs as an integer, or a `Cost` with `macs` and `elementwise`.

    Args:
        operations: what torch dispatches: `torch.ops.mylib.sparse_conv`, one of its overloads, or its name
            `"mylib::sparse_conv"`. All overloads of a name share one cost.

    Raises:
        ValueError: an operation has a cost already.

    >>> @register_cost("example::gather_product")
    ... def gather_product(input, weight, indices, *, output):
    ...     return indices[0] * weight[0] * weight[1]  # a matrix-vector product for each index
    """

    def add(formula: Formula) -> Formula:
        for name in map(operation_name, operations):
            if name in _COSTS:
                raise ValueError(f"{name} has a cost already: {_COSTS[name].__qualname__} in {_COSTS[name].__module__}")
            _COSTS[name] = formula
        return formula

    return add


def operation_name(operation: object) -> str:
    """The qualified name without overload: `aten::addmm`."""
    if isinstance(operation, str):
        return operation
    schema = getattr(operation, "_schema", None)
    if schema is not None:
        return str(schema.name)
    return str(getattr(operation, "_qualified_op_name", operation))


def cost_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> Cost | None:
    """What a dispatched operation takes; None if nobody knows."""
    name = operation_name(func)
    short = _short_name(name)
    if short not in FREE_OPERATIONS:
        layouts = {item.layout for item in args if isinstance(item, Tensor)} - {torch.strided}
        if layouts == {torch.jagged}:
            return _jagged_cost(func, args, kwargs, out)
        if layouts:
            return None  # the work depends on the values of a sparse tensor
    formula = _COSTS.get(name) or _COSTS.get(name.removesuffix("_"))  # in place: `addmm_` costs what `addmm` does
    if formula is not None:
        shapes = convert(args, shape_of)
        named = convert(kwargs, shape_of)
        cost = formula(*shapes, **named, output=convert(out, shape_of))
        cost = cost if isinstance(cost, Cost) else Cost(int(cost))
        if cost.macs and any(tensor.is_complex() for tensor in tensors(out)):
            cost = cost._replace(macs=cost.macs * REAL_MACS_PER_COMPLEX)
        return cost
    if short in FREE_OPERATIONS or getattr(func, "is_view", False):
        return FREE
    if short in UNKNOWN_OPERATIONS or "_backward" in short:
        return None
    if short.startswith("_foreach_"):
        return Cost(0, sum(item.numel() for item in tensors(args[0])))
    if short in REDUCTIONS:
        return Cost(0, args[0].numel())
    if torch.Tag.pointwise in getattr(func, "tags", ()) or short in POINTWISE or _is_pointwise_primitive(name):
        return Cost(0, sum(item.numel() for item in tensors(out)))
    return None


def _jagged_cost(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> Cost | None:
    """What an operation on sequences of different lengths takes, which lie behind one another as rows of one tensor.

    A linear layer multiplies these rows, and pointwise work is done on them; a product of two such tensors pairs the
    rows of each sequence, for which there is no formula here.
    """
    inside = convert((args, kwargs, out), lambda item: item._values if item.layout is torch.jagged else item)
    short = _short_name(operation_name(func))
    if short in ("linear", "matmul"):
        left, right = inside[0][:2]
        is_layer = args[1].layout is torch.strided and right.dim() == 2 and args[0].layout is torch.jagged
        return Cost(inside[2].numel() * left.shape[-1]) if is_layer else None
    cost = cost_of(func, *inside)
    return cost if cost is not None and not cost.macs else None


def _is_pointwise_primitive(name: str) -> bool:
    """Whether it is one of torch's primitives (`prims::add`, in forward-mode derivatives) that is named like such."""
    home, _, short = name.partition("::")
    packet = getattr(torch.ops.aten, short, None) if home == "prims" else None
    return packet is not None and any(
        torch.Tag.pointwise in getattr(packet, overload).tags for overload in packet.overloads()
    )


def _short_name(name: str) -> str:
    """Without namespace, and without the mark of what changes its argument: `addmm` of `aten::addmm_`."""
    short = name.rpartition("::")[2]
    return short if short.endswith("__") else short.removesuffix("_")


def is_classified(name: str) -> bool:
    """Whether somebody has decided what one of torch's own operations costs, or that it has no formula.

    Args:
        name: as the dispatcher has it, with or without overload: `aten::addmm_`, `aten::addmm.out`.
    """
    name = name.partition(".")[0]
    short = _short_name(name)
    if (
        {name, name.removesuffix("_")} & _COSTS.keys()
        or short.startswith(("_foreach_", "_test_"))
        or "_backward" in short
    ):
        return True
    if short in FREE_OPERATIONS | REDUCTIONS | POINTWISE | UNKNOWN_OPERATIONS:
        return True
    packet = getattr(torch.ops.aten, name.rpartition("::")[2])
    overloads = [getattr(packet, overload) for overload in packet.overloads()]
    return any(overload.is_view or torch.Tag.pointwise in overload.tags for overload in overloads)
