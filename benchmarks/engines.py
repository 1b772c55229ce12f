"""What the engines cost, whether runs survive a node, and what many workers would be held up by.

    python -m benchmarks.engines                    # all of it, ten minutes on two cores; needs archlab[ray]
    python -m benchmarks.engines --only recovery    # one part: recovery, value, start, overhead, scaling, simulation
    python -m benchmarks.engines -o engines.json    # the figures as JSON too

Nodes are processes of this machine (`ray.cluster_utils.Cluster`), one core each. `recovery` trains 24 runs on three of
them, kills one half-way, and holds every run against the local engine's: keys, epochs and every step, bit for bit.
`value` does the same where nodes don't see the store. `start` and `overhead` are what comes on top of training,
`scaling` is the time of the same runs on one worker and on two, in turns. `simulation` takes the measured costs to
10,000 runs on 500 workers, as a queue in front of the one process that hears all of them.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any
from unittest.mock import patch

from archlab.records import Run, TrainingConfig
from archlab.store import Store, open_store
from archlab.training import Execution, Progress, train_all
from archlab.training.engines import cluster
from archlab.training.engines.interface import Worker
from archlab.training.engines.needs import needs_of
from archlab.training.engines.pool import Pool
from archlab.training.engines.remote import PACE_SECONDS, Heard, Started
from archlab.training.worker import Greeting, Ready
from benchmarks.many_workers import MANY_WORKERS, Figures, pool_seconds, simulate, writer_seconds

RUNS, NODES = 24, 3
BRIEF = TrainingConfig(epochs=1, train_samples=64, test_samples=64, record_every=0)
"""Four steps: what is measured of its run is all but training."""
MEASURED = ("seconds", "evaluation_seconds", "precise_seconds")
"""Fields of an epoch that two trainings of one run differ in."""


@contextlib.contextmanager
def nodes(count: int) -> Iterator[Any]:
    """A cluster of a head without cores and so many nodes of one core."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray
    from ray.cluster_utils import Cluster

    memory = 80 * 2**20
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": memory},
    )
    try:
        for _ in range(count):
            made.add_node(num_cpus=1, object_store_memory=memory)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@contextlib.contextmanager
def store_unseen(unseen: bool) -> Iterator[None]:
    """A context in which no node finds the driver's store, so that runs come by value."""
    with contextlib.ExitStack() as stack:
        if unseen:
            unsigned = lambda configs, execution, sign: needs_of(configs, execution, ("", ""))  # noqa: E731
            stack.enter_context(patch.object(cluster, "needs_of", unsigned))
        yield


def recovery(by_value: bool) -> Figures:
    """24 runs on three nodes, of which one is killed when half of them are done; each is held against a local run."""
    configs = [TrainingConfig(epochs=3, seed=seed) for seed in range(RUNS)]
    happened: list[tuple[float, Progress]] = []
    killed: list[float] = []
    with tempfile.TemporaryDirectory() as folder, nodes(NODES) as made, store_unseen(by_value):
        execution = Execution(
            store=f"{folder}/ray", engine="ray", address=made.address, device="cpu", checkpoint_seconds=1.0
        )

        def on_event(event: Progress) -> None:
            happened.append((time.monotonic(), event))
            done = sum(other.state == "finished" for _, other in happened)
            if done >= RUNS // 2 and event.state == "step" and not killed:
                made.remove_node(made.list_all_nodes()[-1], allow_graceful=False)
                killed.append(time.monotonic())

        began = time.monotonic()
        runs = train_all(configs, execution, on_event)
        seconds = time.monotonic() - began
        local = train_all(configs, Execution(store=f"{folder}/local", device="cpu"))
        here, there = open_store(f"{folder}/ray"), open_store(f"{folder}/local")
        same = [alike(run, other, here, there) for run, other in zip(runs, local, strict=True)]
    again = [(moment, event) for moment, event in happened if event.state == "again"]
    repeated = []
    for moment, event in again:
        last = max(other.step for when, other in happened if when < moment and other.key == event.key)
        first = next(
            other.step
            for when, other in happened
            if when > moment and other.key == event.key and other.state == "started"
        )
        repeated.append(last - first)
    return {
        "runs": RUNS,
        "nodes": NODES,
        "by_value": by_value,
        "finished": sum(run.status == "finished" for run in runs),
        "equal_to_local": sum(same),
        "taken_up_again": len(again),
        "seconds_until_noticed": [round(moment - killed[0], 1) for moment, _ in again],
        "steps_trained_twice": repeated,
        "steps_per_run": runs[0].epochs[-1].step,
        "seconds": round(seconds, 1),
    }


