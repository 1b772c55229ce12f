"""The writer of one run, which fills its folder; `run_folder` says what is in it."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from archlab import files
from archlab.records.run import RESULTS, Status
from archlab.store import lock
from archlab.store.arrays import write_arrays
from archlab.store.checkpoints import Checkpoint, drop_checkpoints, hand_on, keep_checkpoint
from archlab.store.contents import PARTIAL, RUN
from archlab.store.leftovers import sweep
from archlab.store.measurements import write_probes, write_recording
from archlab.store.run_folder import CURVES, EPOCHS, STEPS, RunFolder
from archlab.store.sealing import sealed

if TYPE_CHECKING:
    from archlab.records import Epoch, NormRecording, Probes, Run, Watched
    from archlab.store.arrays import Array


class RunWriter:
    """Writes one run. Left without `finish`, `diverge` or `fail`, the run stays behind as interrupted.

    Args:
        runs: the folder of all runs.
        run: the run, running.
        publish: called with the folder when the run has ended.
        begun: the checkpoint of an interrupted run that this one goes on from.
    """

    def __init__(
        self, runs: Path, run: Run, publish: Callable[[RunFolder], None], begun: Checkpoint | None = None
    ) -> None:
        self._run = run
        self._publish = publish
        token = uuid.uuid4().hex[:8]
        folder = RunFolder(runs / f"{run.key}~{token}{PARTIAL}")
        self._folder = folder.path
        sweep(runs.parent)
        hidden = runs / f".{token}"
        with files.writing(hidden):
            try:
                hidden.mkdir(parents=True)
                (hidden / RUN).write_text(sealed(run.to_json()), encoding="utf-8")
                if begun is not None:  # whenever this process stops, one of the two folders has it
                    hand_on(begun, hidden)
                self._lock = lock.hold(folder.lock_path)  # before it gets its name: nobody may see it without a holder
                hidden.rename(self._folder)
            except OSError:  # the disk may be full
                shutil.rmtree(hidden, ignore_errors=True)
                raise
        if begun is not None:
            before = RunFolder(begun.path.parent)
            if before.is_partial:
                shutil.rmtree(before.path, ignore_errors=True)
            else:
                drop_checkpoints(before.path)

    @property
    def key(self) -> str:
        """The run's name in the store."""
        return self._run.key

    def settle(self, watched: Watched) -> None:
        """Have the run say how it was watched, which is known better now."""
        self._run = replace(self._run, watched=watched)
        with files.writing(self._folder):
            files.replace_text(self._folder / RUN, sealed(self._run.to_json()))

    def append(self, epoch: Epoch) -> None:
        """Add the measurements of one epoch."""
        with files.writing(self._folder), (self._folder / EPOCHS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(epoch)) + "\n")
        self._run = replace(self._run, epochs=(*self._run.epochs, epoch))

    def keep_checkpoint(self, step: int, content: bytes) -> None:
        """Keep the training as it is after so many steps, in the place of what was kept before.

        Raises:
            StoreError: it can't be written.
        """
        with files.writing(self._folder):
            keep_checkpoint(self._folder, step, content)

    def append_steps(self, curves: Mapping[str, Array]) -> None:
        """Add the next steps' `train_loss` and `train_accuracy`, so that others see them before the run has ended."""
        import numpy as np

        pairs = np.stack([curves["train_loss"], curves["train_accuracy"]], axis=1).astype("<f4")
        with files.writing(self._folder), (self._folder / STEPS).open("ab") as file:
            file.write(pairs.tobytes())

    def keep_probes(self, probes: Probes) -> None:
        """Keep what was probed so far, so that others see it before the run has ended."""
        with files.writing(self._folder):
            write_probes(self._folder, probes)

    def keep_recording(self, recording: NormRecording) -> None:
        """Keep what the BatchNorm layers held so far, so that others see it before the run has ended."""
        with files.writing(self._folder):
            write_recording(self._folder, recording)

    def answer(self, predicted: tuple[int, ...]) -> None:
        """Have the run say how many test images the network puts into each class, when it ends."""
        self._run = replace(self._run, predicted=predicted)

    def finish(
        self, curves: Mapping[str, Array], recording: NormRecording | None = None, probes: Probes | None = None
    ) -> Run:
        """The finished run, now under its final name."""
        return self.end("finished", "", curves, recording, probes)

    def diverge(
        self,
        reason: str,
        curves: Mapping[str, Array],
        recording: NormRecording | None = None,
        probes: Probes | None = None,
    ) -> Run:
        """The diverged run with the reason, kept as far as it got."""
        return self.end("diverged", reason, curves, recording, probes)

    def fail(
        self,
        error: str,
        curves: Mapping[str, Array],
        recording: NormRecording | None = None,
        probes: Probes | None = None,
    ) -> Run:
        """The failed run with the reason, kept as far as it got."""
        return self.end("failed", error, curves, recording, probes)

    def end(
        self,
        status: Status,
        error: str,
        curves: Mapping[str, Array],
        recording: NormRecording | None = None,
        probes: Probes | None = None,
    ) -> Run:
        """The run, which has ended so, under its final name and kept as far as it got."""
        run = replace(self._run, status=status, error=error)
        with files.writing(self._folder):
            write_arrays(self._folder / CURVES, curves)
            (self._folder / STEPS).unlink(missing_ok=True)
            if recording is not None:
                write_recording(self._folder, recording)
            if probes is not None:
                write_probes(self._folder, probes)
            files.replace_text(self._folder / RUN, sealed(run.to_json()))
            if status in RESULTS:
                drop_checkpoints(self._folder)
            self._publish(RunFolder(self._folder))
        lock.release(self._lock)
        return run

    def leave(self) -> Run:
        """The run as it is, which stays behind as interrupted."""
        lock.release(self._lock)
        return replace(self._run, status="interrupted")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
