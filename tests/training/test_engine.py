import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from archlab.errors import DataError, InputError, RunError
from archlab.records import TrainingConfig
from archlab.store import Store, open_store
from archlab.training import Execution, Progress, train_all, worker
from archlab.training.engines import local
from archlab.training.engines.pool import Pool
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network", epochs=2, batch_size=16, size=8, train_samples=50, test_samples=20
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def test_runs_come_in_order_and_are_reused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/bin/archlab", "compare", "a network"])
    configs = [replace(CONFIG, seed=seed) for seed in (2, 0, 1, 0)]
    events: list[Progress] = []
    runs = train_all(configs, Execution(store=store, workers=2, device="cpu"), progress=events.append)
    assert [run.config.seed for run in runs] == [2, 0, 1, 0]
    assert {run.status for run in runs} == {"finished"}
    assert runs[1] is runs[3]
    assert sorted(event.state for event in events if event.state not in ("step", "measuring")) == (
        ["epoch"] * 6 + ["finished"] * 3 + ["started"] * 3
    )
    assert store.recording(runs[0].key) is not None
    assert runs[0].environment["command"] == "archlab compare 'a network'", "the parent's, without its folder"

    events.clear()
    assert train_all(configs, Execution(store=store, workers=1, device="cpu"), progress=events.append) == runs
    assert [event.state for event in events] == ["reused"] * 3

    events.clear()
    again = train_all(configs[:1], Execution(store=store, workers=1, device="cpu", fresh=True), progress=events.append)
    assert [epoch.train_loss for epoch in again[0].epochs] == [epoch.train_loss for epoch in runs[0].epochs]
    assert events[-1].state == "finished"


def test_runs_that_diverge_die_or_fail_leave_the_others_going(store: Store) -> None:
    configs = [
        replace(CONFIG, learning_rate=1e30),
        replace(CONFIG, network=f"{SOURCE}:Dying"),
        CONFIG,
        replace(CONFIG, network=f"{SOURCE}:Failing"),
        replace(CONFIG, seed=1),
    ]
    events: list[Progress] = []
    runs = train_all(configs, Execution(store=store, workers=2, device="cpu"), progress=events.append)
    assert [run.status for run in runs] == ["diverged", "failed", "finished", "failed", "finished"]
    diverged, died, _, failed, _ = runs
    assert diverged.error.startswith("the loss at step")
    assert "killed (SIGKILL)" in died.error
    assert "no luck today" in failed.error
    assert sum(event.state == "failed" for event in events) == 2
    assert sum(event.state == "diverged" for event in events) == 1
    assert {run.key: run.status for run in store.runs()} == {run.key: run.status for run in runs}


def test_wrong_call_is_the_callers_error(store: Store) -> None:
    with pytest.raises(DataError, match="did you mean digits"):
        train_all([replace(CONFIG, dataset="digit")], Execution(store=store, workers=1, device="cpu"))


def test_a_last_batch_of_one_is_refused_before_the_first_run(store: Store) -> None:
    odd = replace(CONFIG, batch_size=7, variant="batch_size=7")  # 50 = 7 * 7 + 1
    events: list[Progress] = []
    with pytest.raises(InputError, match="50 training images in batches of 7 leave a last batch of 1"):
        train_all([CONFIG, odd], Execution(store=store, workers=1, device="cpu"), progress=events.append)
    assert events == []
    assert store.runs() == []
    without = replace(odd, options={"norm": "none"}, epochs=1)
    assert train_all([without], Execution(store=store, workers=1, device="cpu"))[0].status == "finished"


def test_unknown_device(store: Store) -> None:
    with pytest.raises(InputError, match="there is no device 'toaster'"):
        train_all([CONFIG], Execution(store=store, workers=1, device="toaster"))


def test_number_of_workers() -> None:
    with pytest.raises(InputError, match="workers is 0"):
        train_all([CONFIG], Execution(store=open_store(), workers=0))
    assert [local.LocalEngine().default_workers(accelerators=count) for count in (1, 4)] == [1, 4]
    assert 1 <= local.LocalEngine().default_workers(accelerators=0) <= (os.cpu_count() or 1)


def test_nothing_to_do(store: Store) -> None:
    assert train_all([], Execution(store=store)) == []


def test_stopping_ends_the_workers_and_keeps_what_is_finished(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    processes: list[subprocess.Popen[bytes]] = []
    start = Pool.start

    def remember(pool: Pool) -> None:
        start(pool)
        started = pool.workers[-1]
        assert isinstance(started, local.WorkerProcess)
        processes.append(started.process)

    def stop(event: Progress) -> None:
        if event.state == "finished":
            raise KeyboardInterrupt

    monkeypatch.setattr(Pool, "start", remember)
    long = replace(CONFIG, seed=1, epochs=100_000)
    with pytest.raises(KeyboardInterrupt):
        train_all([CONFIG, long], Execution(store=store, workers=1, device="cpu"), progress=stop)
    assert [process.poll() is not None for process in processes] == [True]
    assert [run.status for run in store.runs()][:1] == ["finished"]
    assert len(train_all([CONFIG], Execution(store=store, workers=1, device="cpu"))) == 1


def test_workers_that_do_not_start_are_an_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "BOOTSTRAP", "raise SystemExit('no torch here')")
    with pytest.raises(RunError, match=r"did not start: its process ended with code 1: no torch here"):
        train_all([CONFIG], Execution(store=store, workers=1, device="cpu"))


SCRIPT = """
import sys
from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, train_all
config = TrainingConfig(network={source!r}, epochs={epochs}, size=8, train_samples=50, test_samples=20)
execution = Execution(store=open_store({store!r}), workers=1, device="cpu")
runs = train_all([config], execution, lambda event: print(event.state, flush=True))
print(runs[0].status, "torch" in sys.modules)
"""


def script(store: Store, epochs: int, source: str = "make_network") -> str:
    return SCRIPT.format(source=f"{SOURCE}:{source}", epochs=epochs, store=str(store.path))


def test_script_needs_no_main_guard_and_the_parent_no_torch(store: Store) -> None:
    output = subprocess.check_output([sys.executable, "-c", script(store, 1)], text=True, timeout=120)
    assert output.splitlines()[-1] == "finished False"


def test_workers_end_with_a_killed_parent(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", script(store, 1_000_000)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "epoch":
            break
    assert store.runs()[0].status == "running"
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 60
    while store.runs()[0].status == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert store.runs()[0].status == "interrupted"


def test_worker_whose_events_nobody_reads_leaves_its_run_interrupted(store: Store) -> None:
    execution = Execution(store=store, device="cpu")
    arguments = [sys.executable, "-c", worker.BOOTSTRAP, json.dumps(sys.path)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for message in (worker.Greeting(execution, ("archlab",)), replace(CONFIG, epochs=1_000_000)):
            pickle.dump(message, process.stdin)
        process.stdin.flush()
        for _ in range(3):  # ready, started, the first step or epoch
            pickle.load(process.stdout)
        process.stdout.close()
        assert process.wait(60) == 0
    assert [run.status for run in store.runs()] == ["interrupted"]
