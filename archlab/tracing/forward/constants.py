"""Tensors that a network makes while it runs, and then writes results into.

A network without values runs on the meta device, but what its `forward` makes of nothing stays on the CPU, where masks
and positions have values:

    out = torch.zeros(1, 4, 16, 16)    # on the CPU, and so a constant
    out[:] = self.first(x)             # from here on it holds what has no values
    return self.second(out)            # takes the result of the assignment, and not a constant

So `out` itself, the same Python object, becomes a tensor on the meta device before it is written to. Where a view of it
has a name (`top = out[:, :2]`, then `top.copy_(y)`), neither can be exchanged without the other: then both stay, and
are told what was written. Their values are out of date from then on: whoever takes one takes a tensor without values.
"""

from __future__ import annotations

from typing import Any
from weakref import getweakrefs

import torch
from torch import Tensor

from archlab.tracing.pytree import tensors


def move_constant(tensor: object) -> Tensor | None:
    """Put a tensor on the meta device if this run made it; the tensor itself, if this run made it and it has to stay.

    A tensor of somebody else's stays as it is: it would be changed beyond the trace.
    """
    if not isinstance(tensor, Tensor) or tensor.is_meta or not hasattr(base_of(tensor), "_archlab_made"):
        return None
    if base_of(tensor) is not tensor or tensor._use_count() > 1 or getweakrefs(tensor):  # type: ignore[attr-defined]
        return tensor
    moved = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    moved.__dict__.update(tensor.__dict__)
    torch.utils.swap_tensors(tensor, moved)  # type: ignore[no-untyped-call]
    return None


def write_through(stayed: Tensor, written: Tensor) -> None:
    """Let a constant that stayed, and its base, say where that comes from which was written to a stand-in for it."""
    from archlab.tracing.receptive.fields import write_through as write_regions

    base = base_of(stayed)
    base._archlab_stale = True  # type: ignore[attr-defined]
    for tensor in (stayed, base):
        tensor._archlab = written._archlab  # type: ignore[attr-defined]
    if regions := getattr(written, "_archlab_regions", ()):
        stayed._archlab_regions = regions  # type: ignore[attr-defined]
        if base is not stayed:
            write_regions(stayed, base)


def is_stale(tensor: Tensor) -> bool:
    """Whether a tensor has values that aren't those which the network has written."""
    return hasattr(base_of(tensor), "_archlab_stale")


def base_of(tensor: Tensor) -> Tensor:
    """The tensor whose elements it has: what it is a view of, or was detached from; itself, if neither."""
    base = tensor._base if tensor._is_view() and tensor._base is not None else tensor
    return getattr(base, "_archlab_shares", base)


def written_tensors(in_place: bool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The tensors that a call writes its results into: its first argument's where it works in place, and `out`."""
    if not in_place and not kwargs:  # most calls
        return []
    return tensors((args[0] if in_place and args else None, kwargs.get("out")))
