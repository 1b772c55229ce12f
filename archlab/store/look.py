"""One look at the folder of a run, for lists: what they say of it, and by what a change is seen."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from archlab import files
from archlab.errors import StoreError
from archlab.records import Run
from archlab.records.entry import Entry, Setup, entry_of, setup_of
from archlab.store.contents import PARTIAL, RUN
from archlab.store.reading import reading
from archlab.store.run_folder import Fingerprint, RunFolder, run_of

Stamp = tuple[int, int, int, int]
"""Of a file: when it was written, and when anything of it changed, in nanoseconds; its size and its number."""
LARGEST = 2**63 - 1
"""Number that a database holds; a file's number may be larger."""

ORDER = {"interrupted": 0, "running": 1}
"""Of one run's folders an ended one hides what was interrupted before it, a running one hides interrupted ones."""
R = TypeVar("R", Run, Entry)


class Look(NamedTuple):
    """A folder as it was when it was looked at."""

    stamp: Stamp | Fingerprint | None
    """Changes when the run does; None where nothing says so, and the folder is read each time."""
    entry: Entry | None
    """None where the run can't be read."""
    error: str = ""
    """Why not."""


class Setups:
    """Setups by their texts: each is kept once, however many runs share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Setup] = {}

    def of(self, run: Run) -> Setup:
        """What the run shares with those that differ in their seed alone."""
        return self.kept(setup_of(run.config, run.watched))

    def kept(self, setup: Setup) -> Setup:
        """The setup of these texts: the one that is there, else this one."""
        return self._known.setdefault((setup.text, setup.watched), setup)


def is_partial(name: str) -> bool:
    """Whether a folder of that name holds a run that has not ended."""
    return name.endswith(PARTIAL)


def stamp_of(root: str, name: str) -> Stamp | None:
    """The stamp of an ended run's run.json; None where there is none."""
    try:
        return _stamp(os.stat(f"{root}/{name}/{RUN}"))  # noqa: PTH116 - a Path takes longer than the question
    except OSError:
        return None


def look_at(root: str, name: str, setups: Setups) -> Look | None:
    """What lists say of the folder of that name; None where it is gone.

    A run that can't be read is read once more by who says best why.
    """
    if is_partial(name):
        return _look_at_partial(RunFolder(Path(root, name)), setups)
    stamp, folder = None, Path(root, name)
    with suppress(StoreError), reading(folder):
        with files.open_regular(f"{root}/{name}/{RUN}") as file:
            stamp = _stamp(os.fstat(file.fileno()))
            run = run_of(file.read(), folder / RUN)
        if run.key == name:
            return Look(stamp, entry_of(run, setups.of(run)))
    return _read(RunFolder(folder), stamp, setups)


def _look_at_partial(folder: RunFolder, setups: Setups) -> Look | None:
    return _read(folder, folder.fingerprint(), setups)


def _read(folder: RunFolder, stamp: Stamp | Fingerprint | None, setups: Setups) -> Look | None:
    try:
        run = folder.run()
        return Look(stamp, entry_of(run, setups.of(run)))
    except StoreError as error:
        return Look(stamp, None, str(error)) if folder.path.exists() else None


def each_once(runs: Iterable[R]) -> list[R]:
    """The runs of several folders, the oldest first: of those of one run the one that counts."""
    found: dict[str, R] = {}
    for run in runs:
        known = found.get(run.key)
        if known is None or ORDER.get(run.status, 2) >= ORDER.get(known.status, 2):
            found[run.key] = run
    return sorted(found.values(), key=lambda run: (run.created, run.key))


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino & LARGEST
