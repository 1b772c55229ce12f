"""Whether a call that fails without values would fail with them too.

It is decided by trying, not by what the message says:

    x @ weight                     # 2x3 and 4x5: refused without values, refused with values: the network's mistake
    torch.ops.mine.twice(x)        # its author wrote nothing for tensors without values; with zeros it works

In the second case the network is run with real arithmetic. Where the exception is Python's own (the network raises it
itself) there is no call to try, and real arithmetic decides.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from archlab.networks.members import parameters
from archlab.tracing.isolation import isolated
from archlab.tracing.pytree import convert, nbytes, tensors

TRIED_BYTES = 2**30
"""Bytes of the arguments up to which a call is tried."""


class Attempt(NamedTuple):
    """A function or one of torch's layers, and what it was called with."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def refuses(attempt: Attempt | None) -> bool:
    """Whether the call fails with zeros on the CPU too, and with ones; False where it can't be tried."""
    if attempt is None:
        return False
    function, args, kwargs = attempt
    layer = function if isinstance(function, nn.Module) else None
    held = list(parameters(layer)) if layer is not None else []
    if any(tensor.is_nested for tensor in tensors((args, kwargs))):
        return False  # no shape of whole numbers to fill
    if sum(nbytes(tensor) for tensor in (*tensors((args, kwargs)), *held)) > TRIED_BYTES:
        return False
    for fill in (torch.zeros, torch.ones):  # an inverse transform refuses a window of zeros
        try:
            with isolated(layer, device="cpu", values=True) if layer is not None else nullcontext(), torch.no_grad():
                function(*convert(args, partial(_filled, fill)), **convert(kwargs, partial(_filled, fill)))
        except Exception:
            continue
        return False
    return True


def _filled(fill: Callable[..., Tensor], tensor: Tensor) -> Tensor:
    if not tensor.is_meta:
        return tensor.detach().clone()
    return fill(tensor.shape, dtype=tensor.dtype)
