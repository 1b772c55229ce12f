"""Many runs in long-lived processes, one thread each.

The parent needs no torch: it starts the workers, hands each a configuration when it is idle, and passes on what they
report. Workers are plain interpreters, not forks, so that scripts, notebooks and tests need no main guard; they are
out of reach of the terminal's Ctrl-C, and end with their parent however it ends.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import signal
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig
from archlab.records.config import consistent
from archlab.records.run import RESULTS
from archlab.records.settings import settled
from archlab.training import images
from archlab.training.asked import Asked
from archlab.training.calibration import keep_seconds
from archlab.training.execution import Execution
from archlab.training.grouping import share
from archlab.training.progress import Progress
from archlab.training.stopping import Stop, stopping_by_signals
from archlab.training.worker import STEP_SECONDS, Ended, Greeting, Ready
from archlab.training.worker_process import WorkerProcess

if TYPE_CHECKING:
    from archlab.networks import Source
    from archlab.training.preparation import Preparer

TICK_SECONDS = 1.0
"""Between two looks at who is silent, and at runs that other processes train."""


def train_all(
    configs: Sequence[TrainingConfig],
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[Source] = (),
) -> list[Run]:
    """The runs of some configurations, in their order; those that diverged or failed have that status.

    Finished and diverged runs of the same key are taken from the store. At Ctrl-C or SIGTERM all end their step and
    keep what they have done, and `StoppedError` goes on to the caller; a second Ctrl-C ends them where they are. What
    came to its end is in the store, what did not is there as interrupted, and the same call goes on from there.

    Args:
        configs: what to train; equal ones are trained once.
        execution: where and how; on an accelerator a single process trains unless `workers` says otherwise.
        progress: called with each event, in this thread.
        sources: networks that were given as objects. Where other processes can't build one, all is trained in this
            process, one run after another, and a warning says so.

    Raises:
        InputError: a configuration, a network, the device or the data can't be used, or several workers are asked for
            where other processes can't build the network; nothing more is trained.
        RunError: the workers don't start.
        StoppedError: it was asked to stop.
    """
    execution, configs = settled(execution), [consistent(settled(config)) for config in configs]
    if execution.download:
        for dataset in sorted({config.dataset for config in configs}):
            images.load_images(dataset, execution.data_dir, download=True)
    unique = _different(configs)
    if not unique:
        return []
    execution = replace(execution, store=execution.home)
    if reason := next((source.local for source in sources if source.local), ""):
        runs = _train_here(unique, execution, progress or (lambda event: None), sources, reason)
        return [runs[unique.index(config)] for config in configs]
    asked = Asked(unique, execution)
    known, tell = asked.stored(), progress or (lambda event: None)
    for place, run in known.items():
        tell(Progress(unique[place], "reused", run.key, epoch=len(run.epochs), run=run))
    left = [place for place in range(len(unique)) if place not in known]
    if left:
        stop = Stop()
        pool = _Pool(execution, [unique[place] for place in left], tell, stop)
        try:
            with pool, stopping_by_signals(stop):
                pool.work()
        finally:
            found = {left[place]: run for place, run in pool.runs.items()}
            asked.keep({place: run for place, run in found.items() if run.status in RESULTS})
            keep_seconds(unique, found, execution)
        known |= found
    return [known[unique.index(config)] for config in configs]


def all_stored(configs: Sequence[TrainingConfig], execution: Execution) -> bool:
    """Whether the store is known to have all runs of some configurations, so that nothing is left to train.

    What was never asked for before counts as missing, though the store may have it.
    """
    unique = _different([consistent(settled(config)) for config in configs])
    return len(Asked(unique, settled(execution)).stored()) == len(unique)


def _train_here(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    tell: Callable[[Progress], None],
    sources: Sequence[Source],
    reason: str,
) -> dict[int, Run]:
    """The runs by the index of their configuration, trained in this process; networks are what `sources` builds."""
    from archlab.training import session, together
    from archlab.training.preparation import Preparer

    remedy = "write a class or function that builds it into a file, and give 'FILE.py:NAME'"
    if execution.workers is not None and execution.workers > 1:
        raise InputError(
            f"workers is {execution.workers}, and {reason}: leave workers out, for which all is trained in this "
            f"process, or {remedy}"
        )
    if len(configs) > 1 and default_workers(accelerator=False) > 1:
        warnings.warn(
            f"{reason}: runs are trained in this process, one after another. For one process per core, {remedy}",
            stacklevel=_frames_within(),
        )
    preparer = Preparer(execution, sources)
    _check_last_batches(configs, execution, preparer)
    runs: dict[int, Run] = {}

    def on_event(event: Progress) -> None:
        if event.run is not None:
            runs[configs.index(event.config)] = event.run
        tell(event)

    for place, config in enumerate(configs):
        if preparer.stacks and place not in runs:
            group = [config, *(configs[other] for other in share(place, range(place + 1, len(configs)), configs, 1))]
            with stopping_by_signals(stop := Stop()):
                together.run_together(group, preparer, on_event, stop)
        if place not in runs:
            with contextlib.suppress(RunError):  # told and stored already
                session.run(config, preparer, on_event)
    return runs


def _frames_within() -> int:
    """How many calls up, as `warnings` counts from whoever calls this, the caller of archlab is."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("archlab."):
        frame, count = frame.f_back, count + 1
    return count


