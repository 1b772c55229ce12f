"""What came of a run, and whether another run of the same is equal to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np

from archlab.records import Epoch, Probes, Run
from archlab.store import Store


def numbers(run: Run, store: Store) -> dict[str, Any]:
    """All that came of a run, by name, without its times."""
    found: dict[str, Any] = {"status": run.status, "predicted": run.predicted}
    found["epochs"] = [_untimed(epoch) for epoch in run.epochs]
    found |= {f"curves/{name}": values for name, values in store.curves(run.key).items()}
    if (recording := store.recording(run.key)) is not None:
        found |= {"steps": recording.steps, "uses": recording.uses}
        for kind, held in (("rows", recording.layers), ("population", recording.population)):
            found |= {f"{kind}/{path}/{name}": values for path, of in held.items() for name, values in of.items()}
    if (probes := store.probes(run.key)) is not None:
        for item in fields(Probes):
            found |= {f"{item.name}/{name}": value for name, value in _parts(getattr(probes, item.name))}
    return found


def _untimed(epoch: Epoch) -> Epoch:
    return replace(epoch, seconds=0.0, evaluation_seconds=0.0, precise_seconds=0.0, peak_memory_bytes=None)


def _parts(probe: Any) -> Iterator[tuple[str, Any]]:
    for name in getattr(probe, "__dataclass_fields__", {}):
        value = getattr(probe, name)
        yield from value.items() if isinstance(value, dict) else [(name, value)]


def unequal(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """The names of what is not equal to the bit, or there in one alone."""
    shared = found.keys() & expected.keys()
    apart = [name for name in expected if name in shared and not _is_same(found[name], expected[name])]
    return [*sorted(found.keys() ^ expected.keys()), *apart]


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    return bool(one == other)
