"""The driver's side of workers on a cluster: with a stand-in for Ray, and once with Ray where it is installed."""

from __future__ import annotations

import importlib.util
import queue
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archlab.errors import InputError, StoreError
from archlab.records import Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.store.replica import Changes, Part
from archlab.training import Execution, Progress, train, train_all
from archlab.training.engines import choosing, cluster
from archlab.training.engines.needs import Data
from archlab.training.engines.remote import Heard, Started
from archlab.training.worker import Ended, Greeting, Ready
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(
    network=f"{SOURCE}:make_network", epochs=2, batch_size=16, size=8, train_samples=50, test_samples=20
)
BUILT_IN = TrainingConfig()


class RayActorError(Exception):
    """An actor is gone."""


class ActorUnavailableError(RayActorError):
    """An actor can't be reached."""


class Actor:
    """Answers calls as its script says: values in turn, of which errors are raised."""

    def __init__(self, answers: dict[str, list[Any]]) -> None:
        self._answers = answers
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        def call(*given: Any) -> Any:
            self.calls.append((name, given))
            waiting = self._answers.get(name, [])
            future: Future[Any] = Future()
            if name == "hear" and not waiting:  # nothing more is said
                return SimpleNamespace(future=lambda: future)
            answer = waiting.pop(0) if waiting else None
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
            return SimpleNamespace(future=lambda: future)

        return SimpleNamespace(remote=call)


class Ray:
    """What the engine takes of the module `ray`."""

    exceptions = SimpleNamespace(
        RayError=RayActorError, RayActorError=RayActorError, ActorUnavailableError=ActorUnavailableError
    )

    def __init__(self, *actors: dict[str, list[Any]], has: dict[str, float] | None = None) -> None:
        self.waiting = list(actors)
        self._has = has or {"CPU": 1.0}
        self.actors: list[Actor] = []
        self.options: list[dict[str, Any]] = []
        self.killed: list[Actor] = []
        self.stored: list[Any] = []

    def cluster_resources(self) -> dict[str, float]:
        return self._has

    def remote(self, kind: type) -> Any:
        def make() -> Actor:
            self.actors.append(Actor(self.waiting.pop(0)))
            return self.actors[-1]

        def options(**chosen: Any) -> Any:
            self.options.append(chosen)
            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def put(self, value: Any) -> int:
        self.stored.append(value)
        return len(self.stored) - 1

    def get(self, reference: Any, timeout: float) -> Any:
        return reference.future().result(timeout)

    def kill(self, actor: Actor) -> None:
        self.killed.append(actor)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "store")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Ray], Ray]:
    def use(ray: Ray) -> Ray:
        monkeypatch.setattr(cluster, "connected", lambda address: ray)
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        return ray

    return use


def told(state: str, config: TrainingConfig = BUILT_IN, **known: Any) -> Progress:
    return Progress(config, state, "key", **known)  # type: ignore[arg-type]


def trains() -> dict[str, list[Any]]:
    return {
        "start": [Started(has_store=True)],
        "hear": [
            Heard((Ready(accelerators=0),)),
            Heard((told("started"), told("finished", run=Run("key", BUILT_IN, "finished")), Ended())),
        ],
    }


def trains_nothing() -> dict[str, list[Any]]:
    return {"hear": [Heard((Ready(accelerators=0),))]}


def all_of(store: Store, configs: list[TrainingConfig], **execution: Any) -> tuple[list[Run], list[Progress]]:
    events: list[Progress] = []
    return train_all(configs, Execution(store=store, engine="ray", **execution), events.append), events


def test_an_actor_trains_and_is_ended(store: Store, use: Callable[[Ray], Ray]) -> None:
    ray = use(Ray(trains()))
    runs, events = all_of(store, [BUILT_IN])
    assert [run.status for run in runs] == ["finished"]
    assert [event.state for event in events] == ["started", "finished"]
    (actor,) = ray.actors
    assert sorted(name for name, _ in actor.calls) == ["begin", "close", "hear", "hear", "hear", "start"]
    assert ray.killed == [actor]
    assert ray.options[0]["num_cpus"] == 1
    assert ray.options[0]["num_gpus"] == 0
    assert not [path for path in store.path.iterdir() if path.name.startswith(".workers")]


def test_a_lost_actor_is_replaced_and_its_run_taken_up_again(store: Store, use: Callable[[Ray], Ray]) -> None:
    lost = trains()
    lost["hear"] = [lost["hear"][0], Heard((told("started"),)), RayActorError("the node\nwas terminated")]
    use(Ray(lost, trains()))
    runs, events = all_of(store, [BUILT_IN])
    assert [run.status for run in runs] == ["finished"]
    (again,) = [event for event in events if event.state == "again"]
    assert again.error == "its node is gone, or ended it: was terminated"


def test_an_actor_that_fails_is_no_lost_node(store: Store, use: Callable[[Ray], Ray]) -> None:
    wrong = trains()
    wrong["hear"] = [wrong["hear"][0], Heard((told("started"),)), TypeError("a mistake")]
    use(Ray(wrong))
    runs, _ = all_of(store, [BUILT_IN])
    assert [(run.status, run.error) for run in runs] == [("failed", "its actor failed: a mistake")]


def test_a_process_that_died_fails_its_run(store: Store, use: Callable[[Ray], Ray]) -> None:
    died = trains()
    died["hear"] = [died["hear"][0], Heard((told("started"),)), Heard(ended="its process was killed")]
    use(Ray(died))
    runs, _ = all_of(store, [BUILT_IN])
    assert [(run.status, run.error) for run in runs] == [("failed", "its process was killed")]


