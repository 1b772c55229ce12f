"""Traces of the networks that runs trained: one JSON file each, named after its content."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from archlab import files
from archlab.errors import InputError
from archlab.records import Trace

TRACES = "traces"
"""The folder in a store."""


def keep_trace(folder: Path, trace: Trace) -> str:
    """The name under which a trace is kept, by its content.

    Raises:
        StoreError: the folder can't be written.
    """
    text = trace.to_json(indent=0)
    name = _digest(text.encode())
    path = folder / f"{name}.json"
    if not path.exists():
        files.make_folder(folder)
        files.save(path, text)
    return name


def read_trace(folder: Path, name: str) -> Trace | None:
    """The trace of that name; None where it isn't there, or not as it was."""
    if not re.fullmatch(r"[0-9a-f]{64}", name):
        return None
    try:
        text = files.read_regular(folder / f"{name}.json")
        return Trace.from_json(text) if _digest(text) == name else None
    except (OSError, InputError):
        return None


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
