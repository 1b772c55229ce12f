"""Traces of networks that were asked for before: a second look needs no torch.

    CACHE/traces/DIGEST.json      the trace behind a line with its own SHA-256

The digest is that of all that decides the trace: archlab's version and the time of its newest file, the versions of
torch and of the library that has the network, the name, options, input and columns. Only archlab's own networks,
torchvision's and timm's are kept, since nobody can see what else a user's file depends on. What can't be read is as
if it weren't there. `CACHE` is `$ARCHLAB_CACHE` (`off` for none), else `archlab` in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.circumstances import code, digest
from archlab.errors import ArchlabError

if TYPE_CHECKING:
    from archlab.records import Trace, Value

MOST_BYTES = 100_000_000
"""Of all that is kept; the oldest goes first."""
OFF = "off"


def cache_folder() -> Path | None:
    """Where answers are kept; None where nobody wants that."""
    chosen = os.environ.get("ARCHLAB_CACHE", "")
    if chosen == OFF:
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else home / "archlab"


def kept_trace(
    network: str,
    inputs: Sequence[str] | None,
    batch: int | None,
    options: Mapping[str, Value],
    columns: Sequence[str],
    measure: Callable[[], Trace],
) -> Trace:
    """The trace that was kept of the same question; else what is measured now, which is kept for the next time."""
    path = _path(network, inputs, batch, options, columns)
    if path is None:
        return measure()
    found = _read(path)
    if found is None:
        found = measure()
        _keep(path, found.to_json(indent=0))
    return found


def clear() -> tuple[int, int]:
    """Forget all answers: how many there were, and their bytes."""
    count = size = 0
    for path in _kept():
        with contextlib.suppress(OSError):
            size += path.stat().st_size
            path.unlink()
            count += 1
    return count, size


def held() -> tuple[int, int]:
    """How many answers are kept, and their bytes."""
    sizes = []
    for path in _kept():
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def _path(
    network: str, inputs: Sequence[str] | None, batch: int | None, options: Mapping[str, Value], columns: Sequence[str]
) -> Path | None:
    """Where the answer to a question is kept; None for a question whose answer depends on what nobody can see."""
    folder, versions = cache_folder(), code(network)
    if folder is None or versions is None or any("@" in text for text in inputs or ()):
        return None
    asked = digest(network, inputs, batch, sorted(options.items()), sorted(columns), versions)
    return folder / "traces" / f"{asked}.json"


def _read(path: Path) -> Trace | None:
    from archlab.records import Trace

    try:
        digest, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the oldest that nobody asks for goes first
        return Trace.from_json(content)
    except (OSError, ArchlabError):
        return None


def _keep(path: Path, text: str) -> None:
    """Keep an answer if that can be; the answer itself matters more."""
    content = text.encode()
    with contextlib.suppress(OSError, ArchlabError):
        files.make_folder(path.parent)
        files.save(path, hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        kept = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in _kept())
        excess = sum(size for _, size, _ in kept) - MOST_BYTES
        for _, size, one in kept:
            if excess <= 0:
                break
            one.unlink(missing_ok=True)
            excess -= size


def _kept() -> list[Path]:
    folder = cache_folder()
    return list((folder / "traces").glob("*.json")) if folder is not None else []
