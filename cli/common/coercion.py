"""Values of options without pydantic, which newer versions of typer load for each value: in 0.1 s, a third of a start.

archlab runs list --limit 20          no option needs it: a number within its bounds, and what isn't given
archlab runs list --limit 1e9         typer reads the value, and says what is wrong with it
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

CHECKS = ("exists", "resolve_path", "writable", "allow_dash", "path_type")
"""What an option may ask of a path, beyond that one which is there can be read."""


def spare_pydantic() -> None:
    """Have typer read plain values without pydantic, in this process; a version that never does is left as it is."""
    from typer import core

    typers: Any = core
    build = getattr(typers, "build_runtime_param", None)
    if build is not None:
        typers.build_runtime_param = lambda described: _Lazy(described, build)


def _is_short(value: object) -> bool:
    """Whether it is a number as anybody writes it: some digits, none of them a 0 in front."""
    return (
        isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 and value == str(int(value))
    )


class _Lazy:
    """Reads the values of one option; typer's own reader is made when a value needs it.

    Args:
        described: what typer knows of the option's type.
        build: makes typer's own reader of that.
    """

    def __init__(self, described: Any, build: Callable[[Any], Any]) -> None:
        self._described = described
        self._build = build

    @cached_property
    def _own(self) -> Any:
        return self._build(self._described)

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value as the command takes it."""
        is_one = not param.multiple and param.nargs == 1
        if value is None:
            return None if is_one else ()
        kind, known = self._described.annotation, self._described.parameter_info
        if known.parser is None and kind == list[str] and all(isinstance(text, str) for text in value):
            return list(value)
        if is_one and known.parser is None:
            if kind in (str, bool) and isinstance(value, kind):
                return value
            number = int(value) if kind is int and _is_short(value) else value
            if kind in (int, float) and type(number) is kind and self._holds(number):
                return number
            if kind is Path and isinstance(value, str) and self._takes(value):
                return Path(value)
        return self._own.coerce(value, param=param, ctx=ctx)

    def _holds(self, number: float) -> bool:
        """Whether a number is within the option's bounds."""
        known = self._described.parameter_info
        return (known.min is None or number >= known.min) and (known.max is None or number <= known.max)

    def _takes(self, path: str) -> bool:
        """Whether typer would have nothing to say against a path."""
        known = self._described.parameter_info
        if any(getattr(known, name, None) for name in CHECKS):
            return False
        return bool(known.file_okay and known.dir_okay) and (
            os.access(path, os.R_OK) or not os.path.exists(path)  # noqa: PTH110 - it is a text
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)
