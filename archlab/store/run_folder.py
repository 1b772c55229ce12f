"""One run on disk: what its folder holds, for those who read it.

    run.json                        archlab.run/1: configuration, environment, status, epochs
    metrics.jsonl                   one line per epoch, appended as it ends
    steps.bin                       loss and accuracy of each step so far, appended while the run goes
    curves.safetensors              the same when it has ended
    norms.safetensors               what the BatchNorm layers held (absent where nothing was recorded)
    probes.safetensors              what probes found (absent where nothing was probed); renewed while the run goes
    landscape.safetensors           what is done of a landscape that is measured afterwards (absent when it is whole)
    checkpoint-STEP-*.safetensors   from which an interrupted or failed run goes on; `checkpoints.py` says how
    contents.json                   archlab.contents/1: size and hash of each file, written when the run has ended

`run.json` holds its own hash too (`sealing.py`), so that a list of runs need read no other file.

A folder is called `KEY~TOKEN.partial` until the run has ended, then `KEY`. Its writer holds the lock `locks/TOKEN` of
the store, which the system releases however the process goes: a `.partial` without a holder is an interrupted run. The
lock lies outside the folder, since Windows renames no folder with an open file in it. A writer of an older
archlab, which ran under POSIX alone, holds the file `lock` in the folder instead. Whoever trains a run holds
`locks/KEY.training` too, from before it looks whether the store has the run.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError, StoreError
from archlab.records import Epoch, Run
from archlab.records.display import Shown
from archlab.store import contents
from archlab.store.arrays import numbers, read_arrays
from archlab.store.contents import PARTIAL, RUN
from archlab.store.lock import is_held
from archlab.store.reading import NewerError, reading
from archlab.store.sealing import check_seal

if TYPE_CHECKING:
    from archlab.records import NormRecording, Probes
    from archlab.records.run import Status
    from archlab.store.arrays import Array

RUNS, LOCKS = "runs", "locks"
"""The store's folders of runs and of their locks."""
OLDER_LOCK = "lock"
EPOCHS, CURVES = "metrics.jsonl", "curves.safetensors"
REQUIRED_CURVES = ("step", "train_loss", "train_accuracy")
STEPS = "steps.bin"
"""Pairs of float32, little-endian: 8 bytes per step; of a file cut within a step, all steps before it can be read."""

BEGINNING = b'{\n  "schema": "%s",' % Run.SCHEMA.encode()
"""Of a `run.json` as `Run.to_json` writes it."""
FRESH_SECONDS = 120
"""Where a lock can't be asked, a run counts as going for so long after it was last written; while it trains, that is
every second."""

Fingerprint = tuple[int, int, int, int, bool | None]
"""Changes when a folder does: time and size of its run.json, sizes of what is appended, whether its lock is held."""


@dataclass(frozen=True, slots=True)
class RunFolder(Shown):
    """The folder of a run, ended or not; nothing is read before it is asked for."""

    path: Path

    @property
    def is_partial(self) -> bool:
        """Whether its run has not ended: it is being written, or was interrupted."""
        return self.path.name.endswith(PARTIAL)

    @property
    def key(self) -> str:
        """The key of its run."""
        return self.path.name.rpartition("~")[0] if self.is_partial else self.path.name

    @property
    def is_held(self) -> bool | None:
        """Whether a process is writing it; None where that can't be found out."""
        if not self.is_partial:
            return False
        answers = [is_held(path, self.lock_path.parent) for path in (self.lock_path, self.path / OLDER_LOCK)]
        return None if None in answers and not any(answers) else any(answers)

    @property
    def is_newer(self) -> bool:
        """Whether a newer archlab wrote its run, which this one can't read."""
        try:
            self.run()
        except NewerError:
            return True
        except StoreError:
            return False
        return False

    @property
    def lock_path(self) -> Path:
        """The file whose lock the writer of a partial folder holds."""
        return self.path.parents[1] / LOCKS / self.path.name.removesuffix(PARTIAL).rpartition("~")[2]

    @property
    def modified(self) -> float:
        """When a file was last added, in seconds since 1970; 0 where the folder is gone."""
        try:
            return self.path.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    @property
    def _written(self) -> float:
        """When one of the files that grow as a run goes was last written, in seconds since 1970."""
        paths = [self.path / name for name in (RUN, EPOCHS, STEPS)]
        return max(path.stat().st_mtime for path in paths if path.exists())

    def fingerprint(self) -> Fingerprint | None:
        """What differs once the folder has changed, by a few calls of the system; None where it is gone."""
        try:
            state = (self.path / RUN).stat()
            appended = [_size(self.path / name) if self.is_partial else 0 for name in (EPOCHS, STEPS)]
            return state.st_mtime_ns, state.st_size, appended[0], appended[1], self.is_held
        except OSError:
            return None

    def run(self) -> Run:
        """Its run, as far as it got.

        Raises:
            StoreError: it can't be read.
        """
        path, what = self.path / RUN, f"the run in {self.path}"
        with reading(path, what):
            run = read_run(path)
            if run.key != self.key:  # a name that leads elsewhere
                raise StoreError(f"it says that its key is {run.key!r}, and lies in the folder of {self.key}")
            if not self.is_partial:
                return run
            held = self.is_held
            going = held or (held is None and time.time() - self._written < FRESH_SECONDS)
            status: Status = "running" if going else "interrupted"
            return replace(run, status=status, epochs=read_epochs(self.path / EPOCHS))

    def probes(self, *kinds: str) -> Probes | None:
        """These fields of what was probed, as far as the run got; None where there is nothing.

        Raises:
            StoreError: they can't be read.
        """
        from archlab.store.measurements import PROBES, read_probes  # to make the records of probes takes a while

        self._check(PROBES)
        return read_probes(self.path, kinds)

    def recording(self, last: int | None = None) -> NormRecording | None:
        """What its BatchNorm layers held, as far as the run was kept; as `Store.recording` reads it.

        Raises:
            StoreError: it can't be read.
        """
        from archlab.store.measurements import RECORDING, read_recording

        self._check(RECORDING)
        return read_recording(self.path, last)

    def curves(self) -> dict[str, Array]:
        """Arrays `step`, `train_loss` and `train_accuracy`, (steps,) each, as far as the run got; empty without any.

        Raises:
            StoreError: they can't be read.
        """
        self._check(CURVES)
        if curves := read_curves(self.path / CURVES):
            return curves
        self._check(STEPS)  # of a process that died
        return read_steps(self.path / STEPS)

    def _check(self, name: str) -> None:
        """Hold a file of a run that has ended against its hash.

        Raises:
            StoreError: it is not what was written.
        """
        if not self.is_partial:
            contents.check(self.path, name)


