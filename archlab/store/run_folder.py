"""One run on disk: the files of its folder, and the writer that fills them.

    run.json                        archlab.run/1: configuration, environment, status, epochs
    metrics.jsonl                   one line an epoch, appended as it ends
    steps.bin                       loss and accuracy of each step so far, appended while the run goes
    curves.safetensors              the same when it has ended
    norms.safetensors               what the BatchNorm layers held (absent where nothing was recorded)
    probes.safetensors              smoothness and landscape of the loss (absent where nothing was probed)

The folder's name ends in `.partial` until the run has ended. Its writer holds a lock on it, which the system releases
however the process goes: a `.partial` without a holder is an interrupted run.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from archlab import files
from archlab.errors import ArchlabError, StoreError
from archlab.records import Epoch, Landscape, NormRecording, Probes, Run, Smoothness
from archlab.records.run import Status

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

PARTIAL = ".partial"
STEPS = "steps.bin"
"""Pairs of float32, little-endian: 8 bytes a step, so that a file cut anywhere still reads up to the last whole one."""


def key_of(folder: Path) -> str:
    """The key of the run that a folder holds."""
    return folder.name.rpartition("~")[0] if folder.name.endswith(PARTIAL) else folder.name


def read_run(folder: Path) -> Run:
    """The run that a folder holds.

    Raises:
        StoreError: it can't be read.
    """
    try:
        run = Run.read(folder / "run.json")
        if not folder.name.endswith(PARTIAL):
            return run
        status: Status = "running" if files.is_held(folder) else "interrupted"
        return replace(run, status=status, epochs=_read_epochs(folder / "metrics.jsonl"))
    except (ArchlabError, OSError) as error:
        raise StoreError(f"the run in {folder} can't be read: {error}") from error


def read_curves(folder: Path) -> dict[str, Array]:
    """Arrays `step`, `train_loss` and `train_accuracy`, one value a step, as far as the run got; empty without any.

    Raises:
        StoreError: they can't be read.
    """
    return files.read_arrays(folder / "curves.safetensors") or _read_steps(folder / STEPS)


def read_recording(folder: Path, last: int | None = None) -> NormRecording | None:
    """What the run's BatchNorm layers held; None where nothing was recorded.

    Args:
        folder: of the run.
        last: read only the first two rows and so many of the last; None reads all.

    Raises:
        StoreError: it can't be read.
    """
    file = folder / "norms.safetensors"
    if last is None:
        arrays = files.read_arrays(file)
    else:
        everything = [slice(None)]
        steps = files.read_arrays(file, lambda name: everything if name == "steps" else [])
        rows = len(steps.get("steps", ()))
        ends = [slice(0, 2), slice(rows - last, None)] if rows > last + 2 else everything
        arrays = files.read_arrays(file, lambda name: everything if name.startswith("population/") else ends)
    if not arrays:
        return None
    parts: dict[str, dict[str, dict[str, Array]]] = {"layers": {}, "population": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        path, _, quantity = rest.rpartition("/")
        if kind in parts:
            parts[kind].setdefault(path, {})[quantity] = array
    return NormRecording(tuple(arrays["steps"].tolist()), parts["layers"], parts["population"])


def read_probes(folder: Path) -> Probes | None:
    """What was probed of the run; None where nothing was.

    Raises:
        StoreError: it can't be read.
    """
    path = folder / "probes.safetensors"
    arrays = files.read_arrays(path)
    if not arrays:
        return None

    def held(kind: str, record: type) -> dict[str, Any]:
        """The record's fields; what a newer archlab may have added is left out."""
        found = {item.name: arrays.get(f"{kind}/{item.name}") for item in fields(record)}
        return {name: array for name, array in found.items() if array is not None}

    smoothness, landscape = held("smoothness", Smoothness), held("landscape", Landscape)
    try:
        for part in (smoothness, landscape):
            part |= {"images": int(part["images"][0])} if part else {}
        smoothness |= {"steps": tuple(smoothness["steps"].tolist())} if smoothness else {}
        return Probes(Smoothness(**smoothness) if smoothness else None, Landscape(**landscape) if landscape else None)
    except (KeyError, TypeError) as error:
        raise StoreError(f"{path} holds no probes: {error}") from error