def alike(run: Run, other: Run, here: Store, there: Store) -> bool:
    """Whether two runs are the same in all but time: key, every epoch, every step."""
    epochs, others = ([{**asdict(epoch), **dict.fromkeys(MEASURED)} for epoch in one.epochs] for one in (run, other))
    curves, expected = here.curves(run.key), there.curves(other.key)
    steps = all((curves[name] == expected[name]).all() for name in expected)
    return run.key == other.key and epochs == others and curves.keys() == expected.keys() and steps


def start() -> Figures:
    """Seconds until the first worker is ready."""
    found: Figures = {}
    began = time.monotonic()
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    found["import ray"] = time.monotonic() - began
    with tempfile.TemporaryDirectory() as folder:
        found["local: first worker ready"] = _until_ready(Execution(store=folder, device="cpu", workers=1))
        with nodes(1) as made:
            began = time.monotonic()
            cluster.connected(made.address)
            found["ray: connect to a cluster"] = time.monotonic() - began
            execution = Execution(store=folder, engine="ray", address=made.address, device="cpu", workers=1)
            found["ray: first worker ready, connected"] = _until_ready(execution)
        began = time.monotonic()
        cluster.connected("local")
        found["ray: start on this machine alone"] = time.monotonic() - began
        ray.shutdown()
    return {name: round(seconds, 2) for name, seconds in found.items()}


def _until_ready(execution: Execution) -> float:
    moments: list[float] = []
    assign = Pool.assign

    def note(pool: Pool, worker: Worker) -> None:
        moments.append(time.monotonic())
        assign(pool, worker)

    with patch.object(Pool, "assign", note):
        began = time.monotonic()
        train_all([BRIEF], replace(execution, fresh=True))
    return moments[0] - began


def overhead() -> Figures:
    """What a run takes beside training, on one worker: seconds, and CPU seconds of the process that dispatches."""
    found: Figures = {}
    configs = [replace(BRIEF, seed=seed) for seed in range(40)]
    with nodes(1) as made:
        for name, engine, unseen in (("local", "local", False), ("ray", "ray", False), ("ray, by value", "ray", True)):
            address = made.address if engine == "ray" else None
            with tempfile.TemporaryDirectory() as folder, store_unseen(unseen):
                moments: list[float] = []
                used: list[float] = []

                def on_event(event: Progress, moments: list[float] = moments, used: list[float] = used) -> None:
                    if event.state == "finished":
                        moments.append(time.monotonic())
                        used.append(time.process_time())

                execution = Execution(store=folder, engine=engine, address=address, device="cpu", workers=1)
                train_all(configs, execution, on_event)
            gaps = [later - earlier for earlier, later in itertools.pairwise(moments[5:])]
            found[f"{name}: seconds per brief run"] = round(statistics.median(gaps), 4)
            found[f"{name}: CPU seconds of the driver per run"] = round((used[-1] - used[5]) / len(gaps), 5)
        found["ray: CPU seconds of the driver per answer"] = round(_answer_seconds(made), 6)
    return found


class _Talker:
    """Stands for the far end of a worker: it is ready, then tells a step at once whenever it is asked."""

    def start(self, *_: object) -> Started:
        return Started(has_store=True)

    def hear(self, number: int, pace: float) -> Heard:
        return Heard((Progress(BRIEF, "step", "key", step=number, steps=1000) if number else Ready(False),))

    def close(self) -> None: ...


