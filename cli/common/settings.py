"""The options of commands that train: one for each setting that `TrainingConfig` and `Execution` declare.

A command asks for them by parameters of these two types, and typer sees an option for each setting in their place:

    @takes_settings(several=True)
    def compare(network: ..., *, chosen: Chosen, execution: Execution, ...) -> None: ...

`archlab compare --epochs 2 --lr 0.1,0.2 --workers 1` then calls it with `chosen = {"epochs": 2, "learning_rate":
[0.1, 0.2], ...}` and `execution = Execution(workers=1)`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from archlab.records import TrainingConfig
from archlab.records.settings import Setting, settings
from archlab.training.execution import Execution


class Chosen(dict[str, Any]):
    """Fields of `TrainingConfig` -> what the command line gives; a list where it gives several values to compare."""


RECORDS: dict[Any, type] = {Chosen: TrainingConfig, Execution: Execution}
"""A parameter's type -> the record whose settings become options in its place."""


def takes_settings(
    *, several: bool = False, without: Collection[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of the records that its parameters ask for.

    Args:
        several: whether a setting that can vary takes several values, divided by commas.
        without: fields that get no option and keep their default.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        asked: dict[str, tuple[type, dict[str, Setting]]] = {}
        for parameter in signature.parameters.values():
            record = RECORDS.get(parameter.annotation)
            if record is None:
                parameters.append(parameter)
                continue
            known = {name: item for name, item in settings(record).items() if name not in without}
            asked[parameter.name] = parameter.annotation, known
            parameters += [_parameter(item, several and item.varies) for item in known.values()]

        @functools.wraps(command)
        def call(**given: Any) -> None:
            made = {}
            for name, (kind, known) in asked.items():
                values = {field: given.pop(field) for field in known}
                if several:
                    values = {field: _singled(known[field], value) for field, value in values.items()}
                made[name] = kind(**values)
            command(**given, **made)

        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return call

    return decorate


def option(item: Setting, *, several: bool = False) -> Any:
    """What typer needs to know of a setting's option."""
    bounds = {} if several or item.least is None else {"min": int(item.least)}
    return typer.Option(
        item.flag,
        metavar=None if item.kind is bool else f"{item.metavar},{item.metavar}" if several else item.metavar,
        show_default=item.default is not None,
        help=f"{item.help.removesuffix('.')}; several are compared." if several and not item.optional else item.help,
        **bounds,  # type: ignore[arg-type]
    )


def _parameter(item: Setting, several: bool) -> inspect.Parameter:
    kind: Any = str if several else item.kind
    default = str(item.default) if several and item.default is not None else item.default
    annotation = kind | None if default is None else kind
    return inspect.Parameter(
        item.field,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, option(item, several=several)],
    )


def _singled(item: Setting, value: Any) -> Any:
    """What an option that may hold several values gives: a value, or a list of several."""
    if not item.varies or value is None:
        return value
    values = item.parse_several(value)
    return values[0] if len(values) == 1 else values


_EXECUTION = settings(Execution)
StoreOption: TypeAlias = Annotated[Path | None, option(_EXECUTION["store"])]
DataDirOption: TypeAlias = Annotated[Path | None, option(_EXECUTION["data_dir"])]