class RunWriter:
    """Writes one run. Left without `finish` or `fail`, the run stays behind as interrupted.

    Args:
        runs: the folder of all runs.
        run: the run, running.
        publish: called with the folder and the key when the run has ended.
    """

    def __init__(self, runs: Path, run: Run, publish: Callable[[Path, str], None]) -> None:
        self._run = run
        self._publish = publish
        token = uuid.uuid4().hex[:8]
        self._folder = runs / f"{run.key}~{token}{PARTIAL}"
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

    def append_steps(self, curves: Mapping[str, Array]) -> None:
        """Add the next steps' `train_loss` and `train_accuracy`, so that others see them before the run has ended."""
        import numpy as np

        pairs = np.stack([curves["train_loss"], curves["train_accuracy"]], axis=1).astype("<f4")
        with files.writing(self._folder), (self._folder / STEPS).open("ab") as file:
            file.write(pairs.tobytes())

    def finish(
        self, curves: Mapping[str, Array], recording: NormRecording | None = None, probes: Probes | None = None
    ) -> Run:
        """The finished run, now under its final name."""
        return self._end(replace(self._run, status="finished"), curves, recording, probes)

    def fail(
        self,
        error: str,
        curves: Mapping[str, Array],
        recording: NormRecording | None = None,
        probes: Probes | None = None,
    ) -> Run:
        """The failed run with the reason, kept as far as it got."""
        return self._end(replace(self._run, status="failed", error=error), curves, recording, probes)

    def _end(
        self, run: Run, curves: Mapping[str, Array], recording: NormRecording | None, probes: Probes | None
    ) -> Run:
        with files.writing(self._folder):
            files.write_arrays(self._folder / "curves.safetensors", curves)
            (self._folder / STEPS).unlink(missing_ok=True)
            if recording is not None:
                files.write_arrays(self._folder / "norms.safetensors", _flatten(recording))
            if probes is not None:
                files.write_arrays(self._folder / "probes.safetensors", _flatten_probes(probes))
            files.replace_text(self._folder / "run.json", run.to_json())
            self._publish(self._folder, run.key)
        self._lock.close()
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()


def _read_epochs(path: Path) -> tuple[Epoch, ...]:
    if not path.exists():
        return ()
    complete, _, _ = path.read_text().rpartition("\n")  # a process may have been killed within a line
    try:
        return tuple(Epoch(**json.loads(line)) for line in complete.splitlines())
    except (ValueError, TypeError) as error:
        raise StoreError(f"{path} is no list of epochs: {error}") from error


def _read_steps(path: Path) -> dict[str, Array]:
    import numpy as np

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error}") from error
    pairs = np.frombuffer(content[: len(content) // 8 * 8], dtype="<f4").reshape(-1, 2)
    if not len(pairs):
        return {}
    return {"step": np.arange(1, len(pairs) + 1), "train_loss": pairs[:, 0], "train_accuracy": pairs[:, 1]}


def _flatten(recording: NormRecording) -> dict[str, Array]:
    import numpy as np

    arrays: dict[str, Array] = {"steps": np.asarray(recording.steps, dtype=np.int64)}
    for kind, layers in (("layers", recording.layers), ("population", recording.population)):
        for path, quantities in layers.items():
            arrays |= {f"{kind}/{path}/{quantity}": array for quantity, array in quantities.items()}
    return arrays


def _flatten_probes(probes: Probes) -> dict[str, Array]:
    import numpy as np

    return {
        f"{kind}/{item.name}": np.atleast_1d(np.asarray(getattr(record, item.name)))
        for kind, record in (("smoothness", probes.smoothness), ("landscape", probes.landscape))
        if record is not None
        for item in fields(record)
    }
