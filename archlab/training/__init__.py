"""What a network does: data, the loop, recording, and the engine that dispatches runs.

Names are resolved on first use: a process that only dispatches runs needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.training.engine import train_all as train_all
    from archlab.training.estimate import estimate_time as estimate_time
    from archlab.training.execution import Execution as Execution
    from archlab.training.progress import Progress as Progress
    from archlab.training.revisiting import measure_landscape as measure_landscape
    from archlab.training.session import missing as missing
    from archlab.training.session import train as train

_HOMES = {
    "Execution": "archlab.training.execution",
    "Progress": "archlab.training.progress",
    "estimate_time": "archlab.training.estimate",
    "measure_landscape": "archlab.training.revisiting",
    "missing": "archlab.training.session",
    "train": "archlab.training.session",
    "train_all": "archlab.training.engine",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'archlab.training' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
