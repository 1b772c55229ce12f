"""Watching a store that others write: what is shown, made anew only where a file has changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from archlab.errors import StoreError
from archlab.records import NormRecording, Probes, Run, TrainingConfig
from archlab.records.entry import Entry, setup_of
from archlab.records.run import RESULTS
from archlab.reports.live.board import PLANNED, SHOWN_PROBES, Board, RunSet, board, planned
from archlab.reports.live.grouping import Group, Grouping
from archlab.store import RunFolder
from archlab.store.run_folder import RUNS

if TYPE_CHECKING:
    from archlab.store import Store
    from archlab.store.look import Look

BOARDS_PER_PAGE = 12
MOST_BOARDS = 120
"""That are kept, with what was read of their runs, for whoever asks again."""
READING_ATTEMPTS = 4
"""How often all folders are read at most while some are renamed."""
RANKS = {"running": 2, "interrupted": 0}
"""Of the folders of one run the one that is being written is shown, else the one that has ended."""


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
        return (self.page - 1) * BOARDS_PER_PAGE + 1

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
    _before: Mapping[str, Look] = field(default_factory=dict)
    """With a plan, the folders as they were when it began."""
    _groups: list[Group] = field(default_factory=list)
    _folders: dict[str, str] = field(default_factory=dict)
    """Key of a run -> the name of the folder that is shown of it."""
    _snapshots: dict[str, _Snapshot] = field(default_factory=dict)
    """Of the folders that were shown, by their names."""
    _boards: dict[str, _Drawn] = field(default_factory=dict)
    """By anchor, the one that was shown last at the end."""
    _changes: int = 0
    """How often something has changed."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._survey = self.store.survey()
        self._grouping = Grouping()
        if self.plan:
            self._survey.look()
            self._before = self._survey.looks
        self._arrange()

    def shown(self, page: int = 1) -> Shown:
        """A page of experiments, at most the last one: the same objects as last time where nothing has changed."""
        with self._lock:
            self._update()
            page = max(1, min(page, _pages(len(self._groups))))
            chosen = self._groups[(page - 1) * BOARDS_PER_PAGE : page * BOARDS_PER_PAGE]
            return Shown([self._board(group) for group in chosen], page, len(self._groups))

    def _board(self, group: Group) -> Board:
        known = self._boards.pop(group.anchor, None)
        if known is None or known.changes != self._changes:
            runs = self._members(group)
            if known is not None and _same(known.runs, runs):
                known = _Drawn(self._changes, known.runs, known.board)
            else:
                known = _Drawn(self._changes, runs, board(runs, self._curves, self._probes, self._recording))
        self._boards[group.anchor] = known
        return known.board

    def _members(self, group: Group) -> RunSet:
        """The runs of an experiment, read where they have changed since they were last shown."""
        runs = [run for key in group.keys if (run := self._snapshot(key).run) is not None]
        return planned(self.plan, runs) if self.plan else RunSet(group.anchor, tuple((run.config, run) for run in runs))

    def _snapshot(self, key: str) -> _Snapshot:
        name = self._folders[key]
        look = self._survey.looks[name]
        known = self._snapshots.get(name)
        if known is None or known.look != look:
            known = self._snapshots[name] = _Snapshot(RunFolder(self.store.path / RUNS / name), look)
        return known

    def _curves(self, run: Run) -> Mapping[str, Any] | None:
        return self._snapshot(run.key).curves

    def _probes(self, run: Run) -> Probes | None:
        return self._snapshot(run.key).probes

    def _recording(self, run: Run) -> NormRecording | None:
        return self._snapshot(run.key).recording

    def _update(self) -> None:
        """Bring the groups up to date with the store.

        A run that ends while its folder is read renames the folder: a further round finds it under its new name.
        """
        has_changed = self._survey.glance()
        for _ in range(READING_ATTEMPTS - 1):
            if not self._survey.has_lost:
                break
            has_changed |= self._survey.glance()
        if has_changed:
            self._arrange()

    def _arrange(self) -> None:
        """Find out what belongs together, and forget what is shown no more."""
        self._changes += 1
        entries = self._entries()
        if self.plan:
            wanted = {setup_of(config).text: config for config in self.plan}
            keys = [entry.key for entry in entries if entry.setup.text in wanted]
            self._groups = [Group(PLANNED, tuple(keys))]
        else:
            self._groups = self._grouping.groups(entries)
        known = {group.anchor: group for group in self._groups}
        kept = [anchor for anchor in self._boards if anchor in known][-MOST_BOARDS:]
        self._boards = {anchor: self._boards[anchor] for anchor in kept}
        names = {self._folders[key] for anchor in kept for key in known[anchor].keys}
        self._snapshots = {name: held for name, held in self._snapshots.items() if name in names}

    def _entries(self) -> list[Entry]:
        """One run per key, the oldest first."""
        chosen: dict[str, tuple[Entry, str]] = {}
        for name, look in self._survey.looks.items():
            entry = look.entry
            if entry is None or (self._before and not self._counts(name, look, entry)):
                continue
            known = chosen.get(entry.key)
            if known is None or _rank(entry) >= _rank(known[0]):
                chosen[entry.key] = entry, name
        self._folders = {key: name for key, (_, name) in chosen.items()}
        by_key = sorted((entry for entry, _ in chosen.values()), key=attrgetter("key"))
        return sorted(by_key, key=attrgetter("created"))  # faster than one sort by pairs of texts

    def _counts(self, name: str, look: Look, entry: Entry) -> bool:
        """Whether a run is shown: with a plan, what is there from before is trained anew unless it came to its end."""
        if entry.status == "running" or self._before.get(name) != look:
            return True
        return entry.status in RESULTS and not self.fresh


@dataclass(frozen=True)
class _Drawn:
    """An experiment as it was shown."""

    changes: int
    """How often something had changed by then."""
    runs: RunSet
    board: Board


@dataclass(eq=False)
class _Snapshot:
    """A folder as it was when it was looked at; read when first asked for."""

    folder: RunFolder
    look: Look

    @cached_property
    def run(self) -> Run | None:
        """None where it can't be read."""
        try:
            return self.folder.run()
        except StoreError:
            return None

    @cached_property
    def curves(self) -> Mapping[str, Any] | None:
        """None where there are none, or they can't be read."""
        try:
            return self.folder.curves() or None
        except StoreError:
            return None

    @cached_property
    def recording(self) -> NormRecording | None:
        """What its BatchNorm layers held; None where there is nothing, or it can't be read."""
        try:
            return self.folder.recording()
        except StoreError:
            return None

    @cached_property
    def probes(self) -> Probes | None:
        """What the page shows of them; None where there is nothing, or it can't be read."""
        try:
            return self.folder.probes(*SHOWN_PROBES)
        except StoreError:
            return None


def _same(one: RunSet, other: RunSet) -> bool:
    """Whether the groups hold the same records: a run that has changed is another object."""
    return len(one.members) == len(other.members) and all(
        mine is theirs for (_, mine), (_, theirs) in zip(one.members, other.members, strict=True)
    )


def _rank(entry: Entry) -> int:
    return RANKS.get(entry.status, 1)


def _pages(total: int) -> int:
    return max(1, -(-total // BOARDS_PER_PAGE))
