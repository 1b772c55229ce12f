"""Runs on disk: a folder a run, written by one process and read by any.

    STORE/runs/KEY/                     an ended run; run_folder.py says what is in it
    STORE/runs/KEY~TOKEN.partial/       a run that is being written, or was interrupted
    STORE/comparisons/KEY.json          archlab.comparison/1

A run is written in its own `.partial` folder and renamed when it ends, so that KEY is always complete and any number of
processes may write at once; of two runs with the same key the later one stays.
Keys are readable and end in a hash of configuration, seed and environment (all of it but the command), so that equal
keys mean equal results. Importing this module loads no torch.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab import files
from archlab.errors import ArchlabError, InputError, StoreError, nearest
from archlab.records import Comparison, NormRecording, Probes, Run, TrainingConfig, Value
from archlab.records.settings import keyed, settings
from archlab.store.run_folder import PARTIAL, RunWriter, key_of, read_curves, read_probes, read_recording, read_run

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

DEFAULT_FOLDER = "archlab-runs"


def open_store(path: str | Path | None = None) -> Store:
    """The store in a folder: the one given, else `$ARCHLAB_STORE`, else `./archlab-runs`; made when first written.

    Raises:
        StoreError: the path is there and is no folder.
    """
    folder = Path(path or os.environ.get("ARCHLAB_STORE") or DEFAULT_FOLDER)
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"the store {folder} is a file, expected a folder: name another, or move the file away")
    return Store(folder)


def run_key(config: TrainingConfig, environment: Mapping[str, Value]) -> str:
    """The name of a run: network, variant, data set, seed, and a hash of everything that decides the result."""
    deciding = {name: value for name, value in environment.items() if name != "command"}
    chosen = keyed(config.to_dict(), settings(TrainingConfig).values())
    text = json.dumps([chosen, deciding], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    names = [config.network, config.variant, Path(config.dataset).name, f"seed{config.seed}", digest]
    return "-".join(_slug(name) for name in names if name)


@dataclass(frozen=True, slots=True)
class Problem:
    """A folder or file of the store that can't be read, and why."""

    path: Path
    error: str


