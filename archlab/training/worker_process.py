"""A worker as `archlab.training.engine` sees it: its process, how long it has been silent, and where it hangs."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from archlab.training.worker import BOOTSTRAP, SOURCE

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # glibc would give each large tensor back to the system and fetch it again, page by page, in the next step.
    "MALLOC_MMAP_THRESHOLD_": str(2**32),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
}
"""What workers find in their environment variables."""
ERRORS_KEPT = 2**16
"""Bytes of the end of a worker's standard error; a network may print without end."""
READY_SECONDS = 600.0
"""For an interpreter to start and to import torch, from a cold disk on a busy machine too."""
START_SECONDS = 1800.0
"""For data to be read, a network to be built, and its first two signs: nobody knows yet how long its steps are."""
HANG_SECONDS, HANG_GAPS = 60.0, 30
"""Seconds, and longest gaps between two signs of the same run so far, after which a silent worker hangs. Between two
signs lies a step, a batch of an evaluation, a look of the probes or a point of a landscape, of which the longest takes
as long as some ten of the others."""
STACK_SECONDS = 5.0
"""For a worker to say where it is."""
END_SECONDS = 5.0
"""For a worker to end once its events have."""
_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<function>.+)$')


class _Tail:
    """Reads a stream to its end in a thread, and keeps the last bytes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._kept = stream, b""
        self.total = 0
        """Bytes that came so far."""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while content := os.read(self._stream.fileno(), ERRORS_KEPT):
                self._kept = (self._kept + content)[-ERRORS_KEPT:]
                self.total += len(content)

    def text(self, since: int = 0) -> str:
        """What is kept so far, of what came after so many bytes."""
        new = max(0, self.total - since)
        return self._kept[-new:].decode(errors="replace") if new else ""

    def close(self) -> None:
        """Wait for what a process that has ended wrote; one that it left behind may still hold the stream open."""
        self._thread.join(1)
        if not self._thread.is_alive():
            self._stream.close()


@dataclass(eq=False, slots=True)
class WorkerProcess:
    """A process that trains, and what it is doing.

    Time in which this process was itself stopped, or the machine asleep, is no silence: `wait` is told of each stretch
    that was waited for.
    """

    process: subprocess.Popen[bytes]
    errors: _Tail
    listener: threading.Thread | None = None
    """Reads its events."""
    ready: bool = False
    spare: bool = False
    """Whether it gets no job, since another has the accelerator."""
    job: int | None = None
    """Index of its configuration, or of the first of several."""
    others: tuple[int, ...] = ()
    """Those that it was given with it."""
    key: str = ""
    hung: str = ""
    """Why it was ended; empty where it wasn't."""
    _silence: float = 0.0
    _longest: float = 0.0
    _signs: int = field(default=0)

    @classmethod
    def start(cls, greeting: object, on_event: Callable[[WorkerProcess, object], None]) -> WorkerProcess:
        """A worker that has been greeted and waits for a job.

        Args:
            greeting: its first message.
            on_event: called in another thread with each event, and with None when there are no more.

        Raises:
            OSError: the system starts no more processes.
        """
        process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | ENVIRONMENT,
            start_new_session=True,
        )
        assert process.stderr is not None
        worker = cls(process, _Tail(process.stderr))
        worker.send(greeting)
        worker.listener = threading.Thread(target=worker._listen, args=(on_event,), daemon=True)
        worker.listener.start()
        return worker

    def _listen(self, on_event: Callable[[WorkerProcess, object], None]) -> None:
        assert self.process.stdout is not None
        # A pickle that something else wrote in between raises nearly anything.
        with contextlib.suppress(Exception):
            while True:
                on_event(self, pickle.load(self.process.stdout))
        on_event(self, None)

    def send(self, message: object) -> None:
        """Hand it a setting or a configuration."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its output says so
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def begin(self, job: int, message: object, others: Sequence[int] = ()) -> None:
        """Hand it a job, or several as one."""
        self.job, self.others, self.key = job, tuple(others), ""
        self._silence = self._longest = 0.0
        self._signs = 0
        self.send(message)

    def heard(self) -> None:
        """Note a sign of it."""
        if self._signs:
            self._longest = max(self._longest, self._silence)
        self._silence = 0.0
        self._signs += 1

    def wait(self, seconds: float) -> None:
        """Note that it was waited for so long, and nothing came."""
        self._silence += seconds

    @property
    def hangs(self) -> bool:
        """Whether it has been silent for longer than anything takes that it may be doing."""
        return self._silence > self._patience() and self.process.poll() is None

    def _patience(self) -> float:
        if self.ready and self.job is None:
            return math.inf
        if self._silence > HANG_SECONDS and self._is_stopped():
            return HANG_SECONDS
        if not self.ready:
            return READY_SECONDS
        return max(HANG_SECONDS, HANG_GAPS * self._longest) if self._signs > 3 else START_SECONDS

    def _is_stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP); False where the system doesn't say so."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] in ("T", "t")

    def give_up(self) -> None:
        """End it since it hangs, after it has said where it is; `hung` tells."""
        stopped = " (it was stopped by SIGSTOP)" if self._is_stopped() else ""
        place = self._place()
        self.process.kill()
        self.hung = f"its process gave no sign for {self._silence:.0f} s{stopped} and was ended"
        self.hung += f"; it was at {place}" if place else ""

    def _place(self) -> str:
        """Where its main thread is, from the inside out; empty where it doesn't say so."""
        if not self.ready or not hasattr(signal, "SIGUSR1"):
            return ""  # before it is ready, the signal would end it
        before = self.errors.total
        self.process.send_signal(signal.SIGUSR1)
        self.process.send_signal(signal.SIGCONT)
        ends = time.monotonic() + STACK_SECONDS
        place = ""
        while time.monotonic() < ends and not (place := where(self.errors.text(before))):
            time.sleep(0.05)
        return place

    def dismiss(self) -> None:
        """Give it no more jobs: it ends its step, keeps the run as far as it got, and is gone."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def end(self) -> int:
        """Its exit code, when it is gone and its files are closed."""
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # its events ended, and it lives on
            self.process.kill()
            code = self.process.wait()
        if self.listener is not None:
            self.listener.join()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()
        self.errors.close()
        return code

    def last_error_line(self) -> str:
        """The end of its standard error, once it has ended."""
        lines = self.errors.text().strip().splitlines()
        return lines[-1] if lines else ""


def where(dump: str) -> str:
    """The innermost calls of the thread that trains, in what `faulthandler` writes of all threads; empty if cut short.

    What torch does between a module and its `forward` is left out.

    >>> where('''Current thread 0x1 (most recent call first):
    ...   File "/home/me/mine.py", line 7 in forward
    ...   File "/lib/torch/nn/modules/module.py", line 1779 in _call_impl
    ...   File "/lib/archlab/training/loop.py", line 300 in _forward
    ...   File "/lib/archlab/training/worker.py", line 92 in main
    ... ''')
    'forward (mine.py, line 7), called by _forward (loop.py, line 300), called by main (worker.py, line 92)'
    """
    for thread in re.split(r"\n\n", dump):
        calls = [found.groupdict() for line in thread.splitlines() if (found := _FRAME.match(line))]
        if not any(call["file"].endswith(SOURCE) and call["function"] == "main" for call in calls):
            continue
        own = [call for call in calls if not call["file"].endswith(("torch/nn/modules/module.py", "contextlib.py"))]
        named = [f"{call['function']} ({Path(call['file']).name}, line {call['line']})" for call in own]
        return ", called by ".join(named[:4])
    return ""
