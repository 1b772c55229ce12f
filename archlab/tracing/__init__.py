"""What a network is: shapes, parameters, cost and memory, layer by layer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from archlab.tracing import aten as aten  # registers the costs of torch's own operations
from archlab.tracing import quick_constants as quick_constants  # registers quick handlers, as the next two do
from archlab.tracing import quick_layers as quick_layers
from archlab.tracing import recurrent as recurrent
from archlab.tracing.costs import register_cost
from archlab.tracing.formulas import Cost
from archlab.tracing.measurement import trace

if TYPE_CHECKING:
    from archlab.tracing.fits import fits as fits
    from archlab.tracing.verify import verify as verify

__all__ = ["Cost", "fits", "register_cost", "trace", "verify"]


def __getattr__(name: str) -> object:
    """What a trace alone doesn't need is imported on first use."""
    if name not in ("fits", "verify"):
        raise AttributeError(f"module 'archlab.tracing' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"archlab.tracing.{name}"), name)
    globals()[name] = value
    return value
