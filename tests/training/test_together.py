"""Several runs as one program, in the store: their keys, how they are found again, and how they go on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from torch import nn

from archlab.comparing import compare
from archlab.errors import InputError
from archlab.records import Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.training import Execution, Progress, session, train_all
from archlab.training.preparation import Preparer
from archlab.training.stopping import Stop, StoppedError
from archlab.training.together import run_together
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network",
    epochs=2,
    batch_size=8,
    size=8,
    train_samples=80,
    test_samples=20,
    optimizer="sgd",
    learning_rate=0.01,
)
CONFIGS = [replace(CONFIG, seed=seed) for seed in range(3)]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def together(
    store: Store,
    configs: Sequence[TrainingConfig] = CONFIGS,
    stack: str | None = "8",
    tell: Callable[[Progress], None] = lambda event: None,
    stop: Stop | None = None,
) -> list[Run | None]:
    return run_together(configs, Preparer(Execution(store=store, device="cpu", stack=stack)), tell, stop or Stop())


def alone(store: Store, config: TrainingConfig) -> Run:
    return session.run(config, Preparer(Execution(store=store, device="cpu")))


def losses(run: Run | None) -> list[float | None]:
    assert run is not None
    return [value for epoch in run.epochs for value in (epoch.train_loss, epoch.test_loss)]


def test_stacked_runs_agree_with_those_by_themselves_and_have_other_keys(store: Store, taken: list[int]) -> None:
    events: list[Progress] = []
    stacked = together(store, tell=events.append)
    assert taken == [3] + [3] * 16  # the trial's, and all steps but the first two and the last of each epoch
    assert [event.error for event in events if event.state == "stacked"] == ["3 runs are trained as one program"]
    single = [alone(store, config) for config in CONFIGS]
    for one, other in zip(stacked, single, strict=True):
        assert one is not None
        assert losses(one) == pytest.approx(losses(other), abs=1e-4)
        assert f"-digits-stacked-seed{one.config.seed}-" in one.key
        assert f"-digits-seed{one.config.seed}-" in other.key
        assert one.environment == other.environment | {"stacked": True}
        assert one.status == "finished"
        assert store.curves(one.key)["train_loss"] == pytest.approx(store.curves(other.key)["train_loss"], abs=1e-4)
        assert store.recording(one.key) is not None
    assert len(store.runs()) == 6


def test_a_stacked_run_answers_where_stacks_are_asked_for_alone(store: Store, taken: list[int]) -> None:
    first = together(store)
    steps, events = len(taken), []
    again = together(store, tell=lambda event: events.append(event.state))
    assert [run and run.key for run in again] == [run and run.key for run in first]
    assert (len(taken), events) == (steps, ["reused"] * 3)
    by_itself = together(store, CONFIGS[:1], stack="off")
    assert by_itself[0] is not None
    assert by_itself[0].key != (first[0] and first[0].key)
    missing = session.missing(CONFIGS, Preparer(Execution(store=store, device="cpu")))
    assert missing == CONFIGS[1:], "those that only a stack has trained, and nobody asks for one"
    assert session.missing(CONFIGS, Preparer(Execution(store=store, device="cpu", stack="auto"))) == []


def test_a_run_that_was_trained_by_itself_answers_for_a_stacked_one(store: Store, taken: list[int]) -> None:
    known = alone(store, CONFIGS[1])
    runs = together(store)
    assert runs[1] == known
    assert set(taken) == {2}


def test_one_run_that_is_left_is_trained_by_itself(store: Store, taken: list[int]) -> None:
    together(store, CONFIGS[:2])
    taken.clear()
    runs = together(store)
    assert runs[2] is not None
    assert "stacked" not in runs[2].environment
    assert taken == []


def test_runs_that_were_stopped_go_on_where_they_were(store: Store) -> None:
    stop = Stop()

    def end(event: Progress) -> None:
        if event.state == "epoch" and event.config.seed == 2:
            stop.ask()

    with pytest.raises(StoppedError):
        together(store, tell=end, stop=stop)
    assert {run.status for run in store.runs()} == {"interrupted"}
    started: list[int] = []
    runs = together(store, tell=lambda event: started.append(event.step) if event.state == "started" else None)
    assert min(started) >= 10
    whole = together(open_store(store.path.parent / "other"))
    for one, other in zip(runs, whole, strict=True):
        assert one is not None
        assert (one.status, one.resumed) == ("finished", 1)
        assert losses(one) == pytest.approx(losses(other), abs=1e-4)


def test_one_that_diverges_and_one_that_another_process_trains_leave_the_others(store: Store) -> None:
    configs = [CONFIG, replace(CONFIG, seed=1, learning_rate=1e30), replace(CONFIG, seed=2)]
    preparer = Preparer(Execution(store=store, device="cpu", stack="8"))
    claimed = session.ReadyRun.of(configs[2], preparer).stacked().key
    with store.claim(claimed):
        finished, diverged, busy = together(store, configs)
    assert finished is not None
    assert diverged is not None
    assert (finished.status, diverged.status, busy) == ("finished", "diverged", None)


def test_networks_that_cannot_be_stacked_are_trained_one_after_the_other(store: Store, taken: list[int]) -> None:
    configs = [replace(config, options={"dropout": 0.5}) for config in CONFIGS]
    said: list[str] = []
    runs = together(store, configs, tell=lambda event: said.append(event.error) if event.error else None)
    assert said == ["3 runs are trained one after the other: dropout (Dropout) draws random numbers"]
    assert taken == []
    assert [run and run.status for run in runs] == ["finished"] * 3
    assert all("stacked" not in run.environment for run in runs if run)


def test_a_mistake_in_the_call_is_raised(store: Store) -> None:
    with pytest.raises(InputError, match="leave a last batch of 1"):
        together(store, [replace(config, batch_size=79) for config in CONFIGS])


def test_workers_share_what_can_be_stacked(store: Store) -> None:
    configs = [
        replace(config, options={"norm": norm}, variant=f"norm={norm}")
        for norm in ("batch", "none")
        for config in CONFIGS
    ]
    events: list[Progress] = []
    execution = Execution(store=store, device="cpu", workers=1, stack="3")
    runs = train_all(configs, execution, events.append)
    assert [run.config for run in runs] == configs
    assert [event.error for event in events if event.state == "stacked"] == ["3 runs are trained as one program"] * 2
    assert all(run.environment["stacked"] for run in runs)
    events.clear()
    assert train_all(configs, execution, events.append) == runs
    assert [event.state for event in events] == ["reused"] * 6


def test_several_runs_whose_worker_dies_are_begun_again_one_by_one(store: Store) -> None:
    configs = [replace(CONFIG, network=f"{SOURCE}:Crowded", seed=seed) for seed in range(2)]
    events: list[Progress] = []
    runs = train_all(configs, Execution(store=store, device="cpu", workers=1, stack="2"), events.append)
    assert [run.status for run in runs] == ["finished", "finished"]
    again = [event for event in events if event.state == "again"]
    assert [event.config.seed for event in again[:2]] == [0, 1]
    assert "killed (SIGKILL)" in again[0].error
    assert again[0].error.endswith("while it trained several runs")


def test_networks_that_this_process_alone_has_are_stacked_here(store: Store) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that all is trained in this process
        compared = compare(
            nn.Sequential(nn.Flatten(), nn.Linear(64, 10)),
            lr=[0.001, 0.01],
            seeds=2,
            stack="8",
            store=store,
            device="cpu",
            epochs=1,
            batch_size=8,
            size=8,
            train_samples=80,
            test_samples=20,
            progress=False,
        )
    assert [store.run(key).environment["stacked"] for key in compared.runs] == [True] * 4


def test_how_many_is_a_number_or_a_word() -> None:
    with pytest.raises(InputError, match="stack is '1', expected auto, off, or how many runs at a time, from 2 on"):
        train_all(CONFIGS, Execution(stack="1"))
