"""What an operation gives and takes by its shape function."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from archlab.formulas import explicit_equation
from archlab.tracing.forward.operations import Operation, Role
from archlab.tracing.quick.shape_function import Result, ShapeFunctionError, raise_refusal, registered_function


def result_of(known: Operation, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    """What an operation gives and takes by its shape function; views are run, since that takes no arithmetic."""
    registration = registered_function(known.name) if known.is_torchs else None
    if registration is None:
        return (function(*args, **kwargs), 0, 0) if known.role in (Role.VIEW, Role.CONVERSION) else None
    if known.name == "einsum" and isinstance(args[0], str):
        args = (explicit_equation(args[0], [item.dim() for item in args[1:] if isinstance(item, Tensor)]), *args[1:])
    try:
        result = registration.result(args, kwargs)
    except ShapeFunctionError as fault:
        raise_refusal(fault, function, args, kwargs)
    if result is None or not known.in_place or known.name == "setitem":
        return result
    target, made = args[0], result[0]
    return (target, *result[1:]) if target.shape == made.shape and target.dtype is made.dtype else None
