"""What processes left behind that were killed: drafts, folders without a name, locks that nobody holds.

A draft (`.NAME.HEX`, as `archlab.files` names it) knows no process: it is left over when nothing was written to it for
an hour. A new run's folder (`runs/.TOKEN`) and a lock have a holder, or none. A run that was renamed aside for a newer
one (`runs/.KEY.HEX`) is put back where the newer one did not come to take its place.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from archlab import files
from archlab.store.contents import PARTIAL
from archlab.store.lock import TURN, is_held
from archlab.store.run_folder import LOCKS, RUNS, RunFolder

SECONDS = 3600.0
"""That nothing was written to a leftover, at least."""
_DRAFT = re.compile(r"\.(.+)\.[0-9a-f]{8}")
_TOKEN = re.compile(r"\.([0-9a-f]{8})")


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder whose writer is gone."""

    path: Path
    restored: Path | None = None
    """The name that it gets back; None where it is removed."""

    def clear(self) -> None:
        """Remove it, or give it its name back.

        Raises:
            OSError: the file system refuses.
        """
        if self.restored is None:
            files.remove(self.path)
        elif not os.path.lexists(self.restored):
            self.path.rename(self.restored)


def sweep(store: Path) -> None:
    """Clear what is left over, where that can be found without a look into each run; what can't be cleared stays."""
    for one in leftovers(store, everywhere=False):
        with contextlib.suppress(OSError):
            one.clear()


def leftovers(store: Path, *, everywhere: bool = True) -> list[Leftover]:
    """What is left over in a store.

    Args:
        store: its folder.
        everywhere: look into the folders of ended runs, too.
    """
    return [
        *_drafts(store),
        *(one for name in ("comparisons", "traces", "reports") for one in _drafts(store / name)),
        *_of_runs(store, everywhere=everywhere),
        *_locks(store / LOCKS),
    ]


def _drafts(folder: Path) -> Iterator[Leftover]:
    for path in _items(folder):
        if _DRAFT.fullmatch(path.name) and _is_old(path):
            yield Leftover(path)


def _of_runs(store: Path, *, everywhere: bool) -> Iterator[Leftover]:
    runs = store / RUNS
    for path in _items(runs):
        if named := _DRAFT.fullmatch(path.name):
            target = runs / named[1]
            if _is_old(path):
                yield Leftover(path, None if os.path.lexists(target) else target)
        elif token := _TOKEN.fullmatch(path.name):
            if _is_old(path) and is_held(store / LOCKS / token[1], store / LOCKS, sweep=False) is False:
                yield Leftover(path)
        elif path.name.endswith(PARTIAL):
            # Its age first: a lock is asked in turn, and hundreds of runs may be going.
            if _is_old(path) and RunFolder(path).is_held is False:
                yield from _drafts(path)
        elif everywhere:
            yield from _drafts(path)


def _locks(folder: Path) -> Iterator[Leftover]:
    for path in _items(folder):
        if path.name != TURN and _is_old(path) and is_held(path, folder, sweep=False) is False:
            yield Leftover(path)


def _items(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.lstat().st_mtime > SECONDS
    except OSError:  # it is gone
        return False
