"""Workers that are processes of this machine, one thread each: the engine that needs nothing but Python.

They are plain interpreters, not forks, so that scripts, notebooks and tests need no main guard; they are out of reach
of the terminal's Ctrl-C, and end with their parent however it ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from archlab.circumstances import cores
from archlab.training.engines.interface import Worker
from archlab.training.sharing import VARIABLE, Shared, opened
from archlab.training.worker import BOOTSTRAP, SOURCE, Accelerator, Greeting, Job

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


class WorkerProcess(Worker):
    """A process that trains."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__()
        assert process.stderr is not None
        self.process, self._errors = process, _Tail(process.stderr)
        self._listener: threading.Thread | None = None
        """Reads its events."""

    @classmethod
    def start(
        cls, greeting: object, on_event: Callable[[WorkerProcess, object], None], shared: Shared | None = None
    ) -> WorkerProcess:
        """A worker that has been greeted and waits for a job.

        Args:
            greeting: its first message.
            on_event: called in another thread with each event, and with None when there are no more.
            shared: files in which it has images in common with others.

        Raises:
            OSError: the system starts no more processes.
        """
        process = subprocess.Popen(
            [sys.executable, "-c", BOOTSTRAP, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | ENVIRONMENT | {VARIABLE: "" if shared is None else shared.told},
            pass_fds=shared or (),
            start_new_session=True,
        )
        worker = cls(process)
        worker._write(greeting)
        worker._listener = threading.Thread(target=worker._listen, args=(on_event,), daemon=True)
        worker._listener.start()
        return worker

    def _listen(self, on_event: Callable[[WorkerProcess, object], None]) -> None:
        assert self.process.stdout is not None
        # A pickle that something else wrote in between raises nearly anything.
        with contextlib.suppress(Exception):
            while True:
                on_event(self, pickle.load(self.process.stdout))
        on_event(self, None)

    def _write(self, message: object) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died: the end of its output says so
            pickle.dump(message, self.process.stdin)
            self.process.stdin.flush()

    def send(self, work: Job | Accelerator) -> None:
        """Hand it what to train, or on what."""
        self._write(work)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP); False where the system doesn't say so."""
        try:
            status = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return False
        return status.rpartition(")")[2].split()[0] in ("T", "t")

    def place(self) -> str:
        """Where its main thread is, from the inside out; empty where it doesn't say so."""
        if not self.ready or not hasattr(signal, "SIGUSR1"):
            return ""  # before it is ready, the signal would end it
        before = self._errors.total
        self.process.send_signal(signal.SIGUSR1)
        self.process.send_signal(signal.SIGCONT)
        ends = time.monotonic() + STACK_SECONDS
        place = ""
        while time.monotonic() < ends and not (place := where(self._errors.text(before))):
            time.sleep(0.05)
        return place

    def dismiss(self) -> None:
        """Give it no more jobs: it ends its step, keeps the run as far as it got, and is gone."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()

    def kill(self) -> None:
        """End it where it is."""
        self.process.kill()

    def end(self) -> str:
        """Why it ended, once it is gone and its files are closed."""
        try:
            code = self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # its events ended, and it lives on
            self.process.kill()
            code = self.process.wait()
        if self._listener is not None:
            self._listener.join()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                assert stream is not None
                stream.close()
        self._errors.close()
        lines = self._errors.text().strip().splitlines()
        return _describe_exit(code, lines[-1] if lines else "")


class LocalEngine:
    """Starts processes on this machine."""

    takes_groups = True
    shares_accelerator = True

    def __init__(self, runs: int = 1) -> None:
        self._runs = runs
        """How many there are to train: one has nothing in common with others."""
        self._shared: Shared | None = None
        self._files = contextlib.ExitStack()

    def default_workers(self, *, accelerators: int) -> int:
        """One process per accelerator, else one per core that this process may use."""
        return accelerators or cores()

    def start(self, greeting: Greeting, on_event: Callable[[Worker, object], None]) -> WorkerProcess:
        """A process that waits for a job; one that was started ahead, if there is one."""
        for place, (asked, worker, relay, files) in enumerate(_AHEAD):
            if asked == pickle.dumps(greeting) and not worker.is_gone:
                del _AHEAD[place]
                self._shared = self._shared or self._own(files)
                relay.listen(on_event)
                return worker
        if self._shared is None and self._runs > 1 and greeting.execution.workers != 1:
            self._shared = opened(self._files)
        return WorkerProcess.start(greeting, on_event, self._shared)

    def _own(self, files: Shared | None) -> Shared | None:
        """The same files under numbers that stay until this engine closes them."""
        if files is None:
            return None
        own = Shared(*map(os.dup, files))
        for number in own:
            self._files.callback(os.close, number)
        return own

    def close(self) -> None:
        """Give back what its workers had in common."""
        self._shared = None
        self._files.close()


class _Relay:
    """Keeps the events of a worker until somebody listens."""

    def __init__(self) -> None:
        self._kept: list[tuple[WorkerProcess, object]] = []
        self._listener: Callable[[WorkerProcess, object], None] = lambda worker, event: self._kept.append(
            (worker, event)
        )
        self._lock = threading.Lock()

    def __call__(self, worker: WorkerProcess, event: object) -> None:
        with self._lock:
            self._listener(worker, event)

    def listen(self, listener: Callable[[WorkerProcess, object], None]) -> None:
        """Hand over what was kept, and from now on each event."""
        with self._lock:
            for worker, event in self._kept:
                listener(worker, event)
            self._listener = listener


_Waiting = tuple[bytes, WorkerProcess, _Relay, Shared | None]
_AHEAD: list[_Waiting] = []
"""Processes that nobody has asked for yet, each with its pickled greeting, and what they have in common."""


@contextlib.contextmanager
def started_ahead(greeting: Greeting, count: int) -> Iterator[None]:
    """A context in which so many processes start at once, and wait to be asked for; those left over end with it."""
    started: list[_Waiting] = []
    with contextlib.ExitStack() as files:
        shared = opened(files) if count > 1 else None
        try:
            with contextlib.suppress(OSError):  # whoever asks for one says so
                for _ in range(count):
                    relay = _Relay()
                    worker = WorkerProcess.start(greeting, relay, shared)
                    started.append((pickle.dumps(greeting), worker, relay, shared))
            _AHEAD.extend(started)
            yield
        finally:
            for item in started:
                if item in _AHEAD:
                    _AHEAD.remove(item)
                    item[1].kill()
                    item[1].end()


def _describe_exit(code: int, line: str) -> str:
    if code == -getattr(signal, "SIGKILL", 9):  # Windows has no signals, nor exit codes below 0
        return (
            "its process was killed (SIGKILL), as systems do when memory runs out: try fewer workers or smaller batches"
        )
    if code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}" + (f": {line}" if line else "")


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