@dataclass(slots=True)
class _Pool:
    """The workers, the jobs that wait, and the runs that came of them."""

    execution: Execution
    configs: Sequence[TrainingConfig]
    tell: Callable[[Progress], None]
    stop: Stop
    workers: list[WorkerProcess] = field(default_factory=list)
    events: queue.SimpleQueue[tuple[WorkerProcess, object]] = field(default_factory=queue.SimpleQueue)
    waiting: deque[int] = field(default_factory=deque)
    elsewhere: dict[int, str] = field(default_factory=dict)
    """Keys of waiting jobs that other processes train: when those have ended, or died, they are looked at again."""
    retried: set[int] = field(default_factory=set)
    """Jobs that are tried a second time, since their process hung or died before it began."""
    runs: dict[int, Run] = field(default_factory=dict)
    sharers: int = 0
    """Workers that share the jobs that may be trained as one program; 0 where each job is given by itself."""
    alone: set[int] = field(default_factory=set)
    """Jobs that were given with others, and of which nothing came."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.end()

    def work(self) -> dict[int, Run]:
        """The runs by the index of their configuration."""
        self.waiting.extend(range(len(self.configs)))
        wanted = self.execution.workers
        for _ in range(min(wanted or default_workers(accelerator=False), len(self.configs))):
            self.start()
        _check_last_batches(self.configs, self.execution)  # while they start
        while len(self.runs) < len(self.configs):
            worker, event = self.next_event()
            match event:
                case Ready(accelerator):
                    worker.ready = True
                    if self.execution.stacks(accelerator=accelerator):
                        self.sharers = 1 if accelerator and wanted is None else len(self.workers)
                    worker.spare = accelerator and wanted is None and worker is not self.workers[0]
                    self.assign(worker)
                case Progress():
                    worker.key = event.key
                    if event.run is not None and worker.job is not None:
                        self.runs[self.place(worker, event)] = event.run
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
        at_work = given - self.runs.keys()
        for job in at_work:
            self.tell(Progress(self.configs[job], "stopping"))
        for worker in self.workers:
            worker.dismiss()
        ends = time.monotonic() + STEP_SECONDS
        while time.monotonic() < ends and any(worker.process.poll() is None for worker in self.workers):
            time.sleep(0.02)
        raise self.stop.stopped()

    def next_event(self) -> tuple[WorkerProcess, object]:
        """The next event and whose it is; who hangs meanwhile is ended, which is an event too."""
        while True:
            if self.stop.is_asked:
                self.settle()
            started = time.monotonic()
            try:
                worker, event = self.events.get(timeout=TICK_SECONDS)
            except queue.Empty:
                worker, event = None, None
            # A stretch that was longer was none of waiting: this process was stopped, or the machine asleep.
            waited = min(time.monotonic() - started, 2 * TICK_SECONDS)
            for other in self.workers:
                other.wait(waited)
            if worker is not None:
                worker.heard()
                return worker, event
            for silent in self.workers:
                if not silent.hung and silent.hangs:
                    silent.give_up()
            for idle in self.workers:
                if idle.ready and idle.job is None:
                    self.assign(idle)

    def start(self) -> None:
        """Start a worker; it waits for a job."""
        greeting = Greeting(self.execution, tuple(sys.argv))
        try:
            self.workers.append(WorkerProcess.start(greeting, lambda worker, event: self.events.put((worker, event))))
        except OSError as error:
            if not self.workers:
                raise RunError(f"a training process did not start: {error.strerror or error}") from error

    def assign(self, worker: WorkerProcess) -> None:
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

    def place(self, worker: WorkerProcess, event: Progress) -> int:
        """Which of a worker's jobs an event is about."""
        group = (worker.job, *worker.others)
        return next((job for job in group if job is not None and self.configs[job] == event.config), group[0] or 0)

    def part(self, worker: WorkerProcess) -> list[int]:
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

    def postpone(self, worker: WorkerProcess, key: str) -> None:
        """Put a job whose run another process trains behind the others."""
        if (job := worker.job) is not None:
            if job not in self.elsewhere:
                self.tell(Progress(self.configs[job], "waiting", key))
            self.elsewhere[job] = key
            self.waiting.append(job)
        self.assign(worker)

    def replace(self, worker: WorkerProcess) -> None:
        """Note the failure of what a worker was doing when it died, and start another in its place."""
        self.workers.remove(worker)
        code = worker.end()
        reason = worker.hung or _describe_exit(code, worker.last_error_line())
        if not worker.ready:
            raise RunError(f"a training process did not start: {reason}")
        for left in self.part(worker):
            self.tell(Progress(self.configs[left], "again", error=f"{reason}, while it trained several runs"))
        if (job := worker.job) is not None and job not in self.runs:
            # One that died before its run began left nothing that tells of it.
            if (worker.hung or not worker.key) and job not in self.retried:
                self.retried.add(job)
                self.waiting.appendleft(job)
                self.tell(Progress(self.configs[job], "again", worker.key, error=reason))
            else:
                run = self.fail(self.configs[job], worker.key, reason)
                self.runs[job] = run
                self.tell(Progress(self.configs[job], "failed", run.key, len(run.epochs), run=run, error=reason))
        if self.waiting:
            self.start()

    def fail(self, config: TrainingConfig, key: str, reason: str) -> Run:
        """The stored failure of a run whose process died."""
        if key:
            with contextlib.suppress(InputError):  # it had not begun to write, or another process did
                return self.execution.home.fail(key, reason)
        with self.execution.home.writer(config, {}) as writer:
            return writer.fail(reason, {})


