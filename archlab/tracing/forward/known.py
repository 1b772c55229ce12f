"""Values of small tables that a network makes on the meta device, and then reads.

A network may make its positions where its input is, `torch.arange(8, device=x.device)`, and ask them something (are
they one sequence, or several?). On the meta device they would have no values, though nothing of the input is in them.
So the same table is made on the CPU beside it, and what is computed from such tables alone is computed there too, as
long as it is small. Where a value is read, it is read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from archlab.tracing.costs.names import words
from archlab.tracing.forward.constants import base_of
from archlab.tracing.pytree import convert

LARGEST = 2**20
"""Elements of a table whose values are kept; a mask of all pairs of tokens isn't."""

_MAKERS = frozenset(["arange", "full", "ones", "zeros", "tensor", "linspace", "eye", "scalar_tensor"])
"""Functions that make the same values each time they are called so."""
_LIKE = frozenset(["full_like", "ones_like", "zeros_like", "new_full", "new_ones", "new_zeros", "new_tensor"])
"""The same, of the shape or type of a tensor whose values don't matter."""

_UNKNOWN = words(
    """
    alpha_dropout bernoulli binomial dropout dropout1d dropout2d dropout3d empty_like feature_alpha_dropout
    feature_dropout fractional_max_pool2d fractional_max_pool3d gumbel_softmax multinomial new_empty normal poisson
    rand_like randint_like randn_like rrelu
    """
)
"""Functions whose results follow from no values: what they draw would disturb the random state."""


def value_of(tensor: Tensor) -> Tensor | None:
    """The values of a tensor, on the CPU: its own, or those of the table beside it; None if they aren't known."""
    if not tensor.is_meta:
        return tensor
    value: Tensor | None = getattr(tensor, "_archlab_value", None)
    return None if value is None or hasattr(base_of(value), "_archlab_stale") else value


def with_known_values(arguments: Any, given: Sequence[Tensor]) -> Any:
    """The same arguments with values for each tensor; None if those of one aren't known."""
    if any(value_of(tensor) is None for tensor in given):
        return None
    return convert(arguments, value_of)


def forget_values(changed: Sequence[Tensor]) -> None:
    """Forget the values of tensors that are changed in place, and of all that share memory with them."""
    for tensor in changed:
        if tensor.is_meta and (value := value_of(tensor)) is not None:
            base_of(value)._archlab_stale = True  # type: ignore[attr-defined]


def keep_values(name: str, function: Any, args: Any, kwargs: Any, given: Sequence[Tensor], out: Any) -> None:
    """Keep the values of a result on the meta device, if they follow from values that are known.

    Args:
        name: the function's name.
        function: what was called.
        args: its positional arguments.
        kwargs: its keyword arguments.
        given: the tensors among the arguments.
        out: what came of it.
    """
    if not isinstance(out, Tensor) or not out.is_meta or out.numel() > LARGEST:
        return
    if name in _MAKERS or name in _LIKE:
        known = convert((args, {**kwargs, "device": "cpu"}), _emptied)
    elif given and name not in _UNKNOWN:
        known = with_known_values((args, kwargs), given)
    else:
        return
    if known is None:
        return
    try:
        value = function(*known[0], **known[1])
    except Exception:  # it is a help, and nothing depends on it
        return
    if isinstance(value, Tensor) and value.shape == out.shape and value.dtype is out.dtype and not value.is_meta:
        out._archlab_value = value  # type: ignore[attr-defined]


def _emptied(tensor: Tensor) -> Tensor:
    return tensor if not tensor.is_meta else torch.empty(tensor.shape, dtype=tensor.dtype)
