"""Operations that take functions: a choice, a loop, attention whose scores a function changes.

Torch has a rule for each in its compiler's modes, and none for a mode that only listens. Written in Python they are

    torch.cond(x.sum() > 0, double, negate, (x,))      # double(x) if x.sum() > 0 else negate(x)
    torch.while_loop(unfinished, step, (i, x))         # while unfinished(i, x): i, x = step(i, x)

and so they are run here, such that what the functions do has its own rows: those of the branch that is taken, of as
many rounds as the loop makes. A choice by values that nothing has asks for arithmetic, as it would in an `if`.
Attention by `flex_attention` is one row, counted in full whatever its mask leaves out, as causal attention is. Others
run where nobody listens, and are named as uncounted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.utils._python_dispatch import _disable_current_modes


def is_higher_order(function: object) -> bool:
    """Whether a function that torch announces takes functions."""
    return isinstance(function, HigherOrderOperator)


def written_in_python(name: str) -> Callable[..., Any] | None:
    """The same operation as plain Python; None if there is none."""
    return _IN_PYTHON.get(name)


def where_nobody_listens(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What the operation gives, with no mode on that it would need a rule for."""
    with _disable_current_modes():
        return function(*args, **kwargs)


def _cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    return true_fn(*operands) if bool(pred) else false_fn(*operands)


def _while_loop(
    cond_fn: Callable[..., Any],
    body_fn: Callable[..., Any],
    carried_inputs: Any,
    additional_inputs: Any = (),
    **settings: Any,
) -> Any:
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried, *additional_inputs)):
        out = body_fn(*carried, *additional_inputs)
        carried = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    return carried


def _map(function: Callable[..., Any], xs: Any, pos_args: Any = (), **settings: Any) -> Any:
    """`function` on each slice along the first axis of the tensors `xs`, its results stacked."""
    rows = [function(*row, *pos_args) for row in zip(*(tensor.unbind() for tensor in xs), strict=True)]
    if isinstance(rows[0], Tensor):
        return torch.stack(rows)
    return type(rows[0])(torch.stack(parts) for parts in zip(*rows, strict=True))


def _scan(function: Callable[..., Any], init: Any, xs: Any, additional_inputs: Any = (), **settings: Any) -> Any:
    """`function` on what it carries and each slice along the first axis; what it carries last, and the rest stacked."""
    carried, rows = list(init), []
    for row in zip(*(tensor.unbind() for tensor in xs), strict=True):
        out = list(function(*carried, *row, *additional_inputs))
        carried = out[: len(carried)]
        rows.append(out[len(carried) :])
    return [*carried, *(torch.stack(parts) for parts in zip(*rows, strict=True))]


_IN_PYTHON: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "map_impl": _map,
    "scan": _scan,
}
