"""What the runs mean, from records alone: statistics, comparison, verdicts.

Modules are imported on first use: `archlab.analysis.verdicts.examine(...)` needs no import of its own.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec


def __getattr__(name: str) -> object:
    if name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
