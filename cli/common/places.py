"""Options that say where runs and data are, also of commands that train nothing; how a setting becomes an option."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from archlab.cli.common.groups import register
from archlab.records.settings import Setting, settings
from archlab.training.execution import Execution

TrustOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the code that a record or file names, with all that you may do: only if you know who wrote it.",
    ),
]
ALIASES = {"batch_size": ("--batch",), "size": ("--input",)}
"""Fields of `TrainingConfig` -> what commands that measure a network call the same thing."""


def option(item: Setting, *, several: bool = False) -> Any:
    """What typer needs to know of a setting's option; `several` values are divided by commas."""
    bounds = {} if several or item.least is None else {"min": item.least}
    return typer.Option(
        item.flag,
        *ALIASES.get(item.field, ()),
        metavar=None if item.kind is bool else f"{item.metavar},{item.metavar}" if several else item.metavar,
        show_default=item.default is not None,
        help=f"{item.help} (Several are compared.)" if several else item.help,
        **bounds,  # type: ignore[arg-type]
    )


def parameter(item: Setting, several: bool = False) -> inspect.Parameter:
    """A parameter of a command for a setting; `several` values are divided by commas."""
    kind: Any = str if several else item.kind
    default = str(item.default) if several and item.default is not None else item.default
    allowed: Any = kind | None if default is None else kind
    annotation: Any = Annotated[allowed, option(item, several=several)]
    return inspect.Parameter(item.field, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _execution(**given: Any) -> Execution:
    from archlab.training.engines.choosing import check_engine

    execution = Execution(**given)
    check_engine(execution)  # before anything is built or read
    return execution


_EXECUTION = settings(Execution)
register(Execution, _execution, [parameter(item) for item in _EXECUTION.values()])
StoreOption: TypeAlias = Annotated[Path | None, option(_EXECUTION["store"])]
DataDirOption: TypeAlias = Annotated[Path | None, option(_EXECUTION["data_dir"])]
DownloadDataOption: TypeAlias = Annotated[bool, option(_EXECUTION["download"])]
