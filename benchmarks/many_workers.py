"""A simulation of many runs on many workers, with costs that `benchmarks.engines` has measured.

The process that dispatches hears all workers, one answer after the other: a queue with one server. Beside it stands
what the pool itself takes, with workers that train nothing, and what the locks of a store do when a run begins.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from archlab.records import Run, TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, Progress
from archlab.training.engines.interface import Worker
from archlab.training.engines.pool import Pool
from archlab.training.stopping import Stop
from archlab.training.worker import Accelerator, Ended, Greeting, Job, Ready

MANY_RUNS, MANY_WORKERS = 10_000, 500
Figures = dict[str, Any]


class _Idle(Worker):
    """A worker that has trained as soon as it is asked."""

    is_gone = is_stopped = False

    def __init__(self, on_event: Callable[[Worker, object], None], run: Run) -> None:
        super().__init__()
        self._on_event, self._run = on_event, run
        on_event(self, Ready(0))

    def send(self, work: Job | Accelerator) -> None:
        assert not isinstance(work, Accelerator)  # each trains on its own
        config = work if isinstance(work, TrainingConfig) else work[0]
        self._on_event(self, Progress(config, "started", "key"))
        self._on_event(self, Progress(config, "finished", "key", run=self._run))
        self._on_event(self, Ended())

    def dismiss(self) -> None: ...
    def kill(self) -> None: ...
    def end(self) -> str:
        return ""

    def place(self) -> str:
        return ""


class _Idles:
    """An engine of such workers."""

    takes_groups = shares_accelerator = False

    def __init__(self, run: Run) -> None:
        self._run = run

    def default_workers(self, *, accelerators: int) -> int:
        return MANY_WORKERS

    def start(self, greeting: Greeting, on_event: Callable[[Worker, object], None]) -> Worker:
        return _Idle(on_event, self._run)

    def close(self) -> None: ...


def pool_seconds(store: Path) -> float:
    """CPU seconds of the pool per run, with 500 workers that train nothing."""
    configs = [TrainingConfig(seed=seed) for seed in range(MANY_RUNS)]
    run = Run("key", configs[0], "finished")
    pool = Pool(_Idles(run), Execution(store=store), configs, lambda event: None, Stop())
    began = time.process_time()
    with pool:
        pool.work()
    return (time.process_time() - began) / MANY_RUNS


def writer_seconds(partial: int) -> float:
    """Seconds until a run has its folder in a store where so many others are being written (on this disk)."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = open_store(folder)
        for seed in range(partial):
            stack.enter_context(store.writer(TrainingConfig(seed=seed), {}))
        taken = []
        for seed in range(partial, partial + 9):
            began = time.perf_counter()
            with store.claim(f"key-{seed}"), store.writer(TrainingConfig(seed=seed), {}):
                taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def simulate(run_seconds: float, per_answer: float, per_run: float, pace: float) -> Figures:
    """10,000 runs on 500 workers, with one process that deals with their answers one after the other.

    Args:
        run_seconds: of training; each run's is drawn within a fifth of it.
        per_answer: that an answer of a worker keeps the process busy.
        per_run: that keeping a run and beginning another does.
        pace: seconds between a worker's answers.
    """
    draw = random.Random(0)
    waiting, now, busy, trained = MANY_RUNS, 0.0, 0.0, 0.0
    late: list[float] = []
    ends = [0.0] * MANY_WORKERS
    """When the run of each comes to its end."""
    asked = [(draw.random() * pace, worker) for worker in range(MANY_WORKERS)]
    """Answers by the time at which they come."""
    heapq.heapify(asked)
    while asked:
        moment, worker = heapq.heappop(asked)
        has_ended = moment >= ends[worker]
        cost = per_answer + (per_run if has_ended else 0.0)
        late.append(max(0.0, now - moment))
        now = max(moment, now) + cost
        busy += cost
        if has_ended:
            if not waiting:
                continue
            waiting -= 1
            seconds = run_seconds * draw.uniform(0.8, 1.2)
            trained += seconds
            ends[worker] = now + seconds
        heapq.heappush(asked, (min(now + pace, ends[worker]), worker))
    return {
        "run seconds": run_seconds,
        "hours": round(now / 3600, 3),
        "of the ideal": round(trained / MANY_WORKERS / now, 3),
        "process busy": round(busy / now, 3),
        "median wait of an answer": round(statistics.median(late), 3),
    }