def _different(configs: Sequence[TrainingConfig]) -> list[TrainingConfig]:
    """Each configuration once."""
    found: list[TrainingConfig] = []
    for config in configs:
        if config not in found:
            found.append(config)
    return found


def _check_last_batches(
    configs: Sequence[TrainingConfig], execution: Execution, preparer: Preparer | None = None
) -> None:
    """Hold every run to what its last batch allows: now, and not when its turn comes.

    Raises:
        InputError: a run could not train on it.
    """
    read = functools.cache(lambda dataset: images.load_images(dataset, execution.data_dir))
    for config in _different([replace(config, seed=0, variant="") for config in configs]):
        available = len(read(config.dataset).train.labels)
        count = min(config.train_samples or available, available)
        if (count - 1) % config.batch_size == 0:
            from archlab.training import preparation
            from archlab.training.last_batch import check_last_batch

            preparer = preparer or preparation.Preparer(execution)  # made late: it needs torch, and is seldom needed
            prepared = preparer.prepare(config)
            check_last_batch(prepared.network("meta"), prepared.image_shape, count, config.batch_size)


def default_workers(*, accelerator: bool) -> int:
    """How many processes train: one on an accelerator, else one per core that this process may use."""
    if accelerator:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _describe_exit(code: int, line: str) -> str:
    if code == -getattr(signal, "SIGKILL", 9):  # Windows has no signals, nor exit codes below 0
        return (
            "its process was killed (SIGKILL), as systems do when memory runs out: try fewer workers or smaller batches"
        )
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}" + (f": {line}" if line else "")
