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
from archlab.store.arrays import numbers, read_arrays, read_texts, write_arrays
from archlab.store.contents import renewing
from archlab.store.reading import reading

if TYPE_CHECKING:
    from archlab.store.arrays import Array

RECORDING = "norms.safetensors"
PROBES = "probes.safetensors"
MOMENTS = ("mean", "variance")
"""Of the population, of each layer."""
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
SHAPES: Mapping[type, Mapping[str, tuple[str, ...]]] = {
    Smoothness: {
        "rates": ("rates",),
        "loss": ("steps",),
        "gradient": ("steps",),
        "losses": ("steps", "rates"),
        "changes": ("steps", "rates"),
    },
    Landscape: {"coordinates": ("points",), "losses": ("points", "points")},
    LayerSeries: {"quantities": ("steps", "layers"), "weighted": ("layers",)},
    Similarity: {"alignment": ("steps", "layers", "layers"), "last": ("layers", "pairs")},
    GradientCorrelation: {"distances": ("distances",), "correlation": ("steps", "distances")},
}
"""The arrays of each: their sizes, of which those of one name are equal."""


def write_recording(folder: Path, recording: NormRecording) -> None:
    """Keep what BatchNorm layers held."""
    import msgspec
    import numpy as np

    arrays: dict[str, Array] = {"steps": np.asarray(recording.steps, dtype=np.int64)}
    for kind, layers in (("layers", recording.layers), ("population", recording.population)):
        for path, quantities in layers.items():
            arrays |= {f"{kind}/{path}/{quantity}": array for quantity, array in quantities.items()}
    texts = {USES: msgspec.json.encode(recording.uses).decode()} if recording.uses else None
    write_arrays(folder / RECORDING, arrays, texts)


def read_recording(folder: Path, last: int | None = None) -> NormRecording | None:
    """What the run's BatchNorm layers held; None where nothing was recorded.

    Args:
        folder: of the run.
        last: read only the first two rows and so many of the last; None reads all.

    Raises:
        StoreError: it can't be read.
    """
    file = folder / RECORDING
    with reading(file):
        if last is None:
            arrays = read_arrays(file)
        else:
            everything = [slice(None)]
            steps = read_arrays(file, lambda name: everything if name == "steps" else [])
            rows = len(steps.get("steps", ()))
            ends = [slice(0, 2), slice(rows - last, None)] if rows > last + 2 else everything
            arrays = read_arrays(file, lambda name: everything if name.startswith("population/") else ends)
        return _recording(arrays, _read_uses(file)) if arrays else None


def _recording(arrays: Mapping[str, Array], uses: tuple[NormUse, ...]) -> NormRecording:
    steps = tuple(numbers("steps", arrays["steps"], None, whole=True).tolist())
    parts: dict[str, dict[str, dict[str, Array]]] = {"layers": {}, "population": {}}
    for name, array in arrays.items():
        kind, _, rest = name.partition("/")
        path, _, quantity = rest.rpartition("/")
        if kind in parts:
            parts[kind].setdefault(path, {})[quantity] = array
    layers, population = parts["layers"], parts["population"]
    epochs = next((len(array) for held in population.values() for array in held.values()), None)
    for kind, rows, expected in (("layers", len(steps), NormRecording.QUANTITIES), ("population", epochs, MOMENTS)):
        for path, held in parts[kind].items():
            if missing := [quantity for quantity in expected if quantity not in held]:
                raise StoreError(f"{kind}/{path} has no {', '.join(missing)}")
            channels = layers[path]["gamma"].shape[-1]  # what was measured of a layer belongs to one that was recorded
            for quantity, array in held.items():
                numbers(f"{kind}/{path}/{quantity}", array, rows, channels)
    return NormRecording(steps, layers, population, uses)


def _read_uses(file: Path) -> tuple[NormUse, ...]:
    """How the layers were used; empty in what an older archlab wrote."""
    import msgspec

    text = read_texts(file).get(USES)
    return msgspec.json.decode(text, type=tuple[NormUse, ...]) if text else ()


def write_probes(folder: Path, probes: Probes) -> None:
    """Keep what was probed of a run, in the place of what was kept before, and its hash where the run has ended."""
    arrays: dict[str, Array] = {}
    for kind in KINDS:
        record = getattr(probes, kind)
        if record is not None:
            for item in fields(record):
                arrays |= _encoded(f"{kind}/{item.name}", getattr(record, item.name))
    with renewing(folder / PROBES) as draft:
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
    with reading(path, f"{path} holds no probes: it"):
        found: dict[str, Any] = {}
        for kind, record in KINDS.items():
            own = {
                name.removeprefix(f"{kind}/"): array for name, array in arrays.items() if name.startswith(f"{kind}/")
            }
            # What a newer archlab may have added is left out.
            held = _decoded(own, {item.name for item in fields(record)})
            if held:
                found[kind] = record(**held)
                _check_shapes(kind, found[kind])
        return Probes(**found)


def _check_shapes(kind: str, record: Any) -> None:
    """Hold the arrays of a probe against what they must be.

    Raises:
        StoreError: one has another shape or type.
    """
    sizes = {name: len(getattr(record, name)) for name in ("steps", "layers") if hasattr(record, name)}
    for name, shape in SHAPES[type(record)].items():
        held = getattr(record, name)
        each = held if isinstance(held, Mapping) else {} if held is None else {"": held}
        for key, array in each.items():
            called = f"{kind}/{name}/{key}".rstrip("/")
            if name == "weighted":  # truth values
                array = array.astype(float)
            numbers(called, array, *(sizes.get(size) for size in shape))
            for size, count in zip(shape, array.shape, strict=True):
                if sizes.setdefault(size, count) != count:
                    raise StoreError(f"{called} has shape {array.shape}, expected {sizes[size]} {size}")


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
            found[field] = tuple(map(str, json.loads(array.tobytes())))
        elif field == "steps":
            found[field] = tuple(numbers(name, array, None, whole=True).tolist())
        else:
            counted = field in ("images", "lines")
            found[field] = int(numbers(name, array, 1, whole=True)[0]) if counted else array
    return found