def test_an_answer_that_was_lost_is_asked_for_again(
    store: Store, use: Callable[[Ray], Ray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ASK_SECONDS", 0.01)
    shaky = trains()
    shaky["hear"].insert(1, ActorUnavailableError("no route"))
    ray = use(Ray(shaky))
    assert all_of(store, [BUILT_IN])[0][0].status == "finished"
    assert [given[0] for name, given in ray.actors[0].calls if name == "hear"] == [0, 1, 1, 2]


def test_data_that_a_node_lacks_is_sent_to_it(
    store: Store, use: Callable[[Ray], Ray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "packed", lambda data, execution: iter([(("a", b"1"),), (("b", b"2"),)]))
    data = Data("photos", "sizes", "version")
    ray = use(Ray(*[{"start": [Started(missing=(data,)), Started(has_store=True)], **trains_nothing()} for _ in "ab"]))
    engine = cluster.RayEngine(Execution(store=store, engine="ray"))
    ready: queue.SimpleQueue[object] = queue.SimpleQueue()
    for _ in ray.waiting[:]:
        engine.start(Greeting(Execution(store=store), ()), lambda worker, event: ready.put(event))
    assert [ready.get(timeout=10) for _ in "ab"] == [Ready(accelerators=0)] * 2
    engine.close()
    assert ray.stored == [(("a", b"1"),), (("b", b"2"),)], "once for all nodes"
    for actor in ray.actors:
        first, second = [given for name, given in actor.calls if name == "start"]
        assert first[2] is None
        assert second[2]["photos"].args == ([0, 1],)


def test_what_a_node_refuses_is_the_callers_error(store: Store, use: Callable[[Ray], Ray]) -> None:
    use(Ray({"start": [Started(refusal=(InputError, "no such file (on the machine far)"))]}))
    with pytest.raises(InputError, match=r"no such file \(on the machine far\)"):
        all_of(store, [BUILT_IN])


def test_what_comes_by_value_is_in_the_store_when_it_is_told(store: Store, use: Callable[[Ray], Ray]) -> None:
    value = trains()
    value["start"] = [Started(has_store=False)]
    value["hear"][1] = Heard(value["hear"][1].events, Changes((Part("traces", "a.json", b"{}"),)))
    ray = use(Ray(value))
    seen: list[bool] = []
    execution = Execution(store=store, engine="ray")
    train_all([BUILT_IN], execution, lambda event: seen.append((store.path / "traces" / "a.json").exists()))
    assert seen == [True, True]
    assert [given[1] for name, given in ray.actors[0].calls if name == "begin"] == [[]]

    value = trains()
    value["start"] = [Started(has_store=False)]
    value["hear"][1] = Heard((), Changes((Part("elsewhere", "a", b""),)))
    use(Ray(value))
    with pytest.raises(StoreError, match="is no file of a store"):
        all_of(store, [replace(BUILT_IN, seed=1)])


def test_workers_are_as_many_as_there_is_room_for(store: Store, use: Callable[[Ray], Ray]) -> None:
    def workers(has: dict[str, float], **chosen: Any) -> int:
        use(Ray(has=has))
        return choosing.worker_count(Execution(store=store, engine="ray", **chosen), accelerators=0)

    assert workers({"CPU": 12.0}) == 12
    assert workers({"CPU": 12.0, "GPU": 2.0}) == 2
    assert workers({"CPU": 12.0, "GPU": 2.0}, device="cpu") == 12
    assert workers({"CPU": 12.0}, workers=3) == 3
    with pytest.raises(InputError, match="a worker takes a CPU and a GPU, and the Ray cluster has 12 CPU, 0 GPU"):
        workers({"CPU": 12.0}, device="cuda")
    with pytest.raises(InputError, match="has 0 CPU: add nodes"):
        workers({"memory": 1e9})


def test_many_workers_are_heard_less_often_each(store: Store, use: Callable[[Ray], Ray]) -> None:
    ray = use(Ray(*[{"start": []} for _ in range(500)], has={"CPU": 500.0}))
    engine = cluster.RayEngine(Execution(store=store, engine="ray"))
    assert engine.pace == 0.3
    for _ in range(500):
        engine.start(Greeting(Execution(store=store), ()), lambda worker, event: None)
    assert engine.pace == 5.0  # 100 answers per second
    engine.close()
    assert len(ray.actors) == 500


def test_an_address_at_which_nothing_answers_is_one_message() -> None:
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(InputError, match=rf"there is no Ray cluster at 127.0.0.1:{port}: .*ray start --head"):
        cluster.connected(f"127.0.0.1:{port}")


def test_an_engine_that_can_t_be_had_is_one_message(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="engine is 'spark', expected one of local, ray"):
        train_all([CONFIG], Execution(store=store, engine="spark"))
    with pytest.raises(InputError, match="the engine is local, which has none: add --engine ray"):
        train_all([CONFIG], Execution(store=store, address="here:6379"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"Ray is not installed: pip install 'archlab\[ray\]'"):
        train_all([CONFIG], Execution(store=store, engine="ray"))


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[str]:
    """A node with one core, without dashboard and statistics of use."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = pytest.importorskip("ray")
        utils = pytest.importorskip("ray.cluster_utils")
        made = utils.Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 2**20},
        )
        yield made.address
        ray.shutdown()
        made.shutdown()


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_run_is_the_same_on_a_cluster(store: Store, ray_cluster: str) -> None:
    (run,), _ = all_of(store, [CONFIG], address=ray_cluster, device="cpu")
    other = train(CONFIG, execution=Execution(device="cpu"), progress=False)
    assert run.key == other.key
    assert [epoch.train_loss for epoch in run.epochs] == [epoch.train_loss for epoch in other.epochs]
