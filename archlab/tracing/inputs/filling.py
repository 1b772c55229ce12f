"""Arguments with and without values."""

from __future__ import annotations

import torch
from torch import Tensor

from archlab.tracing.inputs.arguments import Arguments
from archlab.tracing.pytree import convert


def without_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the meta device."""

    def empty(tensor: Tensor) -> Tensor:
        if tensor.layout is not torch.strided:
            return tensor.detach().to("meta")
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    changed: Arguments = convert(given, empty)
    return changed


def with_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the CPU, with its values if it has any.

    Else they are zeros for integers, which are valid in any look-up, and uniform random numbers for the others.
    """
    generator = torch.Generator().manual_seed(0)

    def fill(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor.detach().to("cpu", copy=True)
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)

    changed: Arguments = convert(given, fill)
    return changed
