"""Arguments with and without values."""

from __future__ import annotations

import torch
from torch import Tensor

from archlab.errors import InputError
from archlab.tracing.inputs.arguments import Arguments
from archlab.tracing.pytree import convert

KEPT_ELEMENTS = 2**24
"""Elements of an input that may keep its values, or get some, where the others have none: a mask over 4,096 tokens."""


def without_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the meta device."""
    changed: Arguments = convert(given, _empty)
    return changed


def with_known_values(given: Arguments) -> Arguments:
    """The same arguments on the meta device, but new ones on the CPU of the integers and booleans that have values.

    Those are masks, lengths, positions and token numbers, which networks read; and there are few of them. Single
    numbers of any type are kept too.
    """

    def keep(tensor: Tensor) -> Tensor:
        is_kept = not tensor.dim() or not (tensor.is_floating_point() or tensor.is_complex())
        if tensor.is_meta or not is_kept or tensor.numel() > KEPT_ELEMENTS or tensor.layout is not torch.strided:
            return _empty(tensor)
        return _own(tensor.detach().to("cpu", copy=True))

    changed: Arguments = convert(given, keep)
    return changed


def with_assumed_values(given: Arguments) -> Arguments:
    """As `with_values`, but what is large stays on the meta device."""
    generator = torch.Generator().manual_seed(0)

    def assume(tensor: Tensor) -> Tensor:
        return _empty(tensor) if tensor.numel() > KEPT_ELEMENTS else _own(_filled(tensor, generator))

    changed: Arguments = convert(given, assume)
    return changed


def with_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the CPU, with its values if it has any.

    Else they are zeros for integers, which are valid in any look-up, and uniform random numbers for the others.
    """
    generator = torch.Generator().manual_seed(0)
    changed: Arguments = convert(given, lambda tensor: _filled(tensor, generator))
    return changed


def _empty(tensor: Tensor) -> Tensor:
    if tensor.is_nested and tensor.layout is torch.strided:
        raise InputError(
            "an input is a nested tensor of the strided layout, which has no shape: expected layout=torch.jagged, as "
            "in torch.nested.nested_tensor(rows, layout=torch.jagged)"
        )
    if tensor.layout is not torch.strided:
        return tensor.detach().to("meta")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _filled(tensor: Tensor, generator: torch.Generator) -> Tensor:
    if not tensor.is_meta:
        return tensor.detach().to("cpu", copy=True)
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape, dtype=tensor.dtype)
    return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)


def _own(tensor: Tensor) -> Tensor:
    """The tensor, as one that this run made and may change."""
    tensor._archlab_made = True  # type: ignore[attr-defined]
    return tensor
