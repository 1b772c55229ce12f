"""The hashes of the files of a run that has ended, in `contents.json` of its folder.

It is written last, before the folder gets its final name. A file that is replaced afterwards is announced first: under
`renewing` its next hash stands beside the present one, and either is whole, so that a kill between the two writes does
no harm. A run of an older archlab has no such file, and is read as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from archlab import files
from archlab.errors import StoreError
from archlab.store.reading import NewerError, reading
from archlab.store.sealing import check_seal, sealed

CONTENTS, RUN = "contents.json", "run.json"
PARTIAL = ".partial"
"""The end of the name of a folder whose run has not ended."""
SCHEMA = "archlab.contents/1"
PASSING = re.compile(r"\..*|contents\.json|lock|landscape\.safetensors|checkpoint-.*")
"""Names of what comes and goes in the folder of an ended run; the last two hold their own hashes."""
ATTEMPTS = 3
"""Times that hashes and a file are read before they are said to differ: another process may replace both meanwhile."""


@dataclass(frozen=True, slots=True)
class Sum:
    """What a file was when it was written."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of a folder by name."""

    files: Mapping[str, Sum]
    renewing: Mapping[str, Sum] = field(default_factory=dict)
    """What is about to be put in the place of a file, or beside them."""

    def allowed(self, name: str) -> list[Sum]:
        """What a file of that name may be; nothing where none was written."""
        return [known[name] for known in (self.files, self.renewing) if name in known]


def digest(content: bytes) -> str:
    """The hash of some bytes, as it is written down."""
    return hashlib.sha256(content).hexdigest()


def sum_of(path: Path) -> Sum:
    """The hash and the size of a file.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    with files.open_regular(path) as file:
        return Sum(hashlib.file_digest(file, "sha256").hexdigest(), file.tell())


def names(folder: Path) -> list[str]:
    """The names of what belongs to a run, without what passes and what was left half-written."""
    return sorted(item.name for item in folder.iterdir() if item.is_file() and not PASSING.fullmatch(item.name))


def keep(folder: Path) -> None:
    """Write down the hashes of all files in a folder.

    Raises:
        OSError: a file can't be read, or the folder not be written.
    """
    announce(folder, Contents({name: sum_of(folder / name) for name in names(folder)}))


def load(folder: Path) -> Contents | None:
    """The hashes of a folder's files; None where an older archlab wrote them, or the run has not ended.

    Raises:
        StoreError: they can't be read, or are gone.
        NewerError: a newer archlab wrote them.
    """
    path = folder / CONTENTS
    with reading(path):
        try:
            state = path.stat()
        except FileNotFoundError:
            if not folder.name.endswith(PARTIAL) and check_seal(files.read_regular(folder / RUN)):
                raise StoreError(f"{path} is missing, which was written with the run") from None
            return None
        return _loaded(path, (state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino))


@lru_cache(maxsize=64)
def _loaded(path: Path, stamp: tuple[int, ...]) -> Contents:
    """What a `contents.json` says while it is as it was: a page asks of a run for one file after the other."""
    import msgspec

    content = files.read_regular(path)
    if not check_seal(content):
        raise StoreError(f"{path} can't be read: it has no hash of its own")
    document = msgspec.json.decode(content, type=dict[str, Any])
    if document.get("schema") != SCHEMA:
        raise NewerError(f"{path} has schema {document.get('schema')!r}, expected {SCHEMA!r}: a newer archlab wrote it")
    return msgspec.convert(document, Contents)


def check(folder: Path, name: str) -> None:
    """Hold a file of a folder against what was written; an absent one against that none was.

    Raises:
        StoreError: it is not what was written, or the hashes can't be read.
    """
    reason = ""
    for _ in range(ATTEMPTS):
        known = load(folder)
        if known is None:
            return
        with reading(folder / name):
            reason = _difference(folder / name, known.allowed(name), required=name in known.files)
        if not reason:
            return
    raise StoreError(f"{folder / name} is damaged: {reason}")


def _difference(path: Path, allowed: list[Sum], *, required: bool) -> str:
    """How a file differs from all that it may be; empty where it doesn't."""
    try:
        size = path.lstat().st_size
    except FileNotFoundError:
        return "it is missing" if required else ""
    if not allowed:
        return "it was not written with the run"
    if size not in [one.bytes for one in allowed]:
        return f"it has {size:,} bytes, expected {allowed[0].bytes:,}"
    return "" if sum_of(path) in allowed else "its bytes are not those that were written (sha256)"


@contextmanager
def renewing(path: Path) -> Iterator[Path]:
    """A context with a draft of a file, which is put in its place when the context ends well; the hashes follow.

    Raises:
        OSError: the folder can't be written.
        StoreError: its hashes can't be read.
    """
    folder, name = path.parent, path.name
    with files.replacing(path) as draft:
        yield draft
        known = load(folder)
        if known is not None:
            new = sum_of(draft)
            announce(folder, Contents(known.files, {name: new}))
    if known is not None:
        announce(folder, Contents({**known.files, name: new}))


def forget(folder: Path, name: str) -> None:
    """Take a file, which was moved away, out of the hashes.

    Raises:
        OSError: the folder can't be written.
        StoreError: its hashes can't be read.
    """
    known = load(folder)
    if known is not None:
        announce(folder, Contents({other: one for other, one in known.files.items() if other != name}))


def announce(folder: Path, known: Contents) -> None:
    """Write down what the files of a folder are, and are about to be.

    Raises:
        OSError: the folder can't be written.
    """
    document: dict[str, Any] = {"schema": SCHEMA, "files": _plain(known.files)}
    if known.renewing:
        document["renewing"] = _plain(known.renewing)
    files.replace_text(folder / CONTENTS, sealed(json.dumps(document, indent=2)))


def _plain(sums: Mapping[str, Sum]) -> dict[str, dict[str, str | int]]:
    return {name: {"sha256": one.sha256, "bytes": one.bytes} for name, one in sorted(sums.items())}
