"""The far end of a worker on another machine: it keeps a process there as `local` has them, and hands on what it says.

Ray makes an actor of `RemoteWorker`; nothing in here knows Ray. The process trains, so that a network which takes its
process with it takes no actor, and whoever is told of an actor's end knows that its machine is gone. All calls answer
soon: `hear` within seconds, so that no call is lost for long when a machine is.

Where the machine sees the caller's store, the process writes there. Elsewhere it writes into a store of its own, and
each answer of `hear` carries what has changed in there.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from archlab.errors import ArchlabError, StoreError
from archlab.records import TrainingConfig
from archlab.store.lock import hold, is_held
from archlab.store.replica import Changes, Outgoing, Part
from archlab.training.engines import needs as needed
from archlab.training.engines.local import WorkerProcess
from archlab.training.engines.needs import Data, Needs, Piece
from archlab.training.progress import Progress
from archlab.training.worker import Ended, Greeting

MOST_EVENTS = 1000
"""That are kept until they are asked for; then the process waits, and trains no further."""
PACE_SECONDS = 0.3
"""For what a run does to be told in; that a process is ready, or has ended its job, is told at once."""
QUIET_SECONDS = 5.0
"""Until `hear` answers that nothing has happened."""
COPY_SECONDS = 2.0
"""Between two looks at what has changed in a store that is handed over."""
SCRATCH, HOLDER = "archlab-worker-", "holder"
"""How the names of such stores begin, and the lock in each, which its worker holds."""
LEFT_SECONDS = 60.0
"""That a folder is old before its lock is asked: a new one has none yet."""
OFTEN = ("step", "measuring", "landscape")
"""States that come many times a second, of which only the last counts."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of a start."""

    has_store: bool = False
    """Whether this machine sees the store."""
    missing: tuple[Data, ...] = ()
    """Data that is to be sent; until it is, nothing is started."""
    refusal: tuple[type[ArchlabError], str] | None = None
    """Why this machine can't train."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What has happened since the last call."""

    events: tuple[object, ...] = ()
    changes: Changes = field(default_factory=Changes)
    is_stopped: bool = False
    """Whether somebody stopped the process (SIGSTOP)."""
    ended: str | None = None
    """Why the process ended; None while it goes on. It is the last answer."""


class RemoteWorker:
    """A process that trains, for a caller on another machine.

    Args:
        name: of this machine, for messages.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name or platform.node()
        self._process: WorkerProcess | None = None
        self._events: queue.Queue[object] = queue.Queue(MOST_EVENTS)
        self._hearing, self._copying = threading.Lock(), threading.Lock()
        self._last, self._answer = -1, Heard()
        self._scratch: Path | None = None
        self._outgoing: Outgoing | None = None
        self._copied = 0.0
        self._ended: str | None = None
        self._is_closed = False

    def start(
        self, greeting: Greeting, needs: Needs, sent: Mapping[str, Callable[[], Iterable[Piece]]] | None = None
    ) -> Started:
        """Start the process, if this machine has what it needs.

        Args:
            greeting: what all its jobs share.
            needs: what they need.
            sent: data set -> what gives its files.
        """
        try:
            os.chdir(needed.working_folder(needs))
            execution = greeting.execution
            missing = needed.missing_data(needs, execution)
            if missing and sent is None:
                return Started(missing=tuple(missing))
            placed = tuple(needed.unpacked(data, (sent or {})[data.dataset]()) for data in missing)
        except ArchlabError as error:
            return Started(refusal=(type(error), self._named(str(error))))
        has_store = needed.sees_store(needs)
        if has_store:
            store = Path(needs.sign[0]).parent
        else:
            store = self._scratch = _scratch()
            self._holder = hold(store / HOLDER)  # as long as this process lives
            self._outgoing = Outgoing(store)
        execution = replace(execution, store=store, placed=placed)
        self._process = WorkerProcess.start(replace(greeting, execution=execution), self._receive)
        return Started(has_store)

    def begin(self, config: TrainingConfig, parts: Sequence[Part] = ()) -> None:
        """Train a run.

        Args:
            config: what is trained.
            parts: what the caller's store has of it, where this machine doesn't see that.
        """
        assert self._process is not None
        try:
            if self._outgoing is not None:
                with self._copying:
                    self._outgoing.clear()
                    self._outgoing.put(parts)
        except (OSError, ArchlabError) as error:
            self._receive(self._process, Ended((StoreError, self._named(str(error)))))
            return
        self._process.send(config)

    def hear(self, number: int, pace: float = PACE_SECONDS) -> Heard:
        """What has happened; the same again where the number is that of the last call, whose answer was lost.

        Args:
            number: of the call.
            pace: seconds for events that are not urgent to be waited for together.
        """
        with self._hearing:
            if number != self._last:
                self._answer = self._gathered(pace)
                self._last = number
            return self._answer

    def place(self) -> str:
        """Where the training is."""
        return "" if self._process is None else self._process.place()

    def dismiss(self) -> None:
        """Give the process no more jobs: it ends its step, keeps the run as far as it got, and is gone."""
        if self._process is not None:
            self._process.dismiss()

    def close(self) -> None:
        """End the process where it is, and give back what is held."""
        self._is_closed = True
        if self._process is not None:
            self._process.kill()
            self._process.end()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _receive(self, process: WorkerProcess, event: object) -> None:
        """Keep an event until it is asked for; where nobody asks, the process waits."""
        if isinstance(event, Ended) and event.error is not None:
            event = Ended((event.error[0], self._named(event.error[1])))
        while not self._is_closed:
            with contextlib.suppress(queue.Full):
                self._events.put(event, timeout=1.0)
                return

    def _named(self, message: str) -> str:
        return f"{message} (on the machine {self._name})"

    def _gathered(self, pace: float) -> Heard:
        """Events, once there are some, and those that follow soon."""
        found: list[object] = []
        ends = time.monotonic() + QUIET_SECONDS
        is_urgent = False
        while not is_urgent and (left := ends - time.monotonic()) > 0:
            try:
                event = self._events.get(timeout=left)
            except queue.Empty:
                break
            if not found:
                ends = min(ends, time.monotonic() + pace)
            is_urgent = not isinstance(event, Progress)
            found.append(event)
        while not self._events.empty():
            found.append(self._events.get())
        if None in found:
            assert self._process is not None
            self._ended = self._process.end()
            found.remove(None)
        return Heard(
            tuple(_thinned(found)),
            self._changes(now=is_urgent),
            self._process is not None and self._process.is_stopped,
            self._ended,
        )

    def _changes(self, *, now: bool) -> Changes:
        """What has changed in the store of this machine, if it is time for it; when a job has ended, it is."""
        if self._outgoing is None or (not now and time.monotonic() - self._copied < COPY_SECONDS):
            return Changes()
        self._copied = time.monotonic()
        with self._copying:
            return self._outgoing.changes()


def _scratch() -> Path:
    """A new folder for a store of this machine; those of workers that went with their node are removed."""
    home = Path(tempfile.gettempdir())
    for path in home.glob(f"{SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > LEFT_SECONDS and is_held(path / HOLDER, path) is False:
                shutil.rmtree(path, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=SCRATCH))


def _thinned(events: Iterable[object]) -> list[object]:
    """Events without those that come often and are followed by another such."""
    kept: list[object] = []
    for event in events:
        if kept and _is_often(event) and _is_often(kept[-1]):
            kept.pop()
        kept.append(event)
    return kept


def _is_often(event: object) -> bool:
    return isinstance(event, Progress) and event.state in OFTEN
