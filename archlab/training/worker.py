"""A process that trains one run after another for `archlab.training.engine`.

It reads pickled jobs from its standard input and writes pickled events to its standard output; what a network prints
goes to the standard error. When the input ends, its parent is gone, and so is the worker.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import queue
import signal
import sys
import threading
from dataclasses import dataclass
from typing import BinaryIO

from archlab.errors import ArchlabError, RunError
from archlab.records import TrainingConfig
from archlab.training.execution import Execution

BOOTSTRAP = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from archlab.training.worker import main; main()"
"""What the interpreter of a worker is started with; its first argument is the parent's `sys.path` as JSON."""

_exit = os._exit
"""The system's own, which code that is contained does not get (`archlab.networks.strangers`)."""
SOURCE = "archlab/training/worker.py"
"""The end of this file's path, by which a thread that trains is known."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """The first message to a worker: what all its jobs share."""

    execution: Execution
    command: tuple[str, ...]
    """The parent's arguments, which the runs name as what made them."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The first message from a worker."""

    accelerator: bool
    """Whether it will train on one."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker has ended its job, and waits for another."""

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
    jobs: queue.SimpleQueue[TrainingConfig] = queue.SimpleQueue()
    greeting: Greeting = pickle.load(sys.stdin.buffer)
    sys.argv[:] = greeting.command
    threading.Thread(target=_receive, args=(sys.stdin.buffer, jobs), daemon=True).start()

    import torch

    from archlab.training import session
    from archlab.training.preparation import Preparer

    torch.set_num_threads(1)
    preparer = Preparer(greeting.execution)

    def send(event: object) -> None:
        try:
            pickle.dump(event, events)
            events.flush()
        except BrokenPipeError:
            _exit(0)  # nobody reads any more; raised into the training, it would make the run a failed one

    try:
        send(Ready(preparer.device.type != "cpu"))
    except ArchlabError as error:
        send(Ended((type(error), str(error))))
        return
    while True:
        config = jobs.get()
        try:
            session.run(config, preparer, send, wait=False)
            send(Ended())
        except session.BusyError as error:
            send(Ended(busy=error.key))
        except RunError:  # told and stored already
            send(Ended())
        except ArchlabError as error:
            send(Ended((type(error), str(error))))


def _receive(stream: BinaryIO, jobs: queue.SimpleQueue[TrainingConfig]) -> None:
    while True:
        try:
            jobs.put(pickle.load(stream))
        except EOFError:
            _exit(0)  # at once: the main thread may be in the middle of a step
