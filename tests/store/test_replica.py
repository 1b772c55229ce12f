"""Runs that are written in one store and kept in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from archlab.errors import StoreError
from archlab.records import Epoch, TrainingConfig
from archlab.store import Store, open_store
from archlab.store.replica import Changes, Outgoing, Part, Replicas, beginnings
from archlab.store.verifying import verify

if TYPE_CHECKING:
    from archlab.store.arrays import Array

CONFIG = TrainingConfig()
EPOCH = Epoch(1, 3, 1.0, 0.5, 0.25, 0.125, 0.75)
STEPS: dict[str, Array] = {"train_loss": np.ones(3, dtype=np.float32), "train_accuracy": np.zeros(3, dtype=np.float32)}
CURVES: dict[str, Array] = {"step": np.arange(1, 4), **STEPS}


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    return open_store(tmp_path / "far"), open_store(tmp_path / "near")


def test_a_run_can_be_watched_while_it_is_written_elsewhere_and_is_there_when_it_ends(
    stores: tuple[Store, Store],
) -> None:
    far, near = stores
    outgoing, replicas = Outgoing(far.path), Replicas(near)
    with far.writer(CONFIG, {}) as writer:
        writer.append_steps(STEPS)
        replicas.apply(outgoing.changes())
        assert [run.status for run in near.runs()] == ["running"]
        assert len(near.curves(writer.key)["step"]) == 3
        with near.claim(writer.key) as ours:
            assert not ours, "processes here would train it too"
        writer.append_steps(STEPS)
        writer.append(EPOCH)
        changes = outgoing.changes()
        assert sorted((part.name, part.offset) for part in changes.parts) == [("metrics.jsonl", 0), ("steps.bin", 24)]
        replicas.apply(changes)
        assert len(near.curves(writer.key)["step"]) == 6
        assert not outgoing.changes()
        writer.finish(CURVES)
    replicas.apply(outgoing.changes())
    assert near.runs() == far.runs()
    assert [run.status for run in near.runs()] == ["finished"]
    assert [path.name for path in (near.path / "runs").iterdir()] == [writer.key]
    assert not [path for path in (near.path / "locks").iterdir() if path.name != "turn"]
    assert verify(near).damaged == ()
    assert not outgoing.changes()


def test_a_checkpoint_is_there_before_the_one_before_it_goes(stores: tuple[Store, Store]) -> None:
    far, near = stores
    outgoing, replicas = Outgoing(far.path), Replicas(near)
    with far.writer(CONFIG, {}) as writer:
        writer.keep_checkpoint(1, b"one")
        replicas.apply(outgoing.changes())
        writer.keep_checkpoint(2, b"two")
        changes = outgoing.changes()
        replicas.apply(Changes(changes.parts))
        (folder,) = near.run_folders()
        assert len(list(folder.path.glob("checkpoint-*"))) == 2
        replicas.apply(Changes((), changes.removed))
        replicas.leave()
        assert [(one.step, one.content()) for one in near.checkpoints(writer.key)] == [(2, b"two")]
    assert [run.status for run in near.runs()] == ["interrupted"]


def test_a_run_goes_on_elsewhere_from_where_it_was_interrupted(stores: tuple[Store, Store]) -> None:
    far, near = stores
    with near.writer(CONFIG, {}) as writer:
        writer.append_steps(STEPS)
        writer.keep_checkpoint(3, b"three")
        assert beginnings(near, CONFIG) == [], "somebody is at it"
    outgoing, replicas = Outgoing(far.path), Replicas(near)
    outgoing.put(beginnings(near, CONFIG))
    assert not outgoing.changes()
    (begun,) = far.checkpoints(writer.key)
    assert begun.content() == b"three"
    with far.writer(CONFIG, {}, begun=begun) as writer:
        replicas.apply(outgoing.changes())
        (run,) = near.runs()
        assert (run.status, run.resumed) == ("running", 1)
        assert len(near.run_folders()) == 1, "what it was before is gone, once its checkpoint is in the new one"
        writer.append(EPOCH)
        writer.finish(CURVES)
    replicas.apply(outgoing.changes())
    assert [run.status for run in near.runs()] == ["finished"]


def test_of_a_run_that_ended_its_record_is_enough_and_others_are_left(stores: tuple[Store, Store]) -> None:
    far, near = stores
    for config in (CONFIG, replace(CONFIG, learning_rate=0.1), replace(CONFIG, seed=1)):
        with near.writer(config, {}) as writer:
            writer.append(EPOCH)
            writer.finish(CURVES)
    parts = beginnings(near, CONFIG)
    assert [part.name for part in parts] == ["run.json"]
    outgoing = Outgoing(far.path)
    outgoing.put(parts)
    assert [run.config for run in far.runs()] == [CONFIG]
    assert far.result(far.runs()[0].key) is not None
    outgoing.clear()
    assert far.runs() == []
    assert not outgoing.changes()


@pytest.mark.parametrize(
    ("folder", "name"),
    [("runs/..", "x"), ("../away", "x"), ("runs/key", "../../x"), ("reports", "x"), ("runs/a/b", "x"), ("runs/k", "")],
)
def test_nothing_is_written_outside_the_runs(stores: tuple[Store, Store], folder: str, name: str) -> None:
    _, near = stores
    with pytest.raises(StoreError, match="is no file of a store"):
        Replicas(near).apply(Changes((Part(folder, name, b"x"),)))
    assert not list(near.path.parent.rglob("x"))
