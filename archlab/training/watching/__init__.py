"""Recording of other people's training loops: `watch`, and thin covers for Lightning, transformers and Accelerate.

Names are resolved on first use: nothing of these libraries is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archlab.training.watching.accelerate import accelerate_tracker as accelerate_tracker
    from archlab.training.watching.lightning import lightning_callback as lightning_callback
    from archlab.training.watching.opening import watch as watch
    from archlab.training.watching.trainer import trainer_callback as trainer_callback
    from archlab.training.watching.watched_run import WatchedRun as WatchedRun

_HOMES = {
    "WatchedRun": "archlab.training.watching.watched_run",
    "accelerate_tracker": "archlab.training.watching.accelerate",
    "lightning_callback": "archlab.training.watching.lightning",
    "trainer_callback": "archlab.training.watching.trainer",
    "watch": "archlab.training.watching.opening",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'archlab.training.watching' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
