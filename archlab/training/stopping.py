"""Trainings that are asked to stop: by Ctrl-C, by SIGTERM, or by the process that started them.

The first request lets the step end and keeps the training as far as it got; a second Ctrl-C stops it where it is.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


class StoppedError(KeyboardInterrupt):
    """A training was asked to stop, and did; what it had done is kept.

    As Ctrl-C it goes through everything.
    """

    def __init__(self, words: str = "", number: int = 0) -> None:
        super().__init__(*([words] if words else []))
        self.number = number
        """Of the signal that asked for it; 0 where none did."""


class Stop:
    """Whether a training shall stop."""

    def __init__(self) -> None:
        self._asked = False
        self._number = 0

    @property
    def is_asked(self) -> bool:
        """Whether somebody asked for it."""
        return self._asked

    def ask(self, number: int = 0) -> None:
        """Have it stop at the end of its step; by the signal of that number, if it was one."""
        self._asked, self._number = True, number

    def stopped(self, words: str = "") -> StoppedError:
        """What is raised at the end of the step."""
        return StoppedError(words, self._number)


@contextlib.contextmanager
def stopping_by_signals(stop: Stop, tell: Callable[[int], None] = lambda number: None) -> Iterator[None]:
    """A context in which Ctrl-C and SIGTERM ask for a stop, and a second one ends what goes on at once.

    Outside the main thread, and where somebody else handles the signals, they stay what they are.

    Args:
        stop: is asked.
        tell: called with the signal's number at the first one.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_asked:
            raise StoppedError("", number)
        stop.ask(number)
        tell(number)

    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    put: list[tuple[signal.Signals, object]] = []
    if threading.current_thread() is threading.main_thread():
        for number, handler in usual.items():
            if signal.getsignal(number) == handler:
                signal.signal(number, on_signal)
                put.append((number, handler))
    try:
        yield
    finally:
        for number, handler in put:
            signal.signal(number, handler)  # type: ignore[arg-type]
