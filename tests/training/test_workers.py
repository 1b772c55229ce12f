"""Runs that several processes want, and processes that hang."""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archlab.errors import RunError
from archlab.records import Run, TrainingConfig
from archlab.store import Store, lock, open_store, run_key
from archlab.training import Execution, Progress, session, train, train_all
from archlab.training.engine import starting
from archlab.training.engines import interface, local, pool
from archlab.training.engines.local import WorkerProcess, where
from archlab.training.preparation import Preparer
from archlab.training.worker import Job
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network", epochs=2, batch_size=16, size=8, train_samples=50, test_samples=20
)
POSIX = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="Windows has no such signals")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> list[WorkerProcess]:
    """Workers that may be silent for half a second, as they are started."""
    monkeypatch.setattr(interface, "HANG_SECONDS", 0.5)
    monkeypatch.setattr(interface, "HANG_GAPS", 3)
    monkeypatch.setattr(interface, "START_SECONDS", 20.0)
    monkeypatch.setattr(session, "REPORT_SECONDS", 0.0)
    monkeypatch.setattr(pool, "TICK_SECONDS", 0.1)
    started: list[WorkerProcess] = []
    start = WorkerProcess.start

    def remember(*asked: Any) -> WorkerProcess:
        started.append(start(*asked))
        return started[-1]

    monkeypatch.setattr(WorkerProcess, "start", remember)
    return started


def key_of(config: TrainingConfig, store: Store) -> str:
    preparer = Preparer(Execution(store=store, device="cpu"))
    prepared = preparer.prepare(config)
    return run_key(config, prepared.environment(preparer.device, prepared.network()))


def without_times(run: Run | None) -> list[tuple[float | None, ...]]:
    assert run is not None
    return [(epoch.train_loss, epoch.test_loss, epoch.test_accuracy) for epoch in run.epochs]


def test_a_run_that_another_process_trains_is_waited_for_and_taken(store: Store) -> None:
    """The other one is this test: it holds the run until it is told that somebody waits."""
    execution = Execution(store=store, device="cpu")
    made = train(CONFIG, execution=replace(execution, store=None), progress=False)
    waits, events = threading.Event(), []

    def on_event(event: Progress) -> None:
        events.append(event)
        waits.set()

    with store.claim(made.key) as ours:
        assert ours
        thread = threading.Thread(target=session.run, args=(CONFIG, Preparer(execution), on_event))
        thread.start()
        assert waits.wait(60)
        with store.writer(CONFIG, made.environment) as writer:
            for epoch in made.epochs:
                writer.append(epoch)
            writer.finish({})
    thread.join(60)
    assert [event.state for event in events] == ["waiting", "reused"]
    assert without_times(events[-1].run) == without_times(made)


def test_what_another_process_gave_up_is_begun_here(store: Store) -> None:
    execution = Execution(store=store, device="cpu")
    key = key_of(CONFIG, store)
    waits, states = threading.Event(), []

    def on_event(event: Progress) -> None:
        states.append(event.state)
        waits.set()

    with store.claim(key):
        thread = threading.Thread(target=session.run, args=(CONFIG, Preparer(execution), on_event))
        thread.start()
        assert waits.wait(60)
    thread.join(60)
    assert [state for state in states if state not in ("step", "measuring")] == [
        "waiting",
        "started",
        "epoch",
        "epoch",
        "finished",
    ]
    assert not list((store.path / "locks").glob("*.training"))


def test_a_pool_trains_others_while_another_process_has_one(store: Store, impatient: list[WorkerProcess]) -> None:
    held, free = CONFIG, replace(CONFIG, seed=1)
    claim = lock.claim(store.path / "locks" / f"{key_of(held, store)}.training")
    assert claim is not None
    order: list[tuple[int, str]] = []

    def on_event(event: Progress) -> None:
        order.append((event.config.seed, event.state))
        if order[-1] == (1, "finished"):
            lock.disclaim(claim)

    runs = train_all([held, free], Execution(store=store, workers=1, device="cpu"), on_event)
    assert [run.status for run in runs] == ["finished", "finished"]
    assert [step for step in order if step[1] not in ("step", "measuring", "epoch")] == [
        (0, "waiting"), (1, "started"), (1, "finished"), (0, "started"), (0, "finished")
    ]  # fmt: skip


