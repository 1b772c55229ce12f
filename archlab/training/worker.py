"""A process that trains one run after another, or several as one program, whichever engine started it.

It reads pickled jobs from its standard input and writes pickled events to its standard output; what a network prints
goes to the standard error. When the input ends, its parent is gone or wants no more: then, and at SIGTERM, the worker
ends its step, keeps the run as far as it got, and is gone; at the latest after `STEP_SECONDS`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import BinaryIO

from archlab.errors import ArchlabError, RunError
from archlab.records import TrainingConfig
from archlab.training.execution import Execution
from archlab.training.stopping import Stop, StoppedError

BOOTSTRAP = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from archlab.training.worker import main; main()"
"""What the interpreter of a worker is started with; its first argument is the parent's `sys.path` as JSON."""

_exit = os._exit
"""The system's own, which code that is contained does not get (`archlab.networks.strangers`)."""
STEP_SECONDS = 30.0
"""That a step may take when nobody wants it any more; Slurm waits so long between SIGTERM and SIGKILL."""
SOURCE = "archlab/training/worker.py"
"""The end of this file's path, by which a thread that trains is known."""


Job = TrainingConfig | tuple[TrainingConfig, ...]
"""What a worker is handed: a run, or several that it may train as one program (`archlab.training.grouping`)."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message to a worker: what all its jobs share."""

    execution: Execution
    command: tuple[str, ...]
    """The parent's arguments, which the runs name as what made them."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message from a worker."""

    accelerators: int
    """How many it could train on; 0 where it trains on a processor."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """A message to a worker: which of several accelerators its jobs are trained on."""

    place: int
    """Its number among those of this machine."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker has ended its job, and waits for another. Of several runs, some may be left: they are tried alone."""

    error: tuple[type[ArchlabError], str] | None = None
    """Why the job could not be begun."""
    busy: str = ""
    """The key of its run, which another process trains; empty where none does."""


def main() -> None:
    """Train until the input ends."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    if hasattr(signal, "SIGUSR1"):  # the parent asks where this process is, when it is silent for too long
        faulthandler.register(signal.SIGUSR1, file=sys.stderr.fileno(), all_threads=True)
    jobs: queue.SimpleQueue[Job | Accelerator | None] = queue.SimpleQueue()
    greeting: Greeting = pickle.load(sys.stdin.buffer)
    sys.argv[:] = greeting.command
    stop = Stop()
    threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs, stop), daemon=True).start()

    import torch

    from archlab.networks.devices import accelerators
    from archlab.training import datasets, session, sharing, together
    from archlab.training.preparation import Preparer

    def end(number: int, frame: object) -> None:
        stop.ask(number)
        jobs.put(None)

    signal.signal(signal.SIGTERM, end)
    torch.set_num_threads(1)
    preparer = Preparer(greeting.execution, share=sharing.inherited() or datasets.alone)

    def send(event: object) -> None:
        try:
            pickle.dump(event, events)
            events.flush()
        except BrokenPipeError:  # nobody reads any more; raised into the training, it would make the run a failed one
            stop.ask()

    try:
        send(Ready(accelerators(preparer.device)))
    except ArchlabError as error:
        send(Ended((type(error), str(error))))
        return
    while (job := jobs.get()) is not None:
        if isinstance(job, Accelerator):
            torch.accelerator.set_device_index(job.place)
            continue
        try:
            if isinstance(job, tuple):
                together.run_together(job, preparer, send, stop)
            else:
                session.run(job, preparer, send, wait=False, stop=stop)
            send(Ended())
        except StoppedError:
            break
        except session.BusyError as error:
            send(Ended(busy=error.key))
        except RunError:  # told and stored already
            send(Ended())
        except ArchlabError as error:
            send(Ended((type(error), str(error))))
    _exit(0)  # with whatever threads a network has started


def _receive(stream: BinaryIO, jobs: queue.SimpleQueue[Job | Accelerator | None], stop: Stop) -> None:
    with contextlib.suppress(EOFError):
        while True:
            jobs.put(pickle.load(stream))
    stop.ask()
    jobs.put(None)
    time.sleep(STEP_SECONDS)
    _exit(0)
