"""Runs that are stopped and gone on with end as those that were never stopped, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.records import Run, TrainingConfig
from archlab.records.probe import Probes
from archlab.store import Store, open_store
from archlab.training import Execution, session
from archlab.training.preparation import Preparer
from archlab.training.progress import Progress
from archlab.training.stopping import Stop, StoppedError

SMALL = TrainingConfig(network="lenet", epochs=2, train_samples=50, test_samples=30, batch_size=16, record_every=3)
NETWORK = """
import random
import numpy as np
import torch
from torch import nn
class Net(nn.Module):
    '''Draws in three ways, counts its passes, and keeps a tensor that is no buffer.'''
    def __init__(self, in_channels=1, classes=10, size=8):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * size * size, 16), nn.BatchNorm1d(16, momentum=None))
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(16, classes))
        self.passes, self.sums = 0, [torch.zeros(())]
    def forward(self, x):
        self.passes += self.training
        noise = random.random() + float(np.random.rand())
        hidden = self.body(x) * (1 + 0.01 * noise + 0.001 * self.passes)
        self.sums[0] = 0.9 * self.sums[0] + hidden.detach().mean()
        return self.head(hidden + self.sums[0])
"""


def numbers(run: Run, store: Store) -> dict[str, Any]:
    """All that came of a run, without its times."""
    recording, probes = store.recording(run.key), store.probes(run.key)
    assert recording is not None
    found: dict[str, Any] = {"status": run.status, "predicted": run.predicted, "uses": recording.uses}
    timed = {"seconds": 0.0, "evaluation_seconds": 0.0, "precise_seconds": 0.0, "peak_memory_bytes": None}
    found["epochs"] = [replace(epoch, **timed) for epoch in run.epochs]
    found |= store.curves(run.key) | {"steps": recording.steps}
    for kind, held in (("rows", recording.layers), ("population", recording.population)):
        found |= {f"{kind}/{path}/{name}": values for path, of in held.items() for name, values in of.items()}
    for name in Probes.__dataclass_fields__ if probes is not None else ():
        found |= {f"{name}/{part}": value for part, value in _parts(getattr(probes, name))}
    return found


def _parts(probe: Any) -> Iterator[tuple[str, Any]]:
    for name in getattr(probe, "__dataclass_fields__", {}):
        value = getattr(probe, name)
        yield from value.items() if isinstance(value, dict) else [(name, value)]


def same(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What is not equal to the bit."""
    assert found.keys() == expected.keys()
    return [name for name in expected if not _is_same(found[name], expected[name])]


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return bool(one == other)


def stopped_after(config: TrainingConfig, preparer: Preparer, events: int) -> Run | None:
    """The run, or None where it was stopped at that event."""
    stop, seen = Stop(), 0

    def count(event: Progress) -> None:
        nonlocal seen
        seen += event.state in ("step", "measuring", "epoch", "landscape")
        if seen == events:
            stop.ask()

    try:
        return session.run(config, preparer, count, stop=stop)
    except StoppedError:
        return None


@pytest.fixture(autouse=True)
def every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPORT_SECONDS", 0)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(NETWORK)
    return f"{tmp_path / 'mine.py'}:Net"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "nesterov", "sgd_momentum": 0.9, "weight_decay": 1e-3, "schedule": "cosine", "momentum": 0.3},
        {"optimizer": "adamw", "flip": 0.5, "crop": 1, "label_smoothing": 0.1, "options": {"norm": "scratch"}},
        {
            "probe_every": 3,
            "landscape": 3,
            "epochs": 1,
            "probes": "smoothness,signals,shift,rank,similarity,correlation",
        },
        {"probe_every": 2, "probes": "rank", "until": "accuracy=0.01", "epochs": 3},
        {"network": "mine"},
    ],
    ids=["plain", "sgd", "augmented", "probed", "target", "own"],
)
def test_a_run_that_was_stopped_anywhere_is_the_one_that_was_not(
    changes: dict[str, Any], tmp_path: Path, mine: str
) -> None:
    config = replace(SMALL, **changes | ({"network": mine} if changes.get("network") else {}))
    whole = open_store(tmp_path / "whole")
    seen: list[str] = []
    run = session.run(config, Preparer(Execution(store=whole, device="cpu")), lambda event: seen.append(event.state))
    events = sum(state in ("step", "measuring", "epoch", "landscape") for state in seen)
    expected = numbers(run, whole)
    preparer = Preparer(Execution(store=tmp_path / "parts", device="cpu", checkpoint_seconds=1e-9))
    parts = open_store(tmp_path / "parts")
    for place in range(1, events + 1):
        found = stopped_after(config, preparer, place)
        stops = 0
        while found is None:
            stops += 1
            found = stopped_after(config, preparer, 1 + 3 * stops)
        assert (place, same(numbers(found, parts), expected)) == (place, [])
        assert found.resumed == stops
        assert [path.name for path in (tmp_path / "parts" / "runs").iterdir()] == [run.key]
        parts.delete(run.key)
