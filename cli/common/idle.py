"""Options that were given and would do nothing: they are refused before the work begins."""

from __future__ import annotations

from collections.abc import Collection

import typer

from archlab.errors import InputError


def given(context: typer.Context, names: Collection[str]) -> list[str]:
    """The options among some parameters of the command that stand on the command line, as `--depth`.

    What `pyproject.toml` sets as a default is not given.
    """
    found = []
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in names and source is not None and source.name == "COMMANDLINE":
            found.append(next((option for option in parameter.opts if option.startswith("--")), parameter.opts[0]))
    return found


def refuse_idle(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        context: the command's.
        names: parameters of the command.
        why: what follows the option's name: "is for --fits, which was not given".

    Raises:
        InputError: one of them was given.
    """
    for option in given(context, names):
        raise InputError(f"{option} {why}: leave it out")
