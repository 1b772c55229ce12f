"""Defaults of options from `pyproject.toml`, the nearest one above the working folder.

    [tool.archlab]                  for every command that has the option
    store = "results"
    [tool.archlab.compare]          for one command; archlab runs list is tool.archlab.runs.list
    seeds = 8
    lr = [0.001, 0.01]

A key is an option's name without its dashes. What stands on the command line goes before. A key that is no option is
refused, since a typing error would else go unnoticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archlab.errors import InputError, nearest

FILE = "pyproject.toml"
NOT_A_DEFAULT = ("help", "version", "install-completion", "show-completion", "trust")
"""What stands on the command line alone: `trust` too, since the file may be that of somebody else's project."""
NAMING_CODE = ("dataset",)
"""Parameters of options that may name code."""
CODE = re.compile(r"\.py:|\.pt2$|^[\w.]+:\w+$")
"""A value by which Python code is named."""


def command_defaults(group: Any, context: Any, folder: Path | None = None) -> dict[str, Any]:
    """The defaults of the group's commands, as click takes them: command -> parameter -> value.

    Args:
        group: of all commands.
        context: the group's.
        folder: where to look, and above; the working folder where it is None.

    Raises:
        InputError: the file can't be read, or holds what is no option.
    """
    path = _nearest_file(folder or Path.cwd())
    if path is None:
        return {}
    table = _read(path)
    if not table:
        return {}
    commands = {name: group.get_command(context, name) for name in group.list_commands(context)}
    shared = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    known = sorted({key for command in commands.values() for key in _every_option(command)})
    for key in shared:
        if _spelled(key) not in known:
            raise InputError(
                f"{path}: tool.archlab has {key!r}, which is no option of a command: {nearest(key, known)}"
            )
    for key in table.keys() - shared.keys():
        if key not in commands:
            raise InputError(f"{path}: tool.archlab.{key} is no command: {nearest(key, commands)}")
    return {
        name: _of_command(command, shared, table.get(name, {}), f"{path}: tool.archlab.{name}")
        for name, command in commands.items()
    }


def _nearest_file(folder: Path) -> Path | None:
    return next((path for place in (folder, *folder.parents) if (path := place / FILE).is_file()), None)


def _read(path: Path) -> Mapping[str, Any]:
    import tomllib  # most folders have no such file

    try:
        text = path.read_text(encoding="utf-8")
        if "archlab" not in text:  # the usual file, which then may hold what it likes
            return {}
        table = tomllib.loads(text).get("tool", {}).get("archlab", {})
    except (OSError, ValueError) as error:  # no UTF-8, or no TOML
        raise InputError(f"{path} can't be read: {error}") from error
    if not isinstance(table, Mapping):
        raise InputError(f"{path}: tool.archlab is {table!r}, expected a table of options")
    return table


def _of_command(command: Any, shared: Mapping[str, Any], own: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The defaults of one command, or of a group's commands by their names."""
    inner = getattr(command, "commands", None)
    if inner is not None:
        for key in own:
            if key not in inner:
                raise InputError(f"{place}.{key} is no command: {nearest(key, inner)}")
        return {name: _of_command(one, shared, own.get(name, {}), f"{place}.{name}") for name, one in inner.items()}
    known = _options(command)
    found = {}
    for given, is_own in ((shared, False), (own, True)):
        for key, value in given.items():
            parameter = known.get(_spelled(key))
            if parameter is not None:
                found[parameter.name] = _value(parameter, value, f"{place}.{key}")
            elif is_own:
                raise InputError(f"{place} has {key!r}, which is no option of it: {nearest(key, known)}")
    return found


def _value(parameter: Any, value: Any, place: str) -> Any:
    """A TOML value as the option takes it on the command line."""
    for one in value if isinstance(value, list) else [value]:
        if parameter.name in NAMING_CODE and isinstance(one, str) and CODE.search(one):
            raise InputError(
                f"{place} names code ({one}), which no file in a folder may choose: give it on the command line"
            )
    if isinstance(value, Mapping):
        raise InputError(f"{place} is a table, expected a value: a text, a number, true, false or a list of them")
    if parameter.is_flag:
        if not isinstance(value, bool):
            raise InputError(f"{place} is {value!r}, expected true or false")
        return value
    if isinstance(value, bool):
        raise InputError(f"{place} is {str(value).lower()}, expected a value: the option is no switch")
    if isinstance(value, list):
        return [str(one) for one in value] if parameter.multiple else ",".join(map(str, value))
    return [str(value)] if parameter.multiple else str(value)


def _options(command: Any) -> dict[str, Any]:
    """The options of a command by their names without dashes, every spelling of each."""
    return {
        name.removeprefix("--"): parameter
        for parameter in command.params
        if parameter.param_type_name == "option"
        for name in parameter.opts
        if name.startswith("--") and name.removeprefix("--") not in NOT_A_DEFAULT
    }


def _every_option(command: Any) -> list[str]:
    inner = getattr(command, "commands", None)
    return [*_options(command)] if inner is None else [key for one in inner.values() for key in _options(one)]


def _spelled(key: str) -> str:
    return key.replace("_", "-")
