"""Looking at a store that others write: what is shown, made anew only where a file has changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab import files
from archlab.errors import StoreError
from archlab.records import Run, TrainingConfig
from archlab.reports.live.board import Board, Group, board, groups, planned
from archlab.store.run_folder import PARTIAL, STEPS, read_curves, read_run

if TYPE_CHECKING:
    from archlab.store import Store

MOST = 12
"""Experiments on one page."""
LOOKS = 3
"""Further attempts at reading all folders while some are renamed."""
RANKS = {"running": 2, "interrupted": 0}
"""Of the folders of one run the one that is being written is shown, else the one that has ended."""

Trait = tuple[int, int, int, int, bool]
"""Changes when a run's folder does: time and size of its run.json, sizes of what is appended, whether it is held."""


@dataclass(frozen=True)
class Shown:
    """One page of experiments, the newest first."""

    boards: list[Board]
    page: int
    """From 1."""
    total: int
    """Experiments on all pages."""

    @property
    def first(self) -> int:
        """The place of the page's first experiment among all, from 1."""
        return (self.page - 1) * MOST + 1

    @property
    def pages(self) -> int:
        """How many pages there are."""
        return _pages(self.total)


@dataclass
class Watch:
    """The experiments of a store as they stand; any number of threads may ask."""

    store: Store
    plan: Sequence[TrainingConfig] = ()
    """What is trained: then this one experiment is shown, its waiting runs among them, instead of the whole store."""
    fresh: bool = False
    """Whether the plan trains what the store has finished; what was there before is then not shown."""
    _seen: list[_Folder] = field(default_factory=list)
    _folders: dict[str, _Folder] = field(default_factory=dict)
    """The one that is shown, by the key of its run."""
    _groups: list[Group] = field(default_factory=list)
    _boards: dict[str, tuple[Group, Board]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._before = self._look() if self.plan else {}
        self._groups = self._grouped([])

    def shown(self, page: int = 1) -> Shown:
        """A page of experiments, at most the last one: the same objects as last time where nothing has changed."""
        with self._lock:
            self._update()
            page = max(1, min(page, _pages(len(self._groups))))
            chosen = self._groups[(page - 1) * MOST : page * MOST]
            return Shown([self._board(group) for group in chosen], page, len(self._groups))

    def _board(self, group: Group) -> Board:
        known, found = self._boards.get(group.anchor, (None, None))
        if found is None or known is None or not _same(known, group):
            found = board(group, self._curves)
            self._boards[group.anchor] = (group, found)
        return found

    def _curves(self, run: Run) -> Mapping[str, Any] | None:
        return self._folders[run.key].curves

    def _update(self) -> None:
        """See what has changed in the store."""
        if not self._read():
            return
        for _ in range(LOOKS):
            if all(folder.run or folder.path.exists() for folder in self._seen):
                break
            self._read()  # a folder was renamed, since its run has ended, between the look and the reading
        self._groups = self._grouped(self._runs())
        anchors = {group.anchor for group in self._groups}
        self._boards = {anchor: known for anchor, known in self._boards.items() if anchor in anchors}

    def _grouped(self, runs: Sequence[Run]) -> list[Group]:
        return [planned(self.plan, runs)] if self.plan else groups(runs)

    def _read(self) -> bool:
        """Whether a folder has changed; those that have not are not read again."""
        traits = self._look()
        if traits == {folder.path.name: folder.trait for folder in self._seen}:
            return False
        known = {(folder.path.name, folder.trait): folder for folder in self._seen}
        self._seen = [
            known.get(item) or _Folder(self.store.path / "runs" / item[0], item[1]) for item in traits.items()
        ]
        return True

    def _runs(self) -> list[Run]:
        """One run a key, the oldest first."""
        chosen: dict[str, tuple[Run, _Folder]] = {}
        for folder in self._seen:
            run = folder.run
            if run is None or not self._counts(folder, run):
                continue
            if run.key not in chosen or _rank(run) >= _rank(chosen[run.key][0]):
                chosen[run.key] = run, folder
        self._folders = {key: folder for key, (_, folder) in chosen.items()}
        return sorted((run for run, _ in chosen.values()), key=lambda run: (run.created, run.key))

    def _counts(self, folder: _Folder, run: Run) -> bool:
        """Whether a run is shown: with a plan, what is there from before is trained anew unless it is finished."""
        if run.status == "running" or self._before.get(folder.path.name) != folder.trait:
            return True
        return run.status == "finished" and not self.fresh

    def _look(self) -> dict[str, Trait]:
        """The traits of all folders, which cost a few calls of the system each."""
        root = self.store.path / "runs"
        traits = {}
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            if folder.name.startswith("."):
                continue
            try:
                state = (folder / "run.json").stat()
                going = folder.name.endswith(PARTIAL)
                traits[folder.name] = (
                    state.st_mtime_ns,
                    state.st_size,
                    _size(folder / "metrics.jsonl") if going else 0,
                    _size(folder / STEPS) if going else 0,
                    going and files.is_held(folder),
                )
            except OSError:  # it was renamed or deleted while we looked; the next look finds what came of it
                continue
        return traits


@dataclass(eq=False)
class _Folder:
    """A folder as it was when its trait was taken; read when first asked for."""

    path: Path
    trait: Trait

    @cached_property
    def run(self) -> Run | None:
        """None where it can't be read."""
        try:
            return read_run(self.path)
        except StoreError:
            return None

    @cached_property
    def curves(self) -> Mapping[str, Any] | None:
        """None where there are none, or they can't be read."""
        try:
            return read_curves(self.path) or None
        except StoreError:
            return None


def _same(one: Group, other: Group) -> bool:
    """Whether the groups hold the same records: a run that has changed is another object."""
    return len(one.members) == len(other.members) and all(
        mine is theirs for (_, mine), (_, theirs) in zip(one.members, other.members, strict=True)
    )


def _rank(run: Run) -> int:
    return RANKS.get(run.status, 1)


def _pages(total: int) -> int:
    return max(1, -(-total // MOST))


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