def _answer_seconds(made: Any, answers: int = 1000) -> float:
    """CPU seconds of the driver per answer of a worker: Ray's call and what is done with the answer."""
    heard: SimpleQueue[object] = SimpleQueue()
    with tempfile.TemporaryDirectory() as folder, patch.object(cluster, "RemoteWorker", _Talker):
        execution = Execution(store=folder, engine="ray", address=made.address, device="cpu")
        engine = cluster.RayEngine(execution)
        worker = engine.start(Greeting(execution, ()), lambda worker, event: heard.put(event))
        for _ in range(100):
            heard.get()
        began = time.process_time()
        for _ in range(answers):
            heard.get()
        used = time.process_time() - began
        worker.kill()
        worker.end()
        engine.close()
    return used / answers


def scaling(rounds: int = 3) -> Figures:
    """The seconds of the same 8 runs on one worker and on two, in turns."""
    configs = [TrainingConfig(epochs=3, seed=seed) for seed in range(8)]
    seconds: dict[str, list[float]] = {}
    with nodes(2) as made:
        for _ in range(rounds):
            for engine in ("local", "ray"):
                for workers in (1, 2):
                    with tempfile.TemporaryDirectory() as folder:
                        address = made.address if engine == "ray" else None
                        execution = Execution(
                            store=folder, engine=engine, address=address, device="cpu", workers=workers
                        )
                        seconds.setdefault(f"{engine}, {workers}", []).append(_first_to_last(configs, execution))
    found: Figures = {name: round(statistics.median(values), 2) for name, values in seconds.items()}
    for engine in ("local", "ray"):
        pairs = zip(seconds[f"{engine}, 1"], seconds[f"{engine}, 2"], strict=True)
        found[f"{engine}: one worker by two"] = round(statistics.median(one / two for one, two in pairs), 2)
    return found


def _first_to_last(configs: Sequence[TrainingConfig], execution: Execution) -> float:
    moments: list[float] = []
    train_all(configs, execution, lambda event: moments.append(time.monotonic()))
    return moments[-1] - moments[0]


def simulation(measured: Figures) -> Figures:
    """10,000 runs on 500 workers at several lengths of a run, and what would be saturated first."""
    per_answer = measured["ray: CPU seconds of the driver per answer"]
    with tempfile.TemporaryDirectory() as folder:
        pool = pool_seconds(Path(folder))
    few, many = writer_seconds(5), writer_seconds(MANY_WORKERS)
    pace = max(PACE_SECONDS, MANY_WORKERS * cluster.PACE_PER_WORKER)
    found: Figures = {
        "pool: CPU seconds per run, 500 workers": round(pool, 6),
        "a run's folder, 5 runs being written: seconds": round(few, 4),
        "a run's folder, 500 runs being written: seconds": round(many, 4),
        "runs": [],
    }
    for name in ("ray", "ray, by value"):
        per_run = measured[f"{name}: CPU seconds of the driver per run"] + pool
        for seconds in (5.0, 20.0, 60.0, 600.0):
            found["runs"].append({"engine": name, **simulate(seconds, per_answer, per_run, pace)})
        answers = MANY_WORKERS / pace * per_answer
        found[f"{name}: shortest runs that 500 workers can have, s"] = round(
            MANY_WORKERS * per_run / (1 - min(answers, 0.99)), 2
        )
    # Locks are taken in turn: folders are made one after the other in the whole store.
    found["shared store: shortest runs that 500 workers can have, s"] = round(MANY_WORKERS * many, 1)
    return found


PARTS: dict[str, Callable[[], Figures]] = {
    "recovery": lambda: recovery(by_value=False),
    "value": lambda: recovery(by_value=True),
    "start": start,
    "overhead": overhead,
    "scaling": scaling,
}


def main() -> None:
    """Measure, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", choices=[*PARTS, "simulation"], help="one part")
    parser.add_argument("-o", "--output", type=Path, help="a file for the figures as JSON")
    chosen = parser.parse_args()
    document: Figures = {
        "schema": "archlab.benchmark.engines/1",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
    }
    wanted = [chosen.only] if chosen.only else [*PARTS, "simulation"]
    if "simulation" in wanted and "overhead" not in wanted:
        wanted.insert(0, "overhead")
    for name in wanted:
        print(f"{name} ...", file=sys.stderr)
        document[name] = simulation(document["overhead"]) if name == "simulation" else PARTS[name]()
        for what, value in document[name].items():
            for line in value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]:
                print(f"{name:<12} {what:<52} {line}")
    if chosen.output is not None:
        chosen.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
