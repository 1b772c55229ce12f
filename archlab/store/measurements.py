"""What is measured beside the curves, as files of named arrays: the recording of BatchNorm layers, and probes.

    norms.safetensors     `steps`, `layers/PATH/QUANTITY`, `population/PATH/QUANTITY`
    probes.safetensors    `smoothness/FIELD`, `landscape/FIELD`

A run without one of them has no such file.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.errors import StoreError
from archlab.records import Landscape, NormRecording, Probes, Smoothness
from archlab.store.arrays import read_arrays, write_arrays

if TYPE_CHECKING:
    from archlab.store.arrays import Array

RECORDING = "norms.safetensors"
PROBES = "probes.safetensors"


def write_recording(folder: Path, recording: NormRecording) -> None:
    """Keep what BatchNorm layers held."""
    import numpy as np

    arrays: dict[str, Array] = {"steps": np.asarray(recording.steps, dtype=np.int64)}
    for kind, layers in (("layers", recording.layers), ("population", recording.population)):
        for path, quantities in layers.items():
            arrays |= {f"{kind}/{path}/{quantity}": array for quantity, array in quantities.items()}
    write_arrays(folder / RECORDING, arrays)


def read_recording(folder: Path, last: int | None = None) -> NormRecording | None:
    """What the run's BatchNorm layers held; None where nothing was recorded.

    Args:
        folder: of the run.
        last: read only the first two rows and so many of the last; None reads all.

    Raises:
        StoreError: it can't be read.
    """
    file = folder / RECORDING
    if last is None:
        arrays = read_arrays(file)
    else:
        everything = [slice(None)]
        steps = read_arrays(file, lambda name: everything if name == "steps" else [])
        rows = len(steps.get("steps", ()))
        ends = [slice(0, 2), slice(rows - last, None)] if rows > last + 2 else everything
        arrays = read_arrays(file, lambda name: everything if name.startswith("population/") else ends)
    if not arrays:
        return None
    parts: dict[str, dict[str, dict[str, Array]]] = {"layers": {}, "population": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        path, _, quantity = rest.rpartition("/")
        if kind in parts:
            parts[kind].setdefault(path, {})[quantity] = array
    return NormRecording(tuple(arrays["steps"].tolist()), parts["layers"], parts["population"])


def write_probes(folder: Path, probes: Probes) -> None:
    """Keep what was probed of a run's loss."""
    import numpy as np

    arrays = {
        f"{kind}/{item.name}": np.atleast_1d(np.asarray(getattr(record, item.name)))
        for kind, record in (("smoothness", probes.smoothness), ("landscape", probes.landscape))
        if record is not None
        for item in fields(record)
    }
    write_arrays(folder / PROBES, arrays)


def read_probes(folder: Path) -> Probes | None:
    """What was probed of the run's loss; None where nothing was.

    Raises:
        StoreError: it can't be read.
    """
    path = folder / PROBES
    arrays = read_arrays(path)
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
