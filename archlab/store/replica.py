"""A run that one machine trains and another keeps: what changes in the first one's store is put into the other's.

    outgoing = Outgoing(scratch)           # on the machine that trains, whose store is thrown away
    replicas = Replicas(store)             # on the one that keeps
    replicas.apply(outgoing.changes())     # again and again, while runs go on

Files go whole or, where they only grow, from where they had ended, so that a run on the second machine can be watched
as it goes, and goes on from its last checkpoint when the first is gone. What a run goes on from, `beginnings` gives.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import StoreError
from archlab.records.run import RESULTS
from archlab.store import lock
from archlab.store.checkpoints import checkpoints_in
from archlab.store.contents import PARTIAL, RUN
from archlab.store.keys import run_key
from archlab.store.run_folder import EPOCHS, RUNS, STEPS, RunFolder
from archlab.store.traces import TRACES

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from archlab.records import TrainingConfig
    from archlab.store.store import Store

GROWING = (EPOCHS, STEPS)
"""Files that are only appended to while a run goes."""

_PLACE = re.compile(rf"({RUNS}/[^./\\][^/\\]*|{TRACES})/[^./\\][^/\\]*")
"""Paths of files in a store; none leads out of it, or to what is hidden in it."""
Mark = tuple[int, int, int]
"""Size, time and number of a file: another where it was written or replaced."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes of one file."""

    folder: str
    """In the store: `runs/KEY`, `runs/KEY~TOKEN.partial`, `traces`."""
    name: str
    content: bytes
    offset: int = 0
    """Where they begin; at 0 they are the whole file."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What has changed in a store since it was last asked."""

    parts: tuple[Part, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
    """Folder and name of files that are gone; with an empty name the whole folder."""

    def __bool__(self) -> bool:
        return bool(self.parts or self.removed)


class Outgoing:
    """The changes in a store that only one process writes.

    Args:
        path: the store's folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, dict[str, Mark]] = {}

    def put(self, parts: Iterable[Part]) -> None:
        """Have these files in the store; they are no changes."""
        for part in parts:
            target = self._path / part.folder / part.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(part.content)
            self._known.setdefault(part.folder, {})[part.name] = _mark(target.stat())

    def clear(self) -> None:
        """Remove all runs: they were handed over."""
        shutil.rmtree(self._path / RUNS, ignore_errors=True)
        self._known = {folder: marks for folder, marks in self._known.items() if folder == TRACES}

    def changes(self) -> Changes:
        """What has changed since the last time."""
        folders = [TRACES, *(f"{RUNS}/{name}" for name in _names(self._path / RUNS))]
        gone = [(folder, "") for folder in self._known if folder not in folders]
        for folder, _ in gone:
            del self._known[folder]
        parts: list[Part] = []
        removed: list[tuple[str, str]] = []
        for folder in folders:
            # A folder that is renamed meanwhile is found under its new name the next time.
            with contextlib.suppress(FileNotFoundError):
                found, lost = self._in(folder)
                parts += found
                removed += lost
        return Changes(tuple(parts), (*removed, *gone))

    def _in(self, folder: str) -> tuple[list[Part], list[tuple[str, str]]]:
        known = self._known.get(folder, {})
        names = _names(self._path / folder)
        states = {name: (self._path / folder / name).stat() for name in names}
        marks = {name: _mark(state) for name, state in states.items()}
        if marks == known:
            return [], []
        is_running = folder.endswith(PARTIAL)
        if not is_running and folder != TRACES:
            known = {}  # an ended run goes as a whole
        parts = []
        for name, mark in marks.items():
            before = known.get(name)
            if before == mark:
                continue
            grows = is_running and name in GROWING and before is not None and before[2] == mark[2]
            offset = before[0] if grows and before is not None and before[0] <= mark[0] else 0
            with files.open_regular(self._path / folder / name) as file:
                file.seek(offset)
                content = file.read()
            marks[name] = (offset + len(content), *mark[1:])  # it may have grown since it was looked at
            if content or not offset:
                parts.append(Part(folder, name, content, offset))
        self._known[folder] = marks
        return parts, [(folder, name) for name in known.keys() - marks.keys()]


@dataclass(slots=True)
class _Held:
    """A partial folder that is written here, for a process elsewhere."""

    folder: RunFolder
    own: BaseFileLock
    claim: BaseFileLock | None
    """On the run, so that processes here don't train it too; None where one does."""


@dataclass(slots=True)
class Replicas:
    """What one worker elsewhere writes, in the store here."""

    store: Store
    _held: dict[str, _Held] = field(default_factory=dict)

    def apply(self, changes: Changes) -> None:
        """Do what was done elsewhere.

        Raises:
            StoreError: the store can't be written.
        """
        for part in changes.parts:
            _check(part.folder, part.name)
        for folder, name in changes.removed:
            _check(folder, name or RUN)
        by_folder: dict[str, list[Part]] = {}
        for part in changes.parts:
            by_folder.setdefault(part.folder, []).append(part)
        with files.writing(self.store.path):
            for folder, parts in sorted(by_folder.items(), key=lambda item: item[0].startswith(RUNS)):
                if folder == TRACES:
                    self._write(parts)
                elif folder.endswith(PARTIAL):
                    self._grow(folder, parts)
                else:
                    self._publish(folder, parts)
            for folder, name in changes.removed:
                if name:
                    (self.store.path / folder / name).unlink(missing_ok=True)
                elif (held := self._held.pop(folder, None)) is not None:
                    self._leave(held)

    def leave(self) -> None:
        """Give up what is written: nothing more comes, and its runs stay behind as interrupted."""
        for held in self._held.values():
            self._leave(held)
        self._held.clear()

    def _grow(self, folder: str, parts: list[Part]) -> None:
        if folder in self._held:
            self._write(parts)
            return
        path = self.store.path / folder
        hidden = path.with_name("." + path.name.removesuffix(PARTIAL).rpartition("~")[2])
        hidden.mkdir(parents=True)
        self._write(Part(f"{RUNS}/{hidden.name}", part.name, part.content) for part in parts)
        target = RunFolder(path)
        own = lock.hold(target.lock_path)  # before it gets its name: nobody may see it without a holder
        hidden.rename(path)
        self._held[folder] = _Held(target, own, lock.claim(self.store._claim_path(target.key)))
        self._drop_before(target)

    def _drop_before(self, target: RunFolder) -> None:
        """Remove what a run was interrupted as, once the folder that goes on from there has its checkpoint."""
        step = max((one.step for one in checkpoints_in(target.path)), default=-1)
        for other in self.store._partials(target.key):
            found = checkpoints_in(other.path)
            if other.is_held is False and found and found[0].step <= step and not other.is_newer:
                shutil.rmtree(other.path, ignore_errors=True)

    def _publish(self, folder: str, parts: list[Part]) -> None:
        key = folder.rpartition("/")[2]
        new = f"{folder}~{uuid.uuid4().hex[:8]}{PARTIAL}"
        partial = next((name for name, held in self._held.items() if held.folder.key == key), new)
        self._grow(partial, [Part(partial, part.name, part.content) for part in parts])
        held = self._held.pop(partial)
        for name in set(_names(held.folder.path)) - {part.name for part in parts}:
            (held.folder.path / name).unlink()
        self.store._publish(held.folder)
        self._leave(held)

    def _leave(self, held: _Held) -> None:
        lock.release(held.own)
        if held.claim is not None:
            lock.disclaim(held.claim)

    def _write(self, parts: Iterable[Part]) -> None:
        for part in parts:
            path = self.store.path / part.folder / part.name
            if part.offset:
                with path.open("r+b") as file:
                    file.seek(part.offset)
                    file.write(part.content)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                files.replace_bytes(path, part.content)


def beginnings(store: Store, config: TrainingConfig) -> list[Part]:
    """What a store has of a run, for who trains it elsewhere: that it came to its end, or what it goes on from.

    Of runs with the same configuration on another kind of machine too: only who builds the network knows which is it.
    """
    beginning = run_key(config, {}).rpartition("-")[0] + "-"
    found: list[Part] = []
    names_here = [name for name in store._folder_names() if name.startswith(beginning)]
    for folder in [RunFolder(store.path / RUNS / name) for name in sorted(names_here)]:
        with contextlib.suppress(StoreError, OSError):
            run = folder.run()
            if run.config == config and folder.is_held is False:
                names = [RUN] if run.status in RESULTS else _names(folder.path)
                place = f"{RUNS}/{folder.path.name}"
                found += [Part(place, name, files.read_regular(folder.path / name)) for name in names]
    return found


def _check(folder: str, name: str) -> None:
    """Hold that what another machine names lies among the runs or the traces.

    Raises:
        StoreError: it does not.
    """
    if not _PLACE.fullmatch(f"{folder}/{name}"):
        raise StoreError(f"{folder}/{name} is no file of a store")


def _names(folder: Path) -> list[str]:
    """What lies in a folder, without drafts."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208
    except FileNotFoundError:
        return []


def _mark(state: os.stat_result) -> Mark:
    return state.st_size, state.st_mtime_ns, state.st_ino
