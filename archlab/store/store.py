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
import functools
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError, StoreError, nearest
from archlab.records import Run
from archlab.records.contents import Contents
from archlab.records.display import Shown
from archlab.records.run import RESULTS
from archlab.store import contents, lock
from archlab.store.checkpoints import checkpoints_in
from archlab.store.comparison_folder import ComparisonFolder
from archlab.store.contents import RUN
from archlab.store.deleting import delete_run
from archlab.store.keys import precision_part, run_key, slug, watched_key
from archlab.store.look import each_once, folder_names
from archlab.store.reading import DeniedError, NewerError
from archlab.store.run_folder import LOCKS, RUNS, RunFolder
from archlab.store.sealing import sealed

if TYPE_CHECKING:
    from archlab.records import Comparison, DataSummary, NormRecording, Probes, Trace, TrainingConfig, Value, Watched
    from archlab.store.arrays import Array
    from archlab.store.checkpoints import Checkpoint
    from archlab.store.landscape_draft import LandscapeDraft
    from archlab.store.problem import Problem
    from archlab.store.run_writer import RunWriter
    from archlab.store.survey import Listing, Survey

DEFAULT_FOLDER = "archlab-runs"
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
        self._runs = path / RUNS
        self._comparisons = ComparisonFolder(path / "comparisons")

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def _drawn(self) -> Contents:
        return Contents(str(self.path), tuple(self.runs()), tuple(self.comparisons()))

    def runs(self) -> list[Run]:
        """All readable runs, the oldest first; unreadable ones are in `problems()`.

        Interrupted and running ones are among them, as far as they got.
        """
        found = []
        for folder in self.run_folders():
            with contextlib.suppress(StoreError):
                found.append(folder.run())
        return each_once(found)

    def comparisons(self) -> list[Comparison]:
        """All readable comparisons, the oldest first."""
        return self._comparisons.scan()[0]

    def problems(self) -> list[Problem]:
        """What lies in the store and can't be read."""
        listing, _, problems = self.scan()
        return [*listing.problems, *problems]

    def scan(self) -> tuple[Listing, list[Comparison], list[Problem]]:
        """What lists say of all runs; all readable comparisons, the oldest first; and those that can't be read."""
        comparisons = functools.cache(self._comparisons.scan)
        return self.listing(comparisons), *comparisons()

    def comparison_written(self, key: str) -> float:
        """When a comparison was kept, in seconds since 1970; 0 where there is none of that name."""
        path = self._comparisons.find(key)
        return 0.0 if path is None else path.stat().st_mtime

    def listing(self, meanwhile: Callable[[], object] | None = None) -> Listing:
        """What lists say of all runs, which takes a fraction of the time of reading them whole; `Survey` says more."""
        from archlab.store.survey import Survey

        survey = Survey(self.path, once=True, meanwhile=meanwhile)
        survey.look()
        return survey.listing()

    def survey(self) -> Survey:
        """All runs, to be looked at once or again and again."""
        from archlab.store.survey import Survey

        return Survey(self.path)

    def run_folders(self) -> list[RunFolder]:
        """The folders of all runs by their names, partial ones among them."""
        return [RunFolder(self._runs / name) for name in sorted(self._folder_names())]

    def _folder_names(self) -> list[str]:
        return folder_names(str(self._runs)) if self._runs.is_dir() else []

    def run(self, key: str) -> Run:
        """The run of that name.

        Raises:
            InputError: there is none.
            StoreError: its folder can't be read.
        """
        return self._folder(key).run()

    def available(self, keys: Iterable[str]) -> list[Run]:
        """The runs of these names in their order, without those that are not there or can't be read."""
        found = []
        for key in keys:
            folder = self._find(key)
            if folder is not None:
                with contextlib.suppress(StoreError):  # deleted while we looked, or damaged
                    found.append(folder.run())
        return found

    def result(self, key: str) -> Run | None:
        """The run of that name if it is there, readable and came to its end: it finished or diverged.

        Raises:
            NewerError: a newer archlab wrote it, so that nobody may train over it.
            DeniedError: this user may not read it.
        """
        try:
            run = RunFolder(self._runs / key).run()
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
        from archlab.store.measurements import KINDS

        return self._folder(key).probes(*(kinds or KINDS))

    def keep_trace(self, trace: Trace) -> str:
        """The name under which a trace is kept, by its content: runs of one network share it.

        Raises:
            StoreError: the folder can't be written.
        """
        from archlab.store.traces import TRACES, keep_trace

        return keep_trace(self.path / TRACES, trace)

    def trace(self, run: Run) -> Trace | None:
        """The trace of a run's network, as it was when it was trained; None where it isn't there, or not as it was."""
        from archlab.store.traces import TRACES, read_trace

        return read_trace(self.path / TRACES, run.trace)

    def landscape_draft(self, key: str) -> LandscapeDraft:
        """What is done of the landscape of a run that has ended, for one process at a time.

        Raises:
            InputError: there is no such run.
        """
        from archlab.store.landscape_draft import LandscapeDraft

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
        precision = precision_part(comparison.settings.get("precision"))
        names = (comparison.network, Path(comparison.dataset).name, precision, digest)
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
        self._folder(key)
        delete_run(self.path, key, self._partials(key))

    def delete_runs(self, keys: Iterable[str]) -> Iterator[StoreError | None]:
        """Remove runs one after the other, and give of each what kept it from going; None of one that is gone.

        Partial folders are looked for once, which makes it quick.
        """
        unended = {folder.key for folder in self.run_folders() if folder.is_partial}
        for key in keys:
            try:
                delete_run(self.path, key, self._partials(key) if key in unended else [])
            except StoreError as error:
                yield error
            else:
                yield None

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
        from archlab.store.run_writer import RunWriter

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
        return RunWriter(self._runs, run, self._publish, begun)

    def checkpoints(self, key: str) -> list[Checkpoint]:
        """What is left of trainings of that run that were interrupted or failed: the furthest first."""
        ended = RunFolder(self._runs / key)
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
        found = self._find(key)
        if found is None:
            known = {folder.key for folder in self.run_folders()}
            raise InputError(f"no run {key!r} in {self.path}: {nearest(key, known)}")
        return found

    def _find(self, key: str) -> RunFolder | None:
        """The folder of a run, which may be partial, if there is one of that name."""
        ended = self._runs / key
        if key != ended.name or key.startswith("."):  # no way out of the store
            return None
        if os.path.lexists(ended):  # a file in its place is a problem, and can be deleted
            return RunFolder(ended)
        return next(iter(self._partials(key)), None)

    def _partials(self, key: str) -> list[RunFolder]:
        """Partial folders of a run, held ones first, then the newest."""
        folders = [RunFolder(self._runs / name) for name in self._folder_names() if name.startswith(f"{key}~")]
        found = [folder for folder in folders if folder.is_partial and folder.key == key]
        return sorted(found, key=lambda folder: (bool(folder.is_held), folder.modified), reverse=True)

    def _publish(self, partial: RunFolder) -> None:
        """Give a folder its final name, in the place of an older one, and clear what was interrupted before it."""
        contents.keep(partial.path)
        files.replace_folder(partial.path, self._runs / partial.key)
        for folder in self._partials(partial.key):
            if folder.is_held is False and not folder.is_newer:  # nothing is deleted on a guess
                shutil.rmtree(folder.path, ignore_errors=True)
