"""Many runs on some workers: what waits, who trains what, what is tried again, and how all of it stops.

The process that holds the pool needs no torch: it hands each worker a configuration when it is idle, and passes on what
they report. What the workers are, their engine knows.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig
from archlab.training.engines.interface import Engine, Worker
from archlab.training.execution import Execution
from archlab.training.grouping import share
from archlab.training.progress import Progress
from archlab.training.stopping import Stop
from archlab.training.worker import STEP_SECONDS, Accelerator, Ended, Greeting, Ready

TICK_SECONDS = 1.0
"""Between two looks at who is silent, and at runs that other processes train."""
MOST_LOSSES = 5
"""How often a run is taken up again whose machine is gone; after that it may be the run that ends machines."""


@dataclass(slots=True)
class Pool:
    """The workers, the jobs that wait, and the runs that came of them."""

    engine: Engine
    execution: Execution
    configs: Sequence[TrainingConfig]
    tell: Callable[[Progress], None]
    stop: Stop
    workers: list[Worker] = field(default_factory=list)
    events: queue.SimpleQueue[tuple[Worker, object]] = field(default_factory=queue.SimpleQueue)
    waiting: deque[int] = field(default_factory=deque)
    elsewhere: dict[int, str] = field(default_factory=dict)
    """Keys of waiting jobs that other processes train: when those have ended, or died, they are looked at again."""
    retried: set[int] = field(default_factory=set)
    """Jobs that are tried a second time, since their process hung or died before it began."""
    losses: Counter[int] = field(default_factory=Counter)
    """How often a job's machine was lost."""
    waited: float = 0.0
    """Seconds since the last look in which nothing came of any worker."""
    looked: float = field(default_factory=time.monotonic)
    lost_starts: int = 0
    """How many workers were lost before they were ready."""
    runs: dict[int, Run] = field(default_factory=dict)
    sharers: int = 0
    """Workers that share the jobs that may be trained as one program; 0 where each job is given by itself."""
    alone: set[int] = field(default_factory=set)
    """Jobs that were given with others, and of which nothing came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            for worker in self.workers:
                worker.kill()
            for worker in self.workers:
                worker.end()
        finally:
            self.engine.close()

    def work(self, meanwhile: Callable[[], object] = lambda: None) -> dict[int, Run]:
        """The runs by the index of their configuration.

        Args:
            meanwhile: what is to be done while the workers start.

        Raises:
            ArchlabError: a worker can't begin one of them, or `meanwhile` raises; nothing more is trained.
            RunError: the workers don't start.
            StoppedError: it was asked to stop.
        """
        self.waiting.extend(range(len(self.configs)))
        wanted = self.execution.workers
        for _ in range(min(wanted or self.engine.default_workers(accelerators=0), len(self.configs))):
            self.start()
        meanwhile()
        while len(self.runs) < len(self.configs):
            worker, event = self.next_event()
            match event:
                case Ready(accelerators):
                    worker.ready = True
                    self.settle_on(worker, accelerators)
                    if self.engine.takes_groups and self.execution.stacks(accelerator=accelerators > 0):
                        shared = self.engine.shares_accelerator and wanted is None and accelerators > 0
                        self.sharers = min(accelerators, len(self.workers)) if shared else len(self.workers)
                    self.assign(worker)
                case Progress():
                    worker.key = event.key
                    if event.run is not None and worker.job is not None:
                        self.runs[self.job_of(worker, event)] = event.run
                    self.tell(event)
                case Ended(None, ""):
                    self.part(worker)
                    self.assign(worker)
                case Ended(None, key):
                    self.postpone(worker, key)
                case Ended((kind, message)):
                    raise kind(message)
                case None:
                    self.replace(worker)
        return self.runs

    def settle(self) -> None:
        """Have all workers keep what they have done, and end.

        Raises:
            StoppedError: always.
        """
        given = {job for worker in self.workers if worker.job is not None for job in (worker.job, *worker.others)}
        for job in given - self.runs.keys():
            self.tell(Progress(self.configs[job], "stopping"))
        for worker in self.workers:
            worker.dismiss()
        ends = time.monotonic() + STEP_SECONDS
        while time.monotonic() < ends and not all(worker.is_gone for worker in self.workers):
            time.sleep(0.02)
        raise self.stop.stopped()

    def next_event(self) -> tuple[Worker, object]:
        """The next event and whose it is; who hangs meanwhile is ended, which is an event too."""
        while True:
            if self.stop.is_asked:
                self.settle()
            started = time.monotonic()
            found: tuple[Worker, object] | None = None
            with contextlib.suppress(queue.Empty):
                found = self.events.get(timeout=TICK_SECONDS)
            now = time.monotonic()
            # A stretch that was longer was none of waiting: this process was stopped, or the machine asleep.
            self.waited += min(now - started, 2 * TICK_SECONDS)
            if found is not None:
                found[0].heard()
            if now - self.looked >= TICK_SECONDS:
                self.look()
                self.looked = now
            if found is not None:
                return found

    def look(self) -> None:
        """End who hangs, and give jobs to who has none: those of a worker that is gone, or of another process."""
        for worker in self.workers:
            worker.wait(self.waited)
            if not worker.hung and worker.hangs:
                worker.give_up()
            if worker.ready and worker.job is None:
                self.assign(worker)
        self.waited = 0.0

    def start(self) -> None:
        """Start a worker; it waits for a job."""
        greeting = Greeting(self.execution, tuple(sys.argv))
        try:
            self.workers.append(self.engine.start(greeting, lambda worker, event: self.events.put((worker, event))))
        except OSError as error:
            if not self.workers:
                raise RunError(f"a training process did not start: {error.strerror or error}") from error

    def settle_on(self, worker: Worker, accelerators: int) -> None:
        """Give a worker the accelerator that fewest others train on; nothing to do where none is free for it."""
        if not accelerators or not self.engine.shares_accelerator:
            return
        taken = [other.accelerator for other in self.workers if other.accelerator is not None]
        place = min(range(accelerators), key=taken.count)
        worker.spare = place in taken and self.execution.workers is None
        if not worker.spare:
            worker.accelerator = place
            if accelerators > 1:
                worker.send(Accelerator(place))

    def assign(self, worker: Worker) -> None:
        """Give a worker the next job that no other process is at."""
        worker.job, worker.others, worker.key = None, (), ""
        for _ in range(0 if worker.spare else len(self.waiting)):
            job = self.waiting.popleft()
            if job in self.elsewhere and self.execution.home.is_claimed(self.elsewhere[job]):
                self.waiting.append(job)
                continue
            group = self.group(job)
            together = tuple(self.configs[place] for place in group)
            worker.begin(job, together if len(group) > 1 else self.configs[job], group[1:])
            return

    def group(self, job: int) -> list[int]:
        """A job, and those that wait and may be trained with it as one program: this worker's share of them."""
        if not self.sharers or job in self.alone:
            return [job]
        free = {*self.waiting} - self.alone - self.elsewhere.keys()
        others = share(job, free, self.configs, self.sharers)
        self.waiting = deque(other for other in self.waiting if other not in others)
        return [job, *others]

    def job_of(self, worker: Worker, event: Progress) -> int:
        """Which of a worker's jobs an event is about."""
        group = (worker.job, *worker.others)
        return next((job for job in group if job is not None and self.configs[job] == event.config), group[0] or 0)

    def part(self, worker: Worker) -> list[int]:
        """Those of several jobs of which no run has come, each of which is now tried by itself; empty for a single one.

        Another process trains them, or the worker died, perhaps since the memory was not enough for all.
        """
        if not worker.others or worker.job is None:
            return []
        left = [job for job in (worker.job, *worker.others) if job not in self.runs]
        self.alone |= {*left}
        self.waiting.extendleft(reversed(left))
        worker.job, worker.others = None, ()
        return left

    def postpone(self, worker: Worker, key: str) -> None:
        """Put a job whose run another process trains behind the others."""
        if (job := worker.job) is not None:
            if job not in self.elsewhere:
                self.tell(Progress(self.configs[job], "waiting", key))
            self.elsewhere[job] = key
            self.waiting.append(job)
        self.assign(worker)

    def replace(self, worker: Worker) -> None:
        """Start another in the place of a worker that ended, and settle what becomes of the run that it trained."""
        self.workers.remove(worker)
        ended = worker.end()
        reason = worker.hung or ended
        if not worker.ready:
            self.lost_starts += 1
            if not worker.is_lost or self.lost_starts > MOST_LOSSES:
                raise RunError(f"a training process did not start: {reason}")
        for left in self.part(worker):
            self.tell(Progress(self.configs[left], "again", error=f"{reason}, while it trained several runs"))
        if (job := worker.job) is not None and job not in self.runs:
            if self.may_try_again(worker, job):
                self.waiting.appendleft(job)
                self.tell(Progress(self.configs[job], "again", worker.key, error=reason))
            else:
                run = self.fail(self.configs[job], worker.key, reason)
                self.runs[job] = run
                self.tell(Progress(self.configs[job], "failed", run.key, len(run.epochs), run=run, error=reason))
        if self.waiting:
            self.start()

    def may_try_again(self, worker: Worker, job: int) -> bool:
        """Whether a job is begun again whose worker ended: it went on its own, hung once, or had not begun the run.

        One that died before its run began left nothing that tells of it.
        """
        if worker.is_lost:
            self.losses[job] += 1
            return self.losses[job] <= MOST_LOSSES
        if (worker.hung or not worker.key) and job not in self.retried:
            self.retried.add(job)
            return True
        return False

    def fail(self, config: TrainingConfig, key: str, reason: str) -> Run:
        """The stored failure of a run whose process died."""
        if key:
            with contextlib.suppress(InputError):  # it had not begun to write, or another process did
                return self.execution.home.fail(key, reason)
        with self.execution.home.writer(config, {}) as writer:
            return writer.fail(reason, {})
