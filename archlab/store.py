"""Runs on disk: a folder a run, written by one process and read by any.

    STORE/runs/KEY/                     an ended run
        run.json                        archlab.run/1: configuration, environment, status, epochs
        metrics.jsonl                   one line an epoch, appended as it ends
        curves.safetensors              loss and accuracy per step
        norms.safetensors               what the BatchNorm layers held (absent where nothing was recorded)
    STORE/runs/KEY~TOKEN.partial/       a run that is being written, or was interrupted
    STORE/comparisons/KEY.json          archlab.comparison/1

A run is written in its own `.partial` folder and renamed when it ends, so that KEY is always complete and any number of
processes may write at once; of two runs with the same key the later one stays. The writer holds a lock on its folder,
which the system releases however the process goes: a `.partial` without a holder is an interrupted run.
Keys are readable and end in a hash of configuration, seed and environment (all of it but the command), so that equal
keys mean equal results. Importing this module loads no torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from archlab import files
from archlab.errors import ArchlabError, InputError, StoreError, nearest
from archlab.records import Comparison, Epoch, NormRecording, Run, TrainingConfig, Value
from archlab.records.run import Status

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

DEFAULT_FOLDER = "archlab-runs"
PARTIAL = ".partial"


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
    text = json.dumps([config.to_dict(), deciding], sort_keys=True)
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
        return _read_run(self._folder(key))

    def finished(self, key: str) -> Run | None:
        """The run of that name if it is there, readable and finished."""
        try:
            run = _read_run(self.path / "runs" / key)
        except StoreError:
            return None
        return run if run.status == "finished" else None

    def curves(self, key: str) -> dict[str, Array]:
        """Arrays `step`, `train_loss` and `train_accuracy`, one value a step; empty for a run that never ended."""
        return files.read_arrays(self._folder(key) / "curves.safetensors")

    def recording(self, key: str) -> NormRecording | None:
        """What the run's BatchNorm layers held; None where nothing was recorded."""
        arrays = files.read_arrays(self._folder(key) / "norms.safetensors")
        if not arrays:
            return None
        parts: dict[str, dict[str, dict[str, Array]]] = {"layers": {}, "population": {}}
        for name, array in arrays.items():
            kind, _, rest = name.partition("/")
            path, _, quantity = rest.rpartition("/")
            if kind in parts:
                parts[kind].setdefault(path, {})[quantity] = array
        return NormRecording(tuple(arrays["steps"].tolist()), parts["layers"], parts["population"])

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
        return RunWriter(self, run)

    def fail(self, key: str, error: str) -> Run:
        """The interrupted run of that name, now failed: for a process that died of something known.

        Raises:
            InputError: there is no interrupted run of that name.
            StoreError: the folder can't be written.
        """
        folder = next((item for item in self._partials(key) if not files.is_held(item)), None)
        if folder is None:
            raise InputError(f"no interrupted run {key!r} in {self.path}")
        run = replace(_read_run(folder), status="failed", error=error)
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
            known = {_key_of(folder) for folder in self._folders()}
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
        found = [item for item in self._folders() if item.name.endswith(PARTIAL) and _key_of(item) == key]
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
                run = _read_run(folder)
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


class RunWriter:
    """Writes one run. Left without `finish` or `fail`, the run stays behind as interrupted."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        token = uuid.uuid4().hex[:8]
        self._folder = store.path / "runs" / f"{run.key}~{token}{PARTIAL}"
        unborn = self._folder.with_name(f".{token}")
        with files.writing(unborn):
            unborn.mkdir(parents=True)
            self._lock = files.hold(unborn)  # before it gets its name: nobody may see it without a holder
            (unborn / "run.json").write_text(run.to_json())
            unborn.rename(self._folder)

    @property
    def key(self) -> str:
        """The run's name in the store."""
        return self._run.key

    def append(self, epoch: Epoch) -> None:
        """Add the measurements of one epoch."""
        with files.writing(self._folder), (self._folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
        self._run = replace(self._run, epochs=(*self._run.epochs, epoch))

    def finish(self, curves: Mapping[str, Array], recording: NormRecording | None = None) -> Run:
        """The finished run, now under its final name."""
        return self._end(replace(self._run, status="finished"), curves, recording)

    def fail(self, error: str, curves: Mapping[str, Array], recording: NormRecording | None = None) -> Run:
        """The failed run with the reason, kept as far as it got."""
        return self._end(replace(self._run, status="failed", error=error), curves, recording)

    def _end(self, run: Run, curves: Mapping[str, Array], recording: NormRecording | None) -> Run:
        with files.writing(self._folder):
            files.write_arrays(self._folder / "curves.safetensors", curves)
            if recording is not None:
                files.write_arrays(self._folder / "norms.safetensors", _flatten(recording))
            files.replace_text(self._folder / "run.json", run.to_json())
            self._store._publish(self._folder, run.key)
        self._lock.close()
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()


def _slug(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9.]+", "-", text).strip("-.")[-48:] or "x"


def _hidden(folder: Path) -> bool:
    return folder.name.startswith(".")


def _modified(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except FileNotFoundError:  # it ended while we looked
        return 0.0


def _key_of(folder: Path) -> str:
    return folder.name.rpartition("~")[0] if folder.name.endswith(PARTIAL) else folder.name


def _read_run(folder: Path) -> Run:
    try:
        run = Run.read(folder / "run.json")
        if not folder.name.endswith(PARTIAL):
            return run
        status: Status = "running" if files.is_held(folder) else "interrupted"
        return replace(run, status=status, epochs=_read_epochs(folder / "metrics.jsonl"))
    except (ArchlabError, OSError) as error:
        raise StoreError(f"the run in {folder} can't be read: {error}") from error


def _read_epochs(path: Path) -> tuple[Epoch, ...]:
    if not path.exists():
        return ()
    complete, _, _ = path.read_text().rpartition("\n")  # a process may have been killed within a line
    try:
        return tuple(Epoch(**json.loads(line)) for line in complete.splitlines())
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is no list of epochs: {error}") from error


def _read_comparison(path: Path) -> Comparison:
    try:
        return replace(Comparison.read(path), key=path.stem)
    except ArchlabError as error:
        raise StoreError(f"the comparison in {path} can't be read: {error}") from error


def _flatten(recording: NormRecording) -> dict[str, Array]:
    import numpy as np

    arrays: dict[str, Array] = {"steps": np.asarray(recording.steps, dtype=np.int64)}
    for kind, layers in (("layers", recording.layers), ("population", recording.population)):
        for path, quantities in layers.items():
            arrays |= {f"{kind}/{path}/{quantity}": array for quantity, array in quantities.items()}
    return arrays
