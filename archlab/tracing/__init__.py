"""What a network is: shapes, parameters, cost and memory, layer by layer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from archlab.formulas import Cost
from archlab.tracing.costs import aten as aten  # registers the costs of torch's own operations
from archlab.tracing.costs import backward as backward  # and of their gradients
from archlab.tracing.costs.registry import register_cost
from archlab.tracing.inputs import AsIs
from archlab.tracing.measurement import trace

if TYPE_CHECKING:
    from archlab.tracing.memory.decoding import decoding as decoding
    from archlab.tracing.memory.fitting import fits as fits
    from archlab.tracing.verification.explanation import verify as verify

_HOMES = {
    "decoding": "archlab.tracing.memory.decoding",
    "fits": "archlab.tracing.memory.fitting",
    "verify": "archlab.tracing.verification.explanation",
}

__all__ = ["AsIs", "Cost", "decoding", "fits", "register_cost", "trace", "verify"]


def __getattr__(name: str) -> object:
    """What a trace alone doesn't need is imported on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'archlab.tracing' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
