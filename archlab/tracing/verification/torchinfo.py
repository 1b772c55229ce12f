"""What torchinfo says about a network, in terms of archlab's rows."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from archlab.errors import ArchlabError
from archlab.records import Shape
from archlab.tracing.forward.location import first_line
from archlab.tracing.inputs import Arguments


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One row of torchinfo's summary."""

    module: nn.Module
    call: int
    """Which of the module's calls this is, from 1."""
    inputs: Shape
    outputs: Shape
    parameters: int
    macs: int
    is_leaf: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """All of torchinfo's summary."""

    version: str
    rows: tuple[SummaryRow, ...]
    parameters: int
    macs: int


def summarise(network: nn.Module, given: Arguments) -> Summary:
    """Torchinfo's summary of a network that it may change.

    Raises:
        ArchlabError: torchinfo can't run the network.
    """
    import torchinfo

    args, kwargs = given
    try:
        found = torchinfo.summary(
            network,
            input_data=list(args) if args else dict(kwargs),
            depth=10**6,
            verbose=0,
            device=None,
            mode="train" if network.training else "eval",
            **(kwargs if args else {}),
        )
    except Exception as error:
        cause = error.__cause__ or error
        reason = f"{type(cause).__name__}: {first_line(cause)}"
        raise ArchlabError(f"torchinfo can't run {type(network).__name__}: {reason}") from error
    calls: dict[int, int] = {}
    rows = []
    for info in found.summary_list:
        if not info.executed:
            continue
        calls[info.layer_id] = calls.get(info.layer_id, 0) + 1
        rows.append(
            SummaryRow(
                info.module,
                calls[info.layer_id],
                _shape(info.input_size),
                _shape(info.output_size),
                info.num_params,
                info.macs if info.is_leaf_layer else 0,
                info.is_leaf_layer,
            )
        )
    return Summary(torchinfo.__version__, tuple(rows), found.total_params, found.total_mult_adds)


def mult_adds(name: str, size: int, kind: str, output: Shape) -> int:
    """The mult-adds that torchinfo counts for one parameter of a leaf layer."""
    if name in ("weight", "bias"):
        positions = prod((*output[:1], *output[2:])) if "Conv" in kind else prod(output[:1])
        return size * positions
    return size * prod(output[:2]) if "weight" in name or "bias" in name else 0


def _shape(shape: Any) -> Shape:
    sizes = shape[0] if shape and isinstance(shape[0], (list, tuple)) else shape
    return tuple(int(size) for size in sizes or ())
