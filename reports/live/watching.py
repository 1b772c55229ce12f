"""Watching a store that others write: what is shown, made anew only where a file has changed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from archlab.errors import StoreError
from archlab.records import NormRecording, Probes, Run, TrainingConfig
from archlab.records.run import RESULTS
from archlab.reports.live.board import SHOWN_PROBES, Board, RunSet, board, groups, planned

if TYPE_CHECKING:
    from archlab.store import RunFolder, Store
    from archlab.store.run_folder import Fingerprint

BOARDS_PER_PAGE = 12
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
    _snapshots: list[_Snapshot] = field(default_factory=list)
    """Of all folders, as they were when they were last looked at."""
    _shown: dict[str, _Snapshot] = field(default_factory=dict)
    """The one that is shown, by the key of its run."""
    _groups: list[RunSet] = field(default_factory=list)
    _boards: dict[str, tuple[RunSet, Board]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._before = self._fingerprints() if self.plan else {}
        self._groups = self._grouped([])

    def shown(self, page: int = 1) -> Shown:
        """A page of experiments, at most the last one: the same objects as last time where nothing has changed."""
        with self._lock:
            self._update()
            page = max(1, min(page, _pages(len(self._groups))))
            chosen = self._groups[(page - 1) * BOARDS_PER_PAGE : page * BOARDS_PER_PAGE]
            return Shown([self._board(group) for group in chosen], page, len(self._groups))

    def _board(self, group: RunSet) -> Board:
        known, found = self._boards.get(group.anchor, (None, None))
        if found is None or known is None or not _same(known, group):
            found = board(group, self._curves, self._probes, self._recording)
            self._boards[group.anchor] = (group, found)
        return found

    def _curves(self, run: Run) -> Mapping[str, Any] | None:
        return self._shown[run.key].curves

    def _probes(self, run: Run) -> Probes | None:
        return self._shown[run.key].probes

    def _recording(self, run: Run) -> NormRecording | None:
        return self._shown[run.key].recording

    def _update(self) -> None:
        """Bring the groups up to date with the store.

        A run that ends while its folder is read renames the folder: then the snapshot has no run and its folder is
        gone, and a further round finds the run under its new name.
        """
        if not self._take_snapshots():
            return
        for _ in range(READING_ATTEMPTS - 1):
            if all(snapshot.run or snapshot.folder.path.exists() for snapshot in self._snapshots):
                break
            self._take_snapshots()
        self._groups = self._grouped(self._runs())
        anchors = {group.anchor for group in self._groups}
        self._boards = {anchor: known for anchor, known in self._boards.items() if anchor in anchors}

    def _grouped(self, runs: Sequence[Run]) -> list[RunSet]:
        return [planned(self.plan, runs)] if self.plan else groups(runs)

    def _take_snapshots(self) -> bool:
        """Whether a folder has changed; those that have not keep their snapshots, and are not read again."""
        fingerprints = self._fingerprints()
        if fingerprints == {snapshot.folder: snapshot.fingerprint for snapshot in self._snapshots}:
            return False
        known = {(snapshot.folder, snapshot.fingerprint): snapshot for snapshot in self._snapshots}
        self._snapshots = [known.get(item) or _Snapshot(*item) for item in fingerprints.items()]
        return True

    def _runs(self) -> list[Run]:
        """One run per key, the oldest first."""
        chosen: dict[str, tuple[Run, _Snapshot]] = {}
        for snapshot in self._snapshots:
            run = snapshot.run
            if run is None or not self._counts(snapshot, run):
                continue
            if run.key not in chosen or _rank(run) >= _rank(chosen[run.key][0]):
                chosen[run.key] = run, snapshot
        self._shown = {key: snapshot for key, (_, snapshot) in chosen.items()}
        return sorted((run for run, _ in chosen.values()), key=lambda run: (run.created, run.key))

    def _counts(self, snapshot: _Snapshot, run: Run) -> bool:
        """Whether a run is shown: with a plan, what is there from before is trained anew unless it came to its end."""
        if run.status == "running" or self._before.get(snapshot.folder) != snapshot.fingerprint:
            return True
        return run.status in RESULTS and not self.fresh

    def _fingerprints(self) -> dict[RunFolder, Fingerprint]:
        """Of all folders; one that is renamed meanwhile is left out, and found under its new name the next time."""
        found = ((folder, folder.fingerprint()) for folder in self.store.run_folders())
        return {folder: fingerprint for folder, fingerprint in found if fingerprint is not None}


@dataclass(eq=False)
class _Snapshot:
    """A folder as it was when its fingerprint was taken; read when first asked for."""

    folder: RunFolder
    fingerprint: Fingerprint

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


def _rank(run: Run) -> int:
    return RANKS.get(run.status, 1)


def _pages(total: int) -> int:
    return max(1, -(-total // BOARDS_PER_PAGE))
