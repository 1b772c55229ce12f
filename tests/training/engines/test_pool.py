"""The pool, on workers that only say what they are told to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.training import Execution, Progress
from archlab.training.engines import pool as pools
from archlab.training.engines.interface import Worker
from archlab.training.engines.pool import MOST_LOSSES, Pool
from archlab.training.stopping import Stop
from archlab.training.worker import Accelerator, Ended, Greeting, Job, Ready

CONFIGS = [TrainingConfig(seed=seed) for seed in range(3)]


class Scripted(Worker):
    """Does at each job what its engine's script says next."""

    is_stopped = False

    def __init__(self, engine: Engine, on_event: Callable[[Worker, object], None]) -> None:
        super().__init__()
        self.engine, self.on_event = engine, on_event
        self.gone = self.lost = False
        self.sent: list[int] = []
        self.settled: list[int] = []
        self.tell(Ready(engine.accelerators))

    def tell(self, *events: object) -> None:
        for event in events:
            self.on_event(self, event)

    @property
    def is_gone(self) -> bool:
        return self.gone

    @property
    def is_lost(self) -> bool:
        return self.lost

    def send(self, work: Job | Accelerator) -> None:
        if isinstance(work, Accelerator):
            self.settled.append(work.place)
            return
        configs = work if isinstance(work, tuple) else (work,)
        config = configs[0]
        self.engine.began += [(self.engine.workers.index(self), one.seed) for one in configs]
        self.sent.append(len(configs))
        deed = self.engine.script.pop(0) if self.engine.script else "train"
        if deed != "die early":
            self.tell(Progress(config, "started", f"key-{config.seed}"))
        if deed == "train":
            for one in configs:
                self.tell(Progress(one, "finished", f"key-{one.seed}", run=Run("key", one, "finished")))
            self.tell(Ended())
        elif deed == "refuse":
            self.tell(Ended((InputError, "no such network")))
        elif deed != "hang":
            self.gone, self.lost = True, deed == "lose"
            self.tell(None)

    def dismiss(self) -> None:
        self.gone = True

    def kill(self) -> None:
        self.gone = True

    def end(self) -> str:
        return "it was lost" if self.lost else "it died"

    def place(self) -> str:
        return "somewhere"


class Engine:
    """Starts such workers."""

    takes_groups = True

    def __init__(self, *script: str, room: int = 1, accelerators: int = 0, shares: bool = False) -> None:
        self.script, self.room, self.accelerators, self.shares_accelerator = list(script), room, accelerators, shares
        self.workers: list[Scripted] = []
        self.began: list[tuple[int, int]] = []
        self.is_closed = False

    def default_workers(self, *, accelerators: int) -> int:
        return self.room

    def start(self, greeting: Greeting, on_event: Callable[[Worker, object], None]) -> Worker:
        self.workers.append(Scripted(self, on_event))
        return self.workers[-1]

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


def work(
    engine: Engine, store: Store, configs: Sequence[TrainingConfig] = CONFIGS, workers: int | None = None
) -> tuple[list[str], list[str]]:
    """The status of each run, and the states that were told."""
    events: list[Progress] = []
    with Pool(engine, Execution(store=store, workers=workers), configs, events.append, Stop()) as pool:
        runs = pool.work()
    assert engine.is_closed
    return [runs[place].status for place in range(len(configs))], [event.state for event in events]


def test_each_worker_gets_the_next_job_and_no_more_are_started_than_there_are_jobs(store: Store) -> None:
    engine = Engine(room=8)
    assert work(engine, store)[0] == ["finished"] * 3
    assert sorted(seed for _, seed in engine.began) == [0, 1, 2]
    assert len(engine.workers) == 3


def test_a_run_whose_machine_is_gone_is_taken_up_again(store: Store) -> None:
    engine = Engine("lose", "lose")
    statuses, states = work(engine, store)
    assert statuses == ["finished"] * 3
    assert states.count("again") == 2
    assert [seed for _, seed in engine.began] == [0, 0, 0, 1, 2]
    assert len(engine.workers) == 3


def test_a_run_that_ends_machine_after_machine_fails(store: Store) -> None:
    engine = Engine(*["lose"] * (MOST_LOSSES + 1))
    statuses, states = work(engine, store)
    assert statuses == ["failed", "finished", "finished"]
    assert states.count("again") == MOST_LOSSES
    assert "it was lost" in store.runs()[0].error


def test_a_run_that_takes_its_process_with_it_fails_at_once(store: Store) -> None:
    statuses, states = work(Engine("die"), store)
    assert statuses == ["failed", "finished", "finished"]
    assert "again" not in states


def test_a_process_that_died_before_the_run_began_is_replaced_once(store: Store) -> None:
    assert work(Engine("die early"), store)[0] == ["finished"] * 3
    assert work(Engine("die early", "die early"), store)[0] == ["failed", "finished", "finished"]


