"""The options of commands that train: one for each setting that `TrainingConfig` and `Execution` declare."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, NewType

from archlab.cli.common.groups import register
from archlab.cli.common.places import option
from archlab.records import TrainingConfig
from archlab.records.settings import Setting, settings
from archlab.training.execution import Execution


class Chosen(dict[str, Any]):
    """Fields of `TrainingConfig` -> the values of their options."""


class Levels(dict[str, Any]):
    """The same for a comparison: several values (`--lr 0.1,0.2`) are a list, and it has no seed of its own."""


InProcess = NewType("InProcess", Execution)
"""An execution in the command's own process: one run, always trained."""


def _parameter(item: Setting, several: bool = False) -> inspect.Parameter:
    kind: Any = str if several else item.kind
    default = str(item.default) if several and item.default is not None else item.default
    allowed: Any = kind | None if default is None else kind
    annotation: Any = Annotated[allowed, option(item, several=several)]
    return inspect.Parameter(item.field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _levels(**given: Any) -> Levels:
    found = Levels(given)
    for name, item in settings(TrainingConfig).items():
        if item.varies and given[name] is not None:
            values = item.parse_several(given[name])
            found[name] = values[0] if len(values) == 1 else values
    return found


def _execution(**given: Any) -> Execution:
    from archlab.training.engines.choosing import check_engine

    execution = Execution(**given)
    check_engine(execution)  # before anything is built or read
    return execution


OF_MANY = ("workers", "engine", "address", "fresh", "stack")
"""Fields of `Execution` that say nothing of one run in the command's own process."""
_CONFIG, _EXECUTION = settings(TrainingConfig), settings(Execution)
register(Chosen, Chosen, [_parameter(item) for item in _CONFIG.values()])
register(Levels, _levels, [_parameter(item, item.varies) for item in _CONFIG.values() if item.field != "seed"])
register(Execution, _execution, [_parameter(item) for item in _EXECUTION.values()])
register(
    InProcess,
    lambda **given: InProcess(Execution(workers=1, fresh=True, **given)),
    [_parameter(item) for item in _EXECUTION.values() if item.field not in OF_MANY],
)