@POSIX
def test_a_worker_that_is_stopped_is_ended_and_its_run_begun_again(
    store: Store, impatient: list[WorkerProcess]
) -> None:
    config = replace(CONFIG, epochs=200)  # so that it is not over before it is stopped
    whole = train(config, execution=Execution(device="cpu"), progress=False)
    events: list[Progress] = []

    def on_event(event: Progress) -> None:
        events.append(event)
        if event.state == "epoch" and len(impatient) == 1:
            os.kill(impatient[0].process.pid, signal.SIGSTOP)

    (run,) = train_all([config], Execution(store=store, workers=1, device="cpu"), on_event)
    assert without_times(run) == without_times(whole)
    (again,) = [event for event in events if event.state == "again"]
    assert "stopped by SIGSTOP" in again.error
    assert "it was at" in again.error
    assert [found.status for found in store.runs()] == ["finished"]


@POSIX
def test_a_run_that_hangs_twice_fails_and_says_where(store: Store, impatient: list[WorkerProcess]) -> None:
    events: list[Progress] = []
    hanging = replace(CONFIG, network=f"{SOURCE}:Hanging")
    runs = train_all([hanging, CONFIG], Execution(store=store, workers=1, device="cpu"), events.append)
    assert [run.status for run in runs] == ["failed", "finished"]
    assert "gave no sign for" in runs[0].error
    assert "it was at forward (tiny.py, line" in runs[0].error
    assert [event.state for event in events].count("again") == 1
    assert len(impatient) == 3


def test_a_worker_whose_words_are_no_events_fails_its_run_alone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "END_SECONDS", 0.2)
    noisy = replace(CONFIG, network=f"{SOURCE}:Noisy", epochs=1_000_000)
    runs = train_all([noisy, CONFIG], Execution(store=store, workers=1, device="cpu"))
    assert [run.status for run in runs] == ["failed", "finished"]


def test_no_process_can_be_started(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    with pytest.raises(RunError, match="a training process did not start: No such file"):
        train_all([CONFIG], Execution(store=store, workers=1, device="cpu"))


def test_a_stack_that_is_cut_short_says_nothing() -> None:
    assert where("") == where('Thread 0x1 (most recent call first):\n  File "/usr/lib/python3/thread') == ""


@POSIX
def test_a_process_that_dies_before_its_run_begins_leaves_no_failed_run(
    store: Store, impatient: list[WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = WorkerProcess.begin

    def begin_and_die(worker: WorkerProcess, job: int, work: Job, others: Sequence[int]) -> None:
        begin(worker, job, work, others)
        if len(impatient) == 1:
            worker.process.kill()

    monkeypatch.setattr(WorkerProcess, "begin", begin_and_die)
    (run,) = train_all([CONFIG], Execution(store=store, workers=1, device="cpu"))
    assert run.status == "finished"
    assert [found.key for found in store.runs()] == [run.key]


def test_processes_that_were_started_ahead_are_the_ones_that_train(
    store: Store, impatient: list[WorkerProcess]
) -> None:
    execution = Execution(store=store.path, workers=2, device="cpu")
    with starting(execution, 2):
        assert len(impatient) == 2
        (run,) = train_all([CONFIG], execution)
        assert run.status == "finished"
        assert len(impatient) == 2
        (other,) = train_all([replace(CONFIG, seed=2)], replace(execution, workers=1))  # of another execution
        assert other.status == "finished"
        assert len(impatient) == 3
    assert all(worker.is_gone for worker in impatient)