def test_what_a_worker_refuses_is_the_callers_error(store: Store) -> None:
    engine = Engine("refuse")
    with pytest.raises(InputError, match="no such network"):
        work(engine, store)
    assert engine.is_closed
    assert all(worker.gone for worker in engine.workers)


def test_one_worker_trains_on_each_accelerator_that_all_see_and_each_worker_on_its_own(store: Store) -> None:
    shared = Engine(room=3, accelerators=1, shares=True)
    work(shared, store)
    assert {worker for worker, _ in shared.began} == {0}
    assert shared.workers[0].settled == []  # there is no choice
    two = Engine(room=3, accelerators=2, shares=True)
    work(two, store)
    assert {worker for worker, _ in two.began} == {0, 1}
    assert [worker.settled for worker in two.workers] == [[0], [1], []]
    own = Engine(room=3, accelerators=1)
    work(own, store)
    assert {worker for worker, _ in own.began} == {0, 1, 2}
    asked = Engine(accelerators=2, shares=True)
    work(asked, store, workers=3)
    assert {worker for worker, _ in asked.began} == {0, 1, 2}
    assert [worker.settled for worker in asked.workers] == [[0], [1], [0]]


def test_who_comes_in_the_place_of_another_takes_its_accelerator(store: Store) -> None:
    engine = Engine("die", "train", room=2, accelerators=2, shares=True)
    work(engine, store)
    assert [worker.settled for worker in engine.workers] == [[0], [1], [0]]


def test_workers_that_are_lost_before_they_are_ready_are_replaced_for_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(self: Scripted, engine: Engine, on_event: Callable[[Worker, object], None]) -> None:
        Worker.__init__(self)
        self.engine, self.on_event, self.gone, self.lost = engine, on_event, True, True
        self.tell(None)

    monkeypatch.setattr(Scripted, "__init__", start)
    engine = Engine()
    with pytest.raises(RunError, match="did not start: it was lost"):
        work(engine, store)
    assert len(engine.workers) == MOST_LOSSES + 1


def test_who_hangs_is_noticed_while_others_speak(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker tells a step each time that an event is asked for: nothing is ever waited for."""
    monkeypatch.setattr(pools, "TICK_SECONDS", 0.0)
    monkeypatch.setattr(Scripted, "hangs", property(lambda worker: worker.job == 0 and not worker.gone))
    engine = Engine("hang", "train", "hang", room=2)
    again: list[Progress] = []

    def on_event(event: Progress) -> None:
        if event.state == "again":
            again.append(event)
            engine.script.clear()
        if not again and engine.began[-1] == (1, 2):  # the second worker goes on and on
            engine.workers[1].tell(Progress(CONFIGS[2], "step", "key-2"))
        elif again and event.config.seed == 2 and event.state == "step":
            engine.workers[1].tell(Progress(CONFIGS[2], "finished", "key-2", run=Run("k", CONFIGS[2], "finished")))
            engine.workers[1].tell(Ended())

    def give_up(worker: Scripted) -> None:
        worker.hung, worker.gone = "silent", True
        worker.tell(None)

    monkeypatch.setattr(Scripted, "give_up", give_up)
    with Pool(engine, Execution(store=store), CONFIGS, on_event, Stop()) as pool:
        runs = pool.work()
    assert {runs[place].status for place in range(3)} == {"finished"}
    assert [event.error for event in again] == ["silent"]


@pytest.mark.parametrize("stack", ["off", "auto", "2"])
def test_runs_of_one_structure_are_handed_out_together_where_they_may_be_stacked(store: Store, stack: str) -> None:
    engine, events = Engine(room=2), list[Progress]()
    with Pool(engine, Execution(store=store, workers=2, stack=stack), CONFIGS, events.append, Stop()) as pool:
        runs = pool.work()
    assert [runs[place].config for place in range(len(CONFIGS))] == list(CONFIGS)
    assert sorted(seed for _, seed in engine.began) == sorted(config.seed for config in CONFIGS)
    sent = [worker.sent for worker in engine.workers]
    assert max(max(sizes, default=0) for sizes in sent) == (1 if stack == "off" else -(-len(CONFIGS) // 2))


def test_those_of_several_that_a_dead_worker_leaves_are_tried_alone(store: Store) -> None:
    engine, events = Engine("die"), list[Progress]()
    with Pool(engine, Execution(store=store, workers=1, stack="auto"), CONFIGS, events.append, Stop()) as pool:
        runs = pool.work()
    assert {run.status for run in runs.values()} == {"finished"}
    assert [event.state for event in events].count("again") == len(CONFIGS)
    assert engine.workers[-1].sent == [1] * len(CONFIGS)
