"""Runs that are stopped and gone on with end as those that were never stopped, bit for bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archlab.records import Run, TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, checkpoint, session
from archlab.training.preparation import Preparer
from archlab.training.progress import Progress
from archlab.training.stopping import Stop
from tests.faults.equality import numbers, unequal

SMALL = TrainingConfig(network="lenet", epochs=2, train_samples=50, test_samples=30, batch_size=16, record_every=3)
COUNTED = ("step", "measuring", "epoch", "landscape")
NETWORK = """
import random
import numpy as np
import torch
from torch import nn
class Net(nn.Module):
    '''Draws in three ways, counts its passes, and keeps a tensor that is no buffer.'''
    def __init__(self, in_channels=1, classes=10, size=8):
        super().__init__()
        norm = nn.BatchNorm1d(16, momentum=None)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * size * size, 16), norm)
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(16, classes))
        self.passes, self.sums = 0, [torch.zeros(())]
    def forward(self, x):
        self.passes += self.training
        noise = random.random() + float(np.random.rand())
        hidden = self.body(x) * (1 + 0.01 * noise + 0.001 * self.passes)
        self.sums[0] = 0.9 * self.sums[0] + hidden.detach().mean()
        return self.head(hidden + self.sums[0])
"""


def stopped_after(config: TrainingConfig, preparer: Preparer, events: int, *, gently: bool = True) -> Run | None:
    """The run, or None where it was stopped at that event: asked to, or by an exception out of nowhere."""
    stop, seen = Stop(), 0

    def count(event: Progress) -> None:
        nonlocal seen
        seen += event.state in COUNTED
        if seen == events and gently:
            stop.ask()
        elif seen == events:
            raise KeyboardInterrupt

    try:
        return session.run(config, preparer, count, stop=stop)
    except KeyboardInterrupt:
        return None


@pytest.fixture(autouse=True)
def every_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REPORT_SECONDS", 0)
    monkeypatch.setattr(checkpoint, "LARGEST_SHARE", 1e9)


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(NETWORK)
    return f"{tmp_path / 'mine.py'}:Net"


@pytest.mark.parametrize("gently", [True, False], ids=["asked", "killed"])
@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "nesterov", "sgd_momentum": 0.9, "weight_decay": 1e-3, "schedule": "cosine", "momentum": 0.3},
        {
            "optimizer": "adamw",
            "flip": 0.5,
            "crop": 1,
            "label_smoothing": 0.1,
            "precision": "bf16",
            "options": {"norm": "scratch"},
        },
        {"probe_every": 3, "landscape": 3, "epochs": 1, "probes": "all"},
        {"probe_every": 2, "probes": "rank", "until": "accuracy=0.01", "epochs": 3, "precision": "bf16"},
        {"network": "mine"},
    ],
    ids=["sgd", "augmented", "probed", "target", "own"],
)
def test_a_run_that_was_stopped_anywhere_is_the_one_that_was_not(
    changes: dict[str, Any], gently: bool, tmp_path: Path, mine: str
) -> None:
    config = replace(SMALL, **changes | ({"network": mine} if changes.get("network") else {}))
    whole, parts = open_store(tmp_path / "whole"), open_store(tmp_path / "parts")
    seen: list[str] = []
    run = session.run(config, Preparer(Execution(store=whole, device="cpu")), lambda event: seen.append(event.state))
    events, expected = sum(state in COUNTED for state in seen), numbers(run, whole)
    preparer = Preparer(Execution(store=parts, device="cpu", checkpoint_seconds=1e-9))
    for place in range(1, events + 1, 3):
        found = stopped_after(config, preparer, place, gently=gently)
        stops = 0
        while found is None:
            stops += 1
            found = stopped_after(config, preparer, 2 + 5 * stops, gently=gently)
        assert (place, unequal(numbers(found, parts), expected)) == (place, [])
        assert found.resumed == stops or not gently
        assert [path.name for path in (parts.path / "runs").iterdir()] == [run.key]
        parts.delete(run.key)


@pytest.mark.parametrize("damage", ["flipped", "cut", "none"])
def test_a_damaged_checkpoint_is_as_none(damage: str, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    preparer = Preparer(Execution(store=store, device="cpu", checkpoint_seconds=1e-9))
    assert stopped_after(SMALL, preparer, 6) is None
    (path,) = tmp_path.glob("runs/*/checkpoint-*")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-5] ^= 1  # a number of a tensor
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    steps: list[int] = []
    run = session.run(SMALL, preparer, lambda event: steps.append(event.step) if event.state == "started" else None)
    assert (run.status, run.resumed) == ("finished", int(damage == "none"))
    assert (steps[0] > 0) == (damage == "none")
