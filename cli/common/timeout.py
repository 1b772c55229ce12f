"""`--timeout`: a command that comes to no end in the code of a network."""

from __future__ import annotations

import signal
from types import FrameType

from archlab.errors import InputError

LONGEST = 100_000_000
"""Seconds: three years, and less than the 31 bits that a timer may have."""


class OutOfTimeError(KeyboardInterrupt):
    """The time of `--timeout` is over: as Ctrl-C it goes through everything, and ends up where the command began."""

    seconds = 0.0


def stop_after(seconds: float | None) -> float | None:
    """Raise `OutOfTimeError` in whatever the main thread does then; None for never.

    Raises:
        InputError: the system has no timers, or they don't go so far.
    """
    if seconds is None:
        return None
    if not seconds <= LONGEST:  # no number is refused too
        raise InputError(f"--timeout was {seconds:g}, expected at most {LONGEST:,} seconds: leave it out for no limit")
    limit = seconds
    if not hasattr(signal, "setitimer"):
        raise InputError("--timeout needs the timers of a POSIX system: leave it out")

    def stop(number: int, frame: FrameType | None) -> None:
        error = OutOfTimeError()
        error.seconds = limit
        raise error

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    return seconds


def stop_no_more() -> None:
    """Take the timer back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
