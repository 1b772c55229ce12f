"""Looking at a store that others write: what is shown, made anew only when a file has changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archlab import files
from archlab.records import TrainingConfig
from archlab.reports.live.board import Board, boards, planned_board

if TYPE_CHECKING:
    from archlab.store import Store

MOST = 12
"""Experiments of a store that are shown."""


@dataclass
class Watch:
    """The experiments of a store as they stand; any number of threads may ask."""

    store: Store
    plan: Sequence[TrainingConfig] = ()
    """What is trained: then this one experiment is shown, its waiting runs among them, instead of the whole store."""
    _seen: object = None
    _boards: list[Board] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def boards(self) -> list[Board]:
        """The experiments, the newest first: the same objects as last time where nothing has changed."""
        with self._lock:
            seen = self._look()
            if seen != self._seen:
                runs = self.store.runs()
                self._boards = [planned_board(self.plan, runs)] if self.plan else boards(runs)[:MOST]
                self._seen = seen
            return self._boards

    def _look(self) -> list[tuple[str, int, int, int, bool]]:
        """A trait of each run's folder that changes when the run does; costs a few calls of the system a run."""
        root = self.store.path / "runs"
        traits = []
        for folder in sorted(root.iterdir()) if root.is_dir() else []:
            if folder.name.startswith("."):
                continue
            try:
                state = (folder / "run.json").stat()
                metrics = folder / "metrics.jsonl"
                size = metrics.stat().st_size if metrics.exists() else 0
            except OSError:  # it was renamed or deleted while we looked; the next look finds what came of it
                continue
            traits.append((folder.name, state.st_mtime_ns, state.st_size, size, files.is_held(folder)))
        return traits
