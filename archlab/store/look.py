"""One look at the folder of a run, for lists: what they say of it, and by what a change is seen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from archlab import files
from archlab.errors import StoreError
from archlab.records import Run
from archlab.records.entry import Entry, entry_of
from archlab.store.contents import PARTIAL, RUN
from archlab.store.run_folder import Fingerprint, RunFolder

if TYPE_CHECKING:
    from archlab.store.listed import Setups

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


def is_partial(name: str) -> bool:
    """Whether a folder of that name holds a run that has not ended."""
    return name.endswith(PARTIAL)


def folder_names(root: str) -> list[str]:
    """The names of the folders of runs; raises FileNotFoundError where there is none for them."""
    names = os.listdir(root)  # noqa: PTH208 - a Path for each takes longer than the names
    return [name for name in names if not name.startswith(".")]


def stamps_of(root: str, names: Iterable[str]) -> Iterator[Stamp | None]:
    """The stamps of the run.json of ended runs; None where there is none."""
    ask = os.stat  # all in one loop: tens of thousands of calls of functions would take as long as the questions
    for name in names:
        try:
            state = ask(f"{root}/{name}/{RUN}")
        except OSError:
            yield None
        else:
            yield state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino & LARGEST


def look_at(root: str, name: str, setups: Setups) -> Look | None:
    """What lists say of the folder of that name; None where it is gone."""
    if is_partial(name):
        return _look_at_partial(RunFolder(Path(root, name)), setups)
    stamp, entry = None, None
    with suppress(Exception):  # whatever it is, who reads the run once more says it
        content, state = files.read_with_state(f"{root}/{name}/{RUN}")
        stamp = _stamp(state)
        entry = setups.entry(content)
    if entry is not None and entry.key == name:
        return Look(stamp, entry)
    return _read(RunFolder(Path(root, name)), stamp, setups)


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
    every = list(runs)
    found = {run.key: run for run in every}
    if len(found) < len(every):
        found.clear()
        for run in every:
            known = found.get(run.key)
            if known is None or ORDER.get(run.status, 2) >= ORDER.get(known.status, 2):
                found[run.key] = run
    by_key = sorted(found.values(), key=attrgetter("key"))
    return sorted(by_key, key=attrgetter("created"))  # two sorts by a text each, faster than one by pairs of texts


def _stamp(state: os.stat_result) -> Stamp:
    return state.st_mtime_ns, state.st_ctime_ns, state.st_size, state.st_ino & LARGEST
