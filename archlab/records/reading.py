"""Bytes and JSON of files that anybody may have written: read in bounded memory, or refused in words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from archlab.errors import InputError, cut

Kind = TypeVar("Kind")

LARGEST = 100_000_000
"""Bytes of a file of JSON: the trace of a hundred thousand layers."""


def content(path: str | Path, most: int = LARGEST) -> bytes:
    """The bytes of a file.

    A pipe is read as long as somebody writes into it; one that nobody has opened to write is empty.

    Raises:
        InputError: it can't be read, or has more than `most` bytes.
    """
    try:
        with open(path, "rb", opener=_opened) as file:  # Path.open takes no opener
            found = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from error
    if len(found) > most:
        raise InputError(f"{path} has more than {most:,} bytes, expected a smaller file")
    return found


def decoded(text: str | bytes, kind: type[Kind] | Any, origin: str, expected: str = "") -> Kind:
    """JSON as a value of a type.

    Args:
        text: the JSON.
        kind: the type; `Any` for plain dictionaries, lists, numbers and strings.
        origin: what it is called in a message.
        expected: what it should be, for a message; without it, that of JSON.

    Raises:
        InputError: it is no JSON, or none of that type.
    """
    import msgspec

    try:
        if isinstance(text, bytes) and not text.isascii():
            text.decode()  # msgspec looks at no bytes of fields that it skips
        found: Kind = msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{origin} is no {expected or 'JSON that is expected here'}: {cut(error)}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InputError(f"{origin} is no JSON: {cut(error)}") from error
    except RecursionError as error:
        raise InputError(f"{origin} is nested too deep, expected lists and objects of a few levels") from error
    return found


@dataclass(frozen=True, slots=True)
class _Named:
    schema: str | None = None


def schema_of(text: str | bytes, origin: str) -> str | None:
    """The schema that JSON names; None where it names none.

    Raises:
        InputError: it is no JSON.
    """
    import msgspec

    try:
        found: _Named = decoded(text, _Named, origin)
    except InputError as error:
        if isinstance(error.__cause__, msgspec.ValidationError):
            return None
        raise
    return found.schema


def _opened(path: str, flags: int) -> int:
    # Without waiting for a writer, which there may never be.
    file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if hasattr(os, "set_blocking"):
        os.set_blocking(file, True)
    return file
