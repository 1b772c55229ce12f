"""Where in somebody's source something stands, as `file:line`, and what an exception says in one line."""

from __future__ import annotations

import inspect
import sys
import traceback
from functools import cache
from pathlib import Path
from types import FrameType

import torch

from archlab.networks.strangers import EndedError, described, words

_OURS = tuple(str(Path(__file__).parents[2] / name) for name in ("tracing", "networks/strangers.py"))
_TORCH = str(Path(torch.__file__).parent)


def of_call() -> str:
    """The line outside torch and the tracer that called what is being traced; empty if there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if _is_theirs(name):
            return f"{_short(name)}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def of_error(error: BaseException) -> str:
    """The innermost line outside torch and the tracer that an exception went through; empty if there is none."""
    if isinstance(error, EndedError) and error.__cause__ is not None:
        error = error.__cause__
    for entry in reversed(traceback.extract_tb(error.__traceback__)):
        if _is_theirs(entry.filename):
            return f"{_short(entry.filename)}:{entry.lineno}"
    return ""


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its class if it has none."""
    if isinstance(error, EndedError):
        return described(error)
    return next(iter(words(error).strip().splitlines()), type(error).__name__)


def of_class(kind: type) -> str:
    """The line that a class begins at; empty if its source isn't there."""
    if kind not in _CLASS_LINES:
        try:
            name = inspect.getsourcefile(kind)
            _CLASS_LINES[kind] = f"{_short(name)}:{inspect.getsourcelines(kind)[1]}" if name else ""
        except (OSError, TypeError):
            _CLASS_LINES[kind] = ""
    return _CLASS_LINES[kind]


_CLASS_LINES: dict[type, str] = {}


def _is_theirs(name: str) -> bool:
    return not name.startswith((*_OURS, _TORCH, "<frozen", "<__array_function__"))


@cache
def _short(name: str) -> str:
    """A path from the working directory or from the folder of installed packages, whichever is nearer to the file."""
    path = Path(name)
    folders = {folder.resolve() for folder in (Path.cwd(), *map(Path, sys.path)) if folder.is_dir()}
    within = [str(path.relative_to(folder)) for folder in folders if path.is_relative_to(folder)]
    return min(within, key=len, default=name)
