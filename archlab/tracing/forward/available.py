"""Whether real arithmetic would have the memory that it needs."""

from __future__ import annotations

from torch import nn

from archlab.errors import ForwardError
from archlab.memory import free_bytes
from archlab.networks.members import parameters
from archlab.records import Trace


def check_memory(network: nn.Module, name: str, reason: str) -> None:
    """Hold that the parameters fit into the memory that is free.

    Raises:
        ForwardError: they do not.
    """
    needed, free = needed_and_free(network)
    if needed > free:
        raise ForwardError(
            f"{name} can't be traced without arithmetic, since {reason}, and its {needed / 1e9:.1f} GB of parameters "
            f"don't fit into the {free / 1e9:.1f} GB of memory that are free"
        )


def free_for(network: nn.Module, partial: Trace) -> bool:
    """Whether real arithmetic would have the memory for the parameters, and for twice the largest result until now."""
    needed, free = needed_and_free(network)
    largest = max((layer.output_bytes for layer in partial.layers), default=0)
    return needed + 2 * largest <= free


def needed_and_free(network: nn.Module) -> tuple[int, int]:
    """Bytes of the parameters, and those that are free; as many where nobody says."""
    needed = sum(parameter.numel() * parameter.element_size() for parameter in parameters(network))
    free = free_bytes()
    return needed, needed if free is None else free
