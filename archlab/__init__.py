"""archlab: measure what a neural network is, and what its normalisation and skip connections do when it trains.

Names are resolved on first use, so that `import archlab` costs next to nothing and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.comparing import compare as compare
    from archlab.errors import ArchlabError as ArchlabError
    from archlab.networks import build as build
    from archlab.normalisation import examine as examine
    from archlab.profiling import profile as profile
    from archlab.records import Comparison as Comparison
    from archlab.records import Profile as Profile
    from archlab.records import Run as Run
    from archlab.records import Trace as Trace
    from archlab.records import TrainingConfig as TrainingConfig
    from archlab.store import open_store as open_store
    from archlab.tracing import trace as trace
    from archlab.training import Execution as Execution
    from archlab.training import measure_landscape as measure_landscape
    from archlab.training import train as train
    from archlab.training import watching as watching
    from archlab.training.watching import watch as watch

__version__ = "0.1.0"

_HOMES = {
    "ArchlabError": "archlab.errors",
    "Comparison": "archlab.records",
    "Execution": "archlab.training",
    "Profile": "archlab.records",
    "Run": "archlab.records",
    "Trace": "archlab.records",
    "TrainingConfig": "archlab.records",
    "build": "archlab.networks",
    "compare": "archlab.comparing",
    "examine": "archlab.normalisation",
    "measure_landscape": "archlab.training",
    "open_store": "archlab.store",
    "profile": "archlab.profiling",
    "trace": "archlab.tracing",
    "train": "archlab.training",
    "watch": "archlab.training.watching",
}
_ROOMS = (
    "analysis",
    "comparing",
    "experiments",
    "networks",
    "normalisation",
    "profiling",
    "records",
    "reports",
    "store",
    "tables",
    "tracing",
    "training",
)
_MODULES = {name: f"archlab.{name}" for name in _ROOMS} | {
    "_drawing": "archlab.tables.display",
    "watching": "archlab.training.watching",
}
"""Attribute -> module. This file alone knows every room, so records ask it what draws them (`records.display`)."""

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value: object = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'archlab' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
