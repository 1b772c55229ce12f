"""The options of commands that train: one for each setting that `TrainingConfig` and `Execution` declare."""

from __future__ import annotations

from typing import Any, NewType

from archlab.cli.common.groups import register
from archlab.cli.common.places import parameter
from archlab.records import TrainingConfig
from archlab.records.settings import settings
from archlab.training.execution import Execution


class Chosen(dict[str, Any]):
    """Fields of `TrainingConfig` -> the values of their options."""


class Levels(dict[str, Any]):
    """The same for a comparison: several values (`--lr 0.1,0.2`) are a list, and it has no seed of its own."""


InProcess = NewType("InProcess", Execution)
"""An execution in the command's own process: one run, always trained."""


def _levels(**given: Any) -> Levels:
    found = Levels(given)
    for name, item in settings(TrainingConfig).items():
        if item.varies and given[name] is not None:
            values = item.parse_several(given[name])
            found[name] = values[0] if len(values) == 1 else values
    return found


OF_MANY = ("workers", "engine", "address", "fresh", "stack")
"""Fields of `Execution` that say nothing of one run in the command's own process."""
_CONFIG = settings(TrainingConfig)
register(Chosen, Chosen, [parameter(item) for item in _CONFIG.values()])
register(Levels, _levels, [parameter(item, item.varies) for item in _CONFIG.values() if item.field != "seed"])
register(
    InProcess,
    lambda **given: InProcess(Execution(workers=1, fresh=True, **given)),
    [parameter(item) for item in settings(Execution).values() if item.field not in OF_MANY],
)
