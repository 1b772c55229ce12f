"""What was found out before, kept in the user's cache folder: traces of networks, times of runs.

    CACHE/KIND/DIGEST.json      an answer behind a line with its own SHA-256

The digest is that of the question and of all that decides the answer (`archlab.circumstances`). What can't be read is
as if it weren't there, and what can't be written is not kept. `CACHE` is `$ARCHLAB_CACHE` (`off` for none), else
`archlab` in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from archlab import files
from archlab.errors import ArchlabError

MOST_BYTES = 100_000_000
"""Of all that is kept; the oldest goes first."""
OFF = "off"
TRACES, TIMES = "traces", "times"
"""The kinds of answers, a folder each."""


def folder() -> Path | None:
    """Where answers are kept; None where nobody wants that."""
    chosen = os.environ.get("ARCHLAB_CACHE", "")
    if chosen == OFF:
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else home / "archlab"


def read(kind: str, digest: str) -> bytes | None:
    """An answer; None where there is none, or it is damaged."""
    home = folder()
    if home is None:
        return None
    path = home / kind / f"{digest}.json"
    try:
        known, _, content = path.read_bytes().partition(b"\n")
        if hashlib.sha256(content).hexdigest().encode() != known:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)  # the oldest that nobody asks for goes first
        return content
    except OSError:
        return None


def keep(kind: str, digest: str, content: bytes) -> None:
    """Keep an answer if that can be; the answer itself matters more."""
    home = folder()
    if home is None:
        return
    with contextlib.suppress(OSError, ArchlabError):
        files.make_folder(home / kind)
        files.save(home / kind / f"{digest}.json", hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        kept = sorted((one.stat().st_mtime, one.stat().st_size, one) for one in _all())
        excess = sum(size for _, size, _ in kept) - MOST_BYTES
        for _, size, one in kept:
            if excess <= 0:
                break
            one.unlink(missing_ok=True)
            excess -= size


def clear() -> tuple[int, int]:
    """Forget all answers: how many there were, and their bytes."""
    count = size = 0
    for path in _all():
        with contextlib.suppress(OSError):
            size += path.stat().st_size
            path.unlink()
            count += 1
    return count, size


def held() -> tuple[int, int]:
    """How many answers are kept, and their bytes."""
    sizes = []
    for path in _all():
        with contextlib.suppress(OSError):
            sizes.append(path.stat().st_size)
    return len(sizes), sum(sizes)


def _all() -> list[Path]:
    home = folder()
    return [] if home is None else [path for kind in (TRACES, TIMES) for path in (home / kind).glob("*.json")]
