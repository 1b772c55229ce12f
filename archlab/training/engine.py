"""Many runs in long-lived processes, one thread each.

The parent needs no torch: it starts the workers, hands each a configuration when it is idle, and passes on what they
report. Workers are plain interpreters, not forks, so that scripts, notebooks and tests need no main guard; they are
out of reach of the terminal's Ctrl-C, and end with their parent however it ends.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Self

from archlab.errors import InputError, RunError
from archlab.records import Run, TrainingConfig
from archlab.records.config import consistent
from archlab.records.settings import settled
from archlab.training import images
from archlab.training.execution import Execution
from archlab.training.progress import Progress
from archlab.training.worker import BOOTSTRAP, Ended, Greeting, Ready

if TYPE_CHECKING:
    from archlab.networks import Source
    from archlab.training.preparation import Preparer

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc would give each large tensor back to the system and fetch it again, page by page, in the next step.
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
"""What workers find in their environment variables."""


def train_all(
    configs: Sequence[TrainingConfig],
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    sources: Sequence[Source] = (),
) -> list[Run]:
    """The runs of some configurations, in their order; those that diverged or failed have that status.

    Finished and diverged runs of the same key are taken from the store. Ctrl-C stops the workers and goes on to the
    caller: what came to its end is in the store, what did not is there as interrupted.

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
    with _Pool(execution, unique, progress or (lambda event: None)) as pool:
        runs = pool.work()
    return [runs[unique.index(config)] for config in configs]


def _train_here(
    configs: Sequence[TrainingConfig],
    execution: Execution,
    tell: Callable[[Progress], None],
    sources: Sequence[Source],
    reason: str,
) -> dict[int, Run]:
    """The runs by the index of their configuration, trained in this process; networks are what `sources` builds."""
    from archlab.training import session
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
    for place, config in enumerate(configs):

        def on_event(event: Progress, place: int = place) -> None:
            if event.run is not None:
                runs[place] = event.run
            tell(event)

        with contextlib.suppress(RunError):  # told and stored already
            session.run(config, preparer, on_event)
    return runs


def _frames_within() -> int:
    """How many calls up, as `warnings` counts from whoever calls this, the caller of archlab is."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("archlab."):
        frame, count = frame.f_back, count + 1
    return count


@dataclass(eq=False, slots=True)
class _Worker:
    """A process, and what it is doing."""

    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    """The file that its standard error goes to."""
    listener: threading.Thread | None = None
    """Reads its events."""
    ready: bool = False
    job: int | None = None
    """Index of its configuration."""
    key: str = ""

    def send(self, message: object) -> None:
        """Hand it a setting or a configuration."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its output says so
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def end(self) -> int:
        """Its exit code, when it is gone and its files are closed."""
        code = self.process.wait()
        if self.listener is not None:
            self.listener.join()
        for stream in (self.process.stdin, self.process.stdout, self.errors):
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()
        return code

    def last_error_line(self) -> str:
        """The end of its standard error."""
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


@dataclass(slots=True)
class _Pool:
    """The workers, the jobs that wait, and the runs that came of them."""

    execution: Execution
    configs: Sequence[TrainingConfig]
    tell: Callable[[Progress], None]
    workers: list[_Worker] = field(default_factory=list)
    events: queue.SimpleQueue[tuple[_Worker, object]] = field(default_factory=queue.SimpleQueue)
    waiting: deque[int] = field(default_factory=deque)
    runs: dict[int, Run] = field(default_factory=dict)

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
            worker, event = self.events.get()
            match event:
                case Ready(accelerator):
                    worker.ready = True
                    if not (accelerator and wanted is None and worker is not self.workers[0]):
                        self.assign(worker)
                case Progress():
                    worker.key = event.key
                    if event.run is not None and worker.job is not None:
                        self.runs[worker.job] = event.run
                    self.tell(event)
                case Ended(None):
                    self.assign(worker)
                case Ended((kind, message)):
                    raise kind(message)
                case None:
                    self.replace(worker)
        return self.runs

    def start(self) -> None:
        """Start a worker; it waits for a job."""
        errors = tempfile.TemporaryFile()  # noqa: SIM115
        process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
        worker = _Worker(process, errors)
        self.workers.append(worker)
        worker.send(Greeting(self.execution, tuple(sys.argv)))
        worker.listener = threading.Thread(target=self.listen, args=(worker,), daemon=True)
        worker.listener.start()

    def listen(self, worker: _Worker) -> None:
        """Pass on a worker's events, and None when there are no more."""
        assert worker.process.stdout is not None
        try:
            while True:
                self.events.put((worker, pickle.load(worker.process.stdout)))
        except (EOFError, pickle.UnpicklingError, OSError, ValueError):
            self.events.put((worker, None))

    def assign(self, worker: _Worker) -> None:
        """Give a worker the next job."""
        worker.job, worker.key = None, ""
        if self.waiting:
            worker.job = self.waiting.popleft()
            worker.send(self.configs[worker.job])

    def replace(self, worker: _Worker) -> None:
        """Note the failure of what a worker was doing when it died, and start another in its place."""
        self.workers.remove(worker)
        worker.process.wait()
        line = worker.last_error_line()
        reason = _describe_exit(worker.end(), line)
        if not worker.ready:
            raise RunError(f"a training process did not start: {reason}")
        if worker.job is not None and worker.job not in self.runs:
            config = self.configs[worker.job]
            run = self.fail(config, worker.key, reason)
            self.runs[worker.job] = run
            self.tell(Progress(config, "failed", run.key, len(run.epochs), run=run, error=reason))
        if self.waiting:
            self.start()

    def fail(self, config: TrainingConfig, key: str, reason: str) -> Run:
        """The stored failure of a run whose process died."""
        if key:
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
