"""What is measured beside the curves, as files of named arrays: the recording of BatchNorm layers, and probes.

    norms.safetensors     `steps`, `layers/PATH/QUANTITY`, `population/PATH/QUANTITY`; `uses` is JSON in its header
    probes.safetensors    `PROBE/FIELD`, `PROBE/quantities/QUANTITY`; `PROBE/layers` is JSON, since arrays hold no text

A run without one of them has no such file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Set
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab import files
from archlab.errors import StoreError
from archlab.records import (
    GradientCorrelation,
    Landscape,
    LayerSeries,
    NormRecording,
    NormUse,
    Probes,
    Similarity,
    Smoothness,
)
from archlab.store.arrays import read_arrays, read_texts, write_arrays

if TYPE_CHECKING:
    from archlab.store.arrays import Array

RECORDING = "norms.safetensors"
PROBES = "probes.safetensors"
USES = "uses"
"""In the header of the recording."""
KINDS = {
    "smoothness": Smoothness,
    "landscape": Landscape,
    "signals": LayerSeries,
    "branches": LayerSeries,
    "shift": LayerSeries,
    "rank": LayerSeries,
    "similarity": Similarity,
    "correlation": GradientCorrelation,
}
"""What the fields of `Probes` hold."""


def write_recording(folder: Path, recording: NormRecording) -> None:
    """Keep what BatchNorm layers held."""
    import msgspec
    import numpy as np

    arrays: dict[str, Array] = {"steps": np.asarray(recording.steps, dtype=np.int64)}
    for kind, layers in (("layers", recording.layers), ("population", recording.population)):
        for path, quantities in layers.items():
            arrays |= {f"{kind}/{path}/{quantity}": array for quantity, array in quantities.items()}
    texts = {USES: msgspec.json.encode(recording.uses).decode()} if recording.uses else None
    with files.replacing(folder / RECORDING) as draft:
        write_arrays(draft, arrays, texts)


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
    return NormRecording(tuple(arrays["steps"].tolist()), parts["layers"], parts["population"], _read_uses(file))


def _read_uses(file: Path) -> tuple[NormUse, ...]:
    """How the layers were used; empty in what an older archlab wrote."""
    import msgspec

    text = read_texts(file).get(USES)
    try:
        return msgspec.json.decode(text, type=tuple[NormUse, ...]) if text else ()
    except msgspec.DecodeError as error:
        raise StoreError(f"{file} holds no uses of BatchNorm layers: {error}") from error


def write_probes(folder: Path, probes: Probes) -> None:
    """Keep what was probed of a run, in the place of what was kept before."""
    arrays: dict[str, Array] = {}
    for kind in KINDS:
        record = getattr(probes, kind)
        if record is not None:
            for item in fields(record):
                arrays |= _encoded(f"{kind}/{item.name}", getattr(record, item.name))
    with files.replacing(folder / PROBES) as draft:
        write_arrays(draft, arrays)


def read_probes(folder: Path, kinds: Collection[str] = KINDS) -> Probes | None:
    """What was probed of the run; None where nothing was.

    Args:
        folder: of the run.
        kinds: the fields of `Probes` that are read.

    Raises:
        StoreError: it can't be read.
    """
    path = folder / PROBES
    everything = [slice(None)]
    arrays = read_arrays(path, lambda name: everything if name.partition("/")[0] in kinds else [])
    if not arrays:
        return None
    found: dict[str, Any] = {}
    try:
        for kind, record in KINDS.items():
            own = {
                name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")
            }
            # What a newer archlab may have added is left out.
            held = _decoded(own, {item.name for item in fields(record)})
            if held:
                found[kind] = record(**held)
        return Probes(**found)
    except (KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{path} holds no probes: {error}") from error


def _encoded(name: str, value: Any) -> dict[str, Array]:
    """A field of a probe as arrays."""
    import numpy as np

    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {f"{name}/{key}": np.asarray(array) for key, array in value.items()}
    if isinstance(value, tuple) and any(isinstance(item, str) for item in value):
        return {name: np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)}
    return {name: np.atleast_1d(np.asarray(value))}


def _decoded(arrays: Mapping[str, Array], known: Set[str]) -> dict[str, Any]:
    """The fields of a probe by name, from what `_encoded` made of them."""
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        field, _, key = name.partition("/")
        if field not in known:
            continue
        if key:
            found.setdefault(field, {})[key] = array
        elif field == "layers":
            found[field] = tuple(json.loads(array.tobytes()))
        elif field == "steps":
            found[field] = tuple(array.tolist())
        else:
            found[field] = int(array[0]) if field in ("images", "lines") else array
    return found
