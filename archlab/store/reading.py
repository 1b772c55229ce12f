"""The one place where whatever goes wrong while something of a store is read becomes an error of that thing alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archlab.errors import ArchlabError, StoreError

LONGEST = 300
"""Letters of another library's message that are shown."""


class NewerError(StoreError):
    """A newer archlab wrote it: it is whole, and this one can't read it."""


class DeniedError(StoreError):
    """The user may not read it, which says nothing of what it holds."""


@contextmanager
def reading(path: Path, what: str = "") -> Iterator[None]:
    """A context in which every failure becomes a `StoreError` that names what could not be read.

    Args:
        path: of what is read.
        what: its name in the message; the path where none is given.
    """
    try:
        yield
    except (NewerError, DeniedError, NameError, ImportError):  # the last two are our own mistakes, or a missing library
        raise
    except PermissionError as error:
        raise DeniedError(f"{what or path} can't be read: {_reason(error)}") from error
    except Exception as error:  # damaged bytes make libraries raise what no list of ours would name
        if isinstance(error, StoreError) and not what:
            raise
        raise StoreError(f"{what or path} can't be read: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, ArchlabError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    said = " ".join(str(error).split())[:LONGEST]
    shown = "".join(letter if letter.isprintable() else " " for letter in said)
    return f"{shown} ({type(error).__name__})" if shown else type(error).__name__