class Store:
    """A folder of runs and comparisons."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def runs(self) -> list[Run]:
        """All readable runs, the oldest first; unreadable ones are in `problems()`.

        Interrupted and running ones are among them, as far as they got.
        """
        return self._scan_runs()[0]

    def comparisons(self) -> list[Comparison]:
        """All readable comparisons, the oldest first."""
        return self._scan_comparisons()[0]

    def problems(self) -> list[Problem]:
        """What lies in the store and can't be read."""
        return self._scan_runs()[1] + self._scan_comparisons()[1]

    def run(self, key: str) -> Run:
        """The run of that name.

        Raises:
            InputError: there is none.
            StoreError: its folder can't be read.
        """
        return read_run(self._folder(key))

    def available(self, keys: Iterable[str]) -> list[Run]:
        """The runs of these names in their order, without those that are not there or can't be read."""
        known = {key_of(folder) for folder in self._folders()}
        found = []
        for key in keys:
            if key in known:
                with contextlib.suppress(InputError, StoreError):  # deleted while we looked, or damaged
                    found.append(self.run(key))
        return found

    def finished(self, key: str) -> Run | None:
        """The run of that name if it is there, readable and finished."""
        try:
            run = read_run(self.path / "runs" / key)
        except StoreError:
            return None
        return run if run.status == "finished" else None

    def curves(self, key: str) -> dict[str, Array]:
        """Arrays `step`, `train_loss` and `train_accuracy`, one value a step, as far as the run got; empty without any.

        Raises:
            InputError: there is no such run.
            StoreError: they can't be read.
        """
        return read_curves(self._folder(key))

    def recording(self, key: str, last: int | None = None) -> NormRecording | None:
        """What the run's BatchNorm layers held, or its first two rows and so many of the last, which are read quickly.

        None where nothing was recorded.
        """
        return read_recording(self._folder(key), last)

    def probes(self, key: str) -> Probes | None:
        """Smoothness and landscape of the run's loss; None where nothing was probed."""
        return read_probes(self._folder(key))

    def comparison(self, key: str) -> Comparison:
        """The comparison of that name.

        Raises:
            InputError: there is none.
            StoreError: its file can't be read.
        """
        path = self._comparison_path(key)
        if path is None:
            known = [item.stem for item in (self.path / "comparisons").glob("*.json")]
            raise InputError(f"no comparison {key!r} in {self.path}: {nearest(key, known)}")
        return _read_comparison(path)

    def save_comparison(self, comparison: Comparison) -> Comparison:
        """The comparison with its key, now kept; the same runs compared again replace it.

        Raises:
            StoreError: the folder can't be written.
        """
        identity = json.dumps([comparison.runs, [variant.name for variant in comparison.variants]])
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        names = (comparison.network, Path(comparison.dataset).name, digest)
        kept = replace(comparison, key="-".join(_slug(name) for name in names if name))
        path = self.path / "comparisons" / f"{kept.key}.json"
        with files.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            files.replace_text(path, kept.to_json())
        return kept

    def delete(self, key: str) -> None:
        """Remove a run or a comparison.

        Raises:
            InputError: there is none of that name.
            StoreError: the run is being written, or the folder can't be changed.
        """
        comparison = self._comparison_path(key)
        if comparison is not None:
            with files.writing(comparison):
                comparison.unlink()
            return
        self._folder(key)
        partials = self._partials(key)
        if any(files.is_held(folder) for folder in partials):
            raise StoreError(f"run {key} is being written: stop its process first")
        for folder in (self.path / "runs" / key, *partials):
            if folder.exists():
                with files.writing(folder):
                    shutil.rmtree(folder)

    def writer(self, config: TrainingConfig, environment: Mapping[str, Value], parameters: int = 0) -> RunWriter:
        """A writer for one run, which holds its folder until it ends; use it in a `with` statement.

        Raises:
            StoreError: the folder can't be written.
        """
        created = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
        run = Run(
            key=run_key(config, environment),
            config=config,
            status="running",
            environment=dict(environment),
            created=created,
            parameters=parameters,
        )
        return RunWriter(self.path / "runs", run, self._publish)

    def fail(self, key: str, error: str) -> Run:
        """The interrupted run of that name, now failed: for a process that died of something known.

        Raises:
            InputError: there is no interrupted run of that name.
            StoreError: the folder can't be written.
        """
        folder = next((item for item in self._partials(key) if not files.is_held(item)), None)
        if folder is None:
            raise InputError(f"no interrupted run {key!r} in {self.path}")
        run = replace(read_run(folder), status="failed", error=error)
        with files.writing(folder):
            files.replace_text(folder / "run.json", run.to_json())
            self._publish(folder, key)
        return run

    def _folder(self, key: str) -> Path:
        ended = self.path / "runs" / key
        named = key == ended.name and not _hidden(ended)  # no way out of the store
        if named and ended.is_dir():
            return ended
        partials = self._partials(key) if named else []
        if not partials:
            known = {key_of(folder) for folder in self._folders()}
            raise InputError(f"no run {key!r} in {self.path}: {nearest(key, known)}")
        return partials[0]

    def _comparison_path(self, key: str) -> Path | None:
        path = self.path / "comparisons" / f"{key}.json"
        return path if path.stem == key and path.is_file() else None  # no way out of the store

    def _folders(self) -> list[Path]:
        root = self.path / "runs"
        return sorted(item for item in root.iterdir() if not _hidden(item)) if root.is_dir() else []

    def _partials(self, key: str) -> list[Path]:
        """Unended folders of a run, held ones first, then the newest."""
        found = [item for item in self._folders() if item.name.endswith(PARTIAL) and key_of(item) == key]
        return sorted(found, key=lambda item: (files.is_held(item), _modified(item)), reverse=True)

    def _publish(self, partial: Path, key: str) -> None:
        """Give a folder its final name, in the place of an older one."""
        target = self.path / "runs" / key
        while True:
            try:
                partial.rename(target)
                break
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # what renaming over an ended run gives
                    raise
            discarded = target.with_name(f".{uuid.uuid4().hex}")
            try:
                target.rename(discarded)
            except FileNotFoundError:  # another process was faster
                continue
            shutil.rmtree(discarded, ignore_errors=True)
        (target / files.LOCK).unlink(missing_ok=True)
        for folder in self._partials(key):
            if not files.is_held(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _scan_runs(self) -> tuple[list[Run], list[Problem]]:
        runs: dict[str, Run] = {}
        problems: list[Problem] = []
        folders = self._folders()
        # An ended run comes last and so hides what was interrupted before it; a running one hides interrupted ones.
        order = {"interrupted": 0, "running": 1}
        for folder in folders:
            try:
                run = read_run(folder)
            except StoreError as error:
                if folder.exists():  # else it ended or was deleted while we looked
                    problems.append(Problem(folder, str(error)))
                continue
            known = runs.get(run.key)
            if known is None or order.get(run.status, 2) >= order.get(known.status, 2):
                runs[run.key] = run
        return sorted(runs.values(), key=lambda run: (run.created, run.key)), problems

    def _scan_comparisons(self) -> tuple[list[Comparison], list[Problem]]:
        comparisons: list[Comparison] = []
        problems: list[Problem] = []
        for path in sorted((self.path / "comparisons").glob("*.json")):
            try:
                comparisons.append(_read_comparison(path))
            except StoreError as error:
                problems.append(Problem(path, str(error)))
        return sorted(comparisons, key=lambda item: (item.created, item.key)), problems


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text).strip("-.")[-48:] or "x"


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # it ended while we looked
        return 0.0


def _read_comparison(path: Path) -> Comparison:
    try:
        return replace(Comparison.read(path), key=path.stem)
    except ArchlabError as error:
        raise StoreError(f"the comparison in {path} can't be read: {error}") from error
