"""What an engine and its workers are to the pool that gives them runs to train.

A worker trains one run after another, somewhere: in a process of this machine (`local`), on a node of a cluster
(`cluster`). It is handed jobs and sends events back, all of them messages of `archlab.training.worker`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from archlab.training.worker import Accelerator, Greeting, Job

READY_SECONDS = 600.0
"""For an interpreter to start and to import torch, from a cold disk on a busy machine too."""
START_SECONDS = 1800.0
"""For data to be read, a network to be built, and its first two signs: nobody knows yet how long its steps are."""
HANG_SECONDS, HANG_GAPS = 60.0, 30
"""Seconds, and longest gaps between two signs of the same run so far, after which a silent worker hangs. Between two
signs lies a step, a batch of an evaluation, a look of the probes or a point of a landscape, of which the longest takes
as long as some ten of the others."""


class Worker(ABC):
    """Something that trains, what it is doing, and for how long it has been silent.

    Time in which this process was itself stopped, or the machine asleep, is no silence: `wait` is told of each stretch
    that was waited for.
    """

    def __init__(self) -> None:
        self.ready = False
        self.spare = False
        """Whether it gets no job, since others have the accelerators."""
        self.accelerator: int | None = None
        """The number of the one that it trains on, of those that it shares with others."""
        self.job: int | None = None
        """Index of its configuration, or of the first of several."""
        self.others: tuple[int, ...] = ()
        """Those that it was given with it."""
        self.key = ""
        """Of the run that it trains; empty until that has begun."""
        self.hung = ""
        """Why it was given up; empty where it wasn't."""
        self._silence = self._longest = 0.0
        self._signs = 0

    @property
    @abstractmethod
    def is_gone(self) -> bool:
        """Whether it has ended, and nothing more comes of it."""

    @property
    def is_lost(self) -> bool:
        """Whether it went with its machine, so that its end says nothing of the run that it trained."""
        return False

    @property
    def has_place(self) -> bool:
        """Whether there is a processor for it; without one it waits, and does not hang."""
        return True

    @property
    @abstractmethod
    def is_stopped(self) -> bool:
        """Whether somebody stopped its process (SIGSTOP), as far as that is known."""

    @abstractmethod
    def send(self, work: Job | Accelerator) -> None:
        """Hand it what to train; or, of several accelerators that workers share, the one that it trains on then."""

    @abstractmethod
    def dismiss(self) -> None:
        """Give it no more jobs: it ends its step, keeps the run as far as it got, and is gone."""

    @abstractmethod
    def kill(self) -> None:
        """End it where it is."""

    @abstractmethod
    def end(self) -> str:
        """Why it ended, in words, once it is gone and what it held is given back."""

    @abstractmethod
    def place(self) -> str:
        """Where its training is, from the inside out; empty where it doesn't say so."""

    def begin(self, job: int, work: Job, others: Sequence[int] = ()) -> None:
        """Hand it a job, or several as one."""
        self.job, self.others, self.key = job, tuple(others), ""
        self._silence = self._longest = 0.0
        self._signs = 0
        self.send(work)

    def heard(self) -> None:
        """Note a sign of it."""
        if self._signs:
            self._longest = max(self._longest, self._silence)
        self._silence = 0.0
        self._signs += 1

    def wait(self, seconds: float) -> None:
        """Note that it was waited for so long, and nothing came."""
        if self.has_place:
            self._silence += seconds

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for longer than anything takes that it may be doing."""
        return self._silence > self._patience() and not self.is_gone

    def _patience(self) -> float:
        if self.ready and self.job is None:
            return math.inf
        if self._silence > HANG_SECONDS and self.is_stopped:
            return HANG_SECONDS
        if not self.ready:
            return READY_SECONDS
        return max(HANG_SECONDS, HANG_GAPS * self._longest) if self._signs > 3 else START_SECONDS

    def give_up(self) -> None:
        """End it since it hangs, after it has said where it is; `hung` tells."""
        stopped = " (it was stopped by SIGSTOP)" if self.is_stopped else ""
        place = self.place()
        self.kill()
        self.hung = f"its process gave no sign for {self._silence:.0f} s{stopped} and was ended"
        self.hung += f"; it was at {place}" if place else ""


class Engine(Protocol):
    """Starts workers, all of which execute alike."""

    takes_groups: bool
    """Whether a worker can be handed several runs at once, which it may train as one program."""
    shares_accelerator: bool
    """Whether all its workers see the same accelerators, on each of which one of them then trains alone."""

    def default_workers(self, *, accelerators: int) -> int:
        """How many workers there are where nobody says so.

        Args:
            accelerators: how many of this machine runs are trained on; 0 where they are trained on its processor.
        """

    def start(self, greeting: Greeting, on_event: Callable[[Worker, object], None]) -> Worker:
        """A worker that has been greeted and waits for a job.

        Args:
            greeting: what all its jobs share.
            on_event: called in another thread with each event, and with None when there are no more.

        Raises:
            OSError: no more can be started.
        """

    def close(self) -> None:
        """Give back what the engine holds; its workers have ended."""
