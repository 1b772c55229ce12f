"""What time is read from: the processor's clock, or an accelerator's own.

An accelerator works through a queue, and a call returns before its work is done. So a mark is an event in that queue,
which notes the time when everything in front of it is done:

    clock.wait()                              # the queue is empty
    marks = [clock.mark()]
    network(x)                                # returns while the accelerator still computes
    marks.append(clock.mark())                # an event behind the last kernel
    clock.seconds(marks)                      # waits for it, and gives one number

Between two marks nothing has to wait. But the processor asks for one kernel after the other, and with marks between
them it asks for less in a second than the device does: of a small kernel of 12 us, 150 us would be told, in which the
device waits. So the device is given something to do first (`Clock.hold`), until the pass and its marks are in the
queue (`Lead`); then what lies between two marks is the device's own time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch


class Clock:
    """The processor's clock."""

    is_queued = False
    """Whether work goes on after the call that asked for it has returned."""

    def mark(self) -> Any:
        """The time now."""
        return time.perf_counter_ns()

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """The seconds between neighbouring marks: one less than there are marks."""
        return [(after - before) / 1e9 for before, after in pairwise(marks)]

    def wait(self) -> None:
        """Return when all work that was asked for is done."""

    def hold(self, seconds: float) -> None:
        """Give the device other work for about so long, where it has a queue."""

    def processor(self) -> float:
        """The processor's own time in seconds, whatever a mark is."""
        return time.perf_counter()


class EventClock(Clock):
    """A CUDA device's clock, read by events in its queue."""

    is_queued = True

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.current_stream(device)
        self._factor: torch.Tensor | None = None
        self._product = 0.0  # seconds that it takes to multiply it by itself

    def mark(self) -> Any:
        """An event behind everything that the device was asked for."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(self.stream)
        return event

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        """The seconds between neighbouring events, once the last has come to pass."""
        if marks:
            marks[-1].synchronize()
        return [before.elapsed_time(after) / 1e3 for before, after in pairwise(marks)]

    def wait(self) -> None:
        """Return when the queue is empty."""
        torch.cuda.synchronize(self.device)

    def hold(self, seconds: float) -> None:
        """Queue matrix products that take about so long, at most `LONGEST_HOLD`."""
        if seconds <= 0:
            return
        with torch.inference_mode():
            if self._factor is None:
                self._factor = torch.ones(HELD_SIDE, HELD_SIDE, device=self.device)
                for _ in range(2):  # the first chooses its kernel
                    marks = [self.mark(), torch.mm(self._factor, self._factor), self.mark()]
                    self._product = self.seconds(marks[::2])[0]
                self.wait()
            for _ in range(math.ceil(min(seconds, LONGEST_HOLD) / self._product)):
                torch.mm(self._factor, self._factor)


class WaitingClock(Clock):
    """The processor's clock, read when an accelerator without events of its own has done all it was asked for."""

    def mark(self) -> Any:
        """The time once the queue is empty."""
        torch.accelerator.synchronize()
        return super().mark()

    def wait(self) -> None:
        """Return when the queue is empty."""
        torch.accelerator.synchronize()


class Lead:
    """A context in which a pass is asked for: the device begins with it once the processor has asked for all of it.

    How long that takes is known from earlier passes, so that the first of them has no lead.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asked = 0.0
        self._began = 0.0

    def __enter__(self) -> None:
        self._clock.wait()
        self._clock.hold(HEADROOM * self._asked)
        self._began = self._clock.processor()

    def __exit__(self, *_: object) -> None:
        taken = self._clock.processor() - self._began
        self._asked = min(self._asked or taken, taken)  # the longer ones waited for room in the queue


HEADROOM = 1.5
"""Times that asking took in the fastest pass."""
LONGEST_HOLD = 0.25
"""Seconds. A queue has room for about a thousand kernels; who asks for more waits."""
HELD_SIDE = 2048
"""Of the matrices that are multiplied meanwhile: 0.3 ms on a large GPU, 5 ms on a small one."""


def clock_of(device: torch.device) -> Clock:
    """The clock that times what runs on a device."""
    if device.type == "cuda":
        return EventClock(device)
    return Clock() if device.type == "cpu" else WaitingClock()