def read_run(path: Path) -> Run:
    """What a `run.json` says.

    Raises:
        InputError: it is no record of a run.
        OSError: it can't be read.
        StoreError: it is not what was written.
        NewerError: a newer archlab wrote it.
    """
    import msgspec

    content = files.read_regular(path)
    if not check_seal(content):
        content.decode()  # what is skipped is looked at by nobody else
    try:
        if content.startswith(BEGINNING):  # which leaves no schema to be looked for
            return _sensible(msgspec.json.decode(content, type=Run))
    except msgspec.ValidationError:
        pass
    try:
        return _sensible(Run.from_json(content, str(path)))
    except InputError:
        schema = _schema(content)
        if schema != Run.SCHEMA and schema.startswith(Run.SCHEMA.partition("/")[0] + "/"):
            raise NewerError(
                f"the run in {path.parent} has schema {schema!r}, expected {Run.SCHEMA!r}: a newer archlab wrote it. "
                "Read it with that one, or move its folder away, or name another store (--store)"
            ) from None
        raise


def _sensible(run: Run) -> Run:
    if run.status == "finished" and not run.epochs and run.watched is None:
        raise StoreError("it says that it has finished, and has no epoch")
    if wrong := run.conflict():
        raise StoreError(wrong)
    return run


def _schema(content: bytes) -> str:
    import msgspec

    document = msgspec.json.decode(content)
    return str(document.get("schema")) if isinstance(document, dict) else ""


def read_epochs(path: Path) -> tuple[Epoch, ...]:
    """The epochs in a `metrics.jsonl`, without a last line that was cut short; none where there is no file.

    Raises:
        StoreError: it can't be read.
    """
    import msgspec

    with reading(path, f"{path} is no list of epochs: it"):
        try:
            content = files.read_regular(path)
        except FileNotFoundError:
            return ()
        complete, _, _ = content.rpartition(b"\n")  # a process may have been killed within a line
        return tuple(msgspec.convert(json.loads(line), Epoch) for line in complete.splitlines())


def read_curves(path: Path) -> dict[str, Array]:
    """The arrays of a `curves.safetensors`; none where there is no file.

    Raises:
        StoreError: they can't be read, or are no curves.
    """
    with reading(path):
        curves = read_arrays(path)
        steps = None
        for name, array in curves.items():
            steps = len(numbers(name, array, steps, whole=name == "step"))
        if curves and (missing := [name for name in REQUIRED_CURVES if name not in curves]):
            raise StoreError(f"{path} has no {', '.join(missing)}")
        return curves


def read_steps(path: Path) -> dict[str, Array]:
    """The curves in a `steps.bin`; none where there is no file.

    Raises:
        StoreError: it can't be read.
    """
    import numpy as np

    with reading(path):
        try:
            content = files.read_regular(path)
        except FileNotFoundError:
            return {}
        pairs = np.frombuffer(content[: len(content) // 8 * 8], dtype="<f4").reshape(-1, 2)
        if not len(pairs):
            return {}
        return {"step": np.arange(1, len(pairs) + 1), "train_loss": pairs[:, 0], "train_accuracy": pairs[:, 1]}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
