"""Runs on disk: one folder per run, written by one process and read by any.

    STORE/runs/KEY/                     an ended run; run_folder.py says what is in it
    STORE/runs/KEY~TOKEN.partial/       a run that is being written, or was interrupted
    STORE/locks/TOKEN                   whose lock the writer of a partial folder holds
    STORE/comparisons/KEY.json          archlab.comparison/1; like run.json, it holds its own hash (sealing.py)
    STORE/reports/KEY.html              the page on a comparison
    STORE/damaged/                      what `archlab runs repair` moved away, laid out as the store
    STORE/.live.json                    where the live page is

A run is written in its own `.partial` folder and renamed when it ends, so that KEY is always complete and any number of
processes may write at once; of two runs with the same key the later one stays.
Keys are readable and end in a hash of configuration, seed and environment (all of it but the command), so that equal
keys mean equal results. Importing this module loads no torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError, StoreError, nearest
from archlab.records import (
    Comparison,
    DataSummary,
    NormRecording,
    Probes,
    Run,
    Trace,
    TrainingConfig,
    Value,
    Watched,
)
from archlab.records.contents import Contents
from archlab.records.display import Shown
from archlab.records.run import RESULTS
from archlab.store import contents, lock
from archlab.store.checkpoints import Checkpoint, checkpoints_in
from archlab.store.comparison_folder import ComparisonFolder
from archlab.store.contents import RUN
from archlab.store.keys import run_key, slug, watched_key
from archlab.store.landscape_draft import LandscapeDraft
from archlab.store.measurements import KINDS
from archlab.store.problem import Problem
from archlab.store.reading import DeniedError, NewerError
from archlab.store.run_folder import LOCKS, RUNS, RunFolder
from archlab.store.run_writer import RunWriter
from archlab.store.sealing import sealed

if TYPE_CHECKING:
    from archlab.store.arrays import Array

DEFAULT_FOLDER = "archlab-runs"
TRACES = "traces"
"""The folder of the traces of the networks that runs trained."""
CLAIM = ".training"
"""What the lock of a run that is being trained is called behind its key."""


def open_store(path: str | Path | None = None) -> Store:
    """The store in a folder: the one given, else `$ARCHLAB_STORE`, else `./archlab-runs`; made when first written.

    Raises:
        StoreError: the path is there and is no folder.
    """
    folder = Path(path or os.environ.get("ARCHLAB_STORE") or DEFAULT_FOLDER)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"the store {folder} is a file, expected a folder: name another, or move the file away")
    return Store(folder)


class Store(Shown):
    """A folder of runs and comparisons."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._comparisons = ComparisonFolder(path / "comparisons")

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def _drawn(self) -> Contents:
        return Contents(str(self.path), tuple(self.runs()), tuple(self.comparisons()))

    def runs(self) -> list[Run]:
        """All readable runs, the oldest first; unreadable ones are in `problems()`.

        Interrupted and running ones are among them, as far as they got.
        """
        return self._scan_runs()[0]

    def comparisons(self) -> list[Comparison]:
        """All readable comparisons, the oldest first."""
        return self._comparisons.scan()[0]

    def problems(self) -> list[Problem]:
        """What lies in the store and can't be read."""
        return self._scan_runs()[1] + self._comparisons.scan()[1]

    def run_folders(self) -> list[RunFolder]:
        """The folders of all runs by their names, partial ones among them."""
        root = self.path / RUNS
        return [RunFolder(item) for item in sorted(root.iterdir()) if not _is_hidden(item)] if root.is_dir() else []

    def run(self, key: str) -> Run:
        """The run of that name.

        Raises:
            InputError: there is none.
            StoreError: its folder can't be read.
        """
        return self._folder(key).run()

    def available(self, keys: Iterable[str]) -> list[Run]:
        """The runs of these names in their order, without those that are not there or can't be read."""
        known = {folder.key for folder in self.run_folders()}
        found = []
        for key in keys:
            if key in known:
                with contextlib.suppress(InputError, StoreError):  # deleted while we looked, or damaged
                    found.append(self.run(key))
        return found

    def result(self, key: str) -> Run | None:
        """The run of that name if it is there, readable and came to its end: it finished or diverged.

        Raises:
            NewerError: a newer archlab wrote it, so that nobody may train over it.
            DeniedError: this user may not read it.
        """
        try:
            run = RunFolder(self.path / RUNS / key).run()
        except (NewerError, DeniedError):
            raise
        except StoreError:
            return None
        return run if run.status in RESULTS else None

    def curves(self, key: str) -> dict[str, Array]:
        """Arrays `step`, `train_loss` and `train_accuracy`, (steps,) each, as far as the run got; empty without any.

        Raises:
            InputError: there is no such run.
            StoreError: they can't be read.
        """
        return self._folder(key).curves()

    def recording(self, key: str, last: int | None = None) -> NormRecording | None:
        """What the run's BatchNorm layers held, or its first two rows and so many of the last, which are read quickly.

        None where nothing was recorded.
        """
        return self._folder(key).recording(last)

    def probes(self, key: str, *kinds: str) -> Probes | None:
        """What was probed of the run, as far as it got, or these fields of it; None where nothing was."""
        return self._folder(key).probes(*(kinds or KINDS))

    def keep_trace(self, trace: Trace) -> str:
        """The name under which a trace is kept, by its content: runs of one network share it.

        Raises:
            StoreError: the folder can't be written.
        """
        text = trace.to_json(indent=0)
        name = _digest(text)
        path = self.path / TRACES / f"{name}.json"
        if not path.exists():
            files.make_folder(path.parent)
            files.save(path, text)
        return name

    def trace(self, run: Run) -> Trace | None:
        """The trace of a run's network, as it was when it was trained; None where it isn't there, or not as it was."""
        if not re.fullmatch(r"[0-9a-f]{64}", run.trace):
            return None
        try:
            text = files.read_regular(self.path / TRACES / f"{run.trace}.json")
            return Trace.from_json(text) if _digest(text) == run.trace else None
        except (OSError, InputError):
            return None

    def landscape_draft(self, key: str) -> LandscapeDraft:
        """What is done of the landscape of a run that has ended, for one process at a time.

        Raises:
            InputError: there is no such run.
        """
        return LandscapeDraft(self._folder(key))

    def comparison(self, key: str) -> Comparison:
        """The comparison of that name.

        Raises:
            InputError: there is none.
            StoreError: its file can't be read.
        """
        return self._comparisons.read(key)

    def save_comparison(self, comparison: Comparison) -> Comparison:
        """The comparison with its key, now kept; the same runs compared again replace it.

        Raises:
            StoreError: the folder can't be written.
        """
        identity = json.dumps([comparison.runs, [variant.name for variant in comparison.variants]])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        names = (comparison.network, Path(comparison.dataset).name, digest)
        kept = replace(comparison, key="-".join(slug(name) for name in names if name))
        self._comparisons.save(kept)
        return kept

    def report_path(self, name: str) -> Path:
        """Where the page on a comparison is kept, by its key; `index` is the page that links all of them."""
        return self.path / "reports" / f"{name}.html"

    @property
    def address_path(self) -> Path:
        """Where the live page keeps its address."""
        return self.path / ".live.json"

    def delete(self, key: str) -> None:
        """Remove a run, or a comparison and the page on it.

        Raises:
            InputError: there is none of that name.
            StoreError: the run is being written or may be, or the folder can't be changed.
        """
        comparison = self._comparisons.find(key)
        if comparison is not None:
            for path in (comparison, self.report_path(key)):
                with files.writing(path):
                    files.remove(path)
            return
        folders = list({folder.path: folder for folder in (self._folder(key), *self._partials(key))}.values())
        held = [folder.is_held for folder in folders]
        if any(held):
            raise StoreError(f"run {key} is being written: stop its process first")
        if None in held:
            raise StoreError(f"run {key} may be going, its lock in {self.path} can't be read: ask whoever trains it")
        for folder in folders:
            with files.writing(folder.path):
                files.remove(folder.path)

    def writer(
        self,
        config: TrainingConfig,
        environment: Mapping[str, Value],
        parameters: int = 0,
        data: DataSummary | None = None,
        watched: Watched | None = None,
        trace: Trace | None = None,
        begun: Checkpoint | None = None,
    ) -> RunWriter:
        """A writer for one run, which holds its folder until it ends; use it in a `with` statement.

        A watched training is a run of its own each time: nobody knows what decided it. A run that goes on from a
        checkpoint keeps its beginning, and counts how often it was resumed.

        Raises:
            StoreError: the folder can't be written.
        """
        created, resumed = datetime.now(UTC).astimezone().isoformat(timespec="seconds"), 0
        if begun is not None:
            with contextlib.suppress(StoreError):
                before = RunFolder(begun.path.parent).run()
                created, resumed = before.created, before.resumed + 1
        run = Run(
            key=run_key(config, environment) if watched is None else watched_key(config),
            config=config,
            status="running",
            environment=dict(environment),
            created=created,
            parameters=parameters,
            data=data,
            watched=watched,
            trace="" if trace is None else self.keep_trace(trace),
            resumed=resumed,
        )
        return RunWriter(self.path / RUNS, run, self._publish, begun)

    def checkpoints(self, key: str) -> list[Checkpoint]:
        """What is left of trainings of that run that were interrupted or failed: the furthest first."""
        ended = RunFolder(self.path / RUNS / key)
        left = [folder for folder in self._partials(key) if folder.is_held is False and not folder.is_newer]
        found = [checkpoint for folder in (ended, *left) for checkpoint in checkpoints_in(folder.path)]
        return sorted(found, key=lambda one: one.step, reverse=True)

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[bool]:
        """A context in which nobody else trains the run of that name; its value is False where another process does.

        Whoever trains a run claims it before it looks whether the store has it: of two that want the same, the second
        then finds what the first has trained. It ends with its process, however that goes.

        Raises:
            StoreError: the folder can't be written.
        """
        path = self._claim_path(key)
        with files.writing(path):
            held = lock.claim(path)
        try:
            yield held is not None
        finally:
            if held is not None:
                lock.disclaim(held)

    def is_claimed(self, key: str) -> bool:
        """Whether a process trains the run of that name, as far as that can be found out."""
        path = self._claim_path(key)
        return bool(lock.is_held(path, path.parent))

    def _claim_path(self, key: str) -> Path:
        return self.path / LOCKS / f"{key}{CLAIM}"

    def fail(self, key: str, error: str) -> Run:
        """The interrupted run of that name, now failed: for a process that died of something known.

        Raises:
            InputError: there is no interrupted run of that name.
            StoreError: the folder can't be written.
        """
        folder = next((item for item in self._partials(key) if item.is_held is False), None)
        if folder is None:
            raise InputError(f"no interrupted run {key!r} in {self.path}")
        run = replace(folder.run(), status="failed", error=error)
        with files.writing(folder.path):
            files.replace_text(folder.path / RUN, sealed(run.to_json()))
            self._publish(folder)
        return run

    def _folder(self, key: str) -> RunFolder:
        ended = self.path / RUNS / key
        named = key == ended.name and not _is_hidden(ended)  # no way out of the store
        if named and os.path.lexists(ended):  # a file in its place is a problem, and can be deleted
            return RunFolder(ended)
        partials = self._partials(key) if named else []
        if not partials:
            known = {folder.key for folder in self.run_folders()}
            raise InputError(f"no run {key!r} in {self.path}: {nearest(key, known)}")
        return partials[0]

    def _partials(self, key: str) -> list[RunFolder]:
        """Partial folders of a run, held ones first, then the newest."""
        found = [folder for folder in self.run_folders() if folder.is_partial and folder.key == key]
        return sorted(found, key=lambda folder: (bool(folder.is_held), folder.modified), reverse=True)

    def _publish(self, partial: RunFolder) -> None:
        """Give a folder its final name, in the place of an older one, and clear what was interrupted before it."""
        contents.keep(partial.path)
        files.replace_folder(partial.path, self.path / RUNS / partial.key)
        for folder in self._partials(partial.key):
            if folder.is_held is False and not folder.is_newer:  # nothing is deleted on a guess
                shutil.rmtree(folder.path, ignore_errors=True)

    def _scan_runs(self) -> tuple[list[Run], list[Problem]]:
        runs: dict[str, Run] = {}
        problems: list[Problem] = []
        # An ended run comes last and so hides what was interrupted before it; a running one hides interrupted ones.
        order = {"interrupted": 0, "running": 1}
        for folder in self.run_folders():
            try:
                run = folder.run()
            except StoreError as error:
                if folder.path.exists():  # else it ended or was deleted while we looked
                    problems.append(Problem(folder.path, str(error)))
                continue
            known = runs.get(run.key)
            if known is None or order.get(run.status, 2) >= order.get(known.status, 2):
                runs[run.key] = run
        return sorted(runs.values(), key=lambda run: (run.created, run.key)), problems


def _digest(text: str | bytes) -> str:
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")
