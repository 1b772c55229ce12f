"""Locks that end with their holder, however it goes.

A lock is a file that a process holds: by `flock`, on Windows by `LockFileEx`, where there is neither by what the file
says of its process (filelock's soft lock). In each case a process that was killed holds nothing afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

TURN = "turn"
"""The lock beside all others, whose holder may look at them."""
TURN_SECONDS = 10.0
"""How long a look waits for its turn, at most."""
POLL_SECONDS = 0.001
"""Between two tries to get the turn: about as long as a look takes."""


def hold(path: Path) -> BaseFileLock:
    """The lock on a file that nobody else knows yet, held until it is released or the process is gone.

    Raises:
        OSError: the file can't be written.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)  # whichever thread ends the run releases it
    lock.acquire(blocking=False)
    return lock


def release(lock: BaseFileLock) -> None:
    """Give up a lock and remove its file."""
    lock.release()
    with suppress(OSError):  # who looks at it now has it open, which Windows minds, and removes it
        Path(lock.lock_file).unlink(missing_ok=True)


def claim(path: Path) -> BaseFileLock | None:
    """The lock on a file that others may want too, until `disclaim` or the process's end; None while another has it.

    Files are opened, locked and removed by whoever has the turn. Without it, say that A holds the lock and B has just
    opened the file: A removes it and C makes a new one of that name; B would lock the old file and C the new one.

    Raises:
        OSError: the file can't be written, or the turn doesn't come.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    with _turn(path.parent), suppress(Timeout):
        lock.acquire(blocking=False)
        return lock
    return None


def disclaim(lock: BaseFileLock) -> None:
    """Give up what `claim` gave, and remove its file if the turn comes: one that stays is only litter."""
    path = Path(lock.lock_file)
    try:
        with _turn(path.parent):
            release(lock)
    except OSError:
        lock.release()


def is_held(path: Path, folder: Path, *, sweep: bool = True) -> bool | None:
    """Whether a process, this one included, holds the lock; None where that can't be found out.

    No system tells who holds a lock: the only way is to try to take it. Two who did so at the same time would deceive
    each other. Say that nobody holds it: the first takes it for a moment, the second is refused, and would report a run
    as going whose process is gone. So they take turns, by a second lock in `folder`. Where that can't be written (a
    colleague's store), nobody can take a lock, and nothing is found out.

    If nobody holds it, a file in `folder`, that of the locks, is removed, unless `sweep` is False; an older archlab's
    lies elsewhere and stays.
    """
    from filelock import FileLock, SoftFileLock

    own = path.parent == folder
    if not path.exists() or (not own and issubclass(FileLock, SoftFileLock)):
        return False  # an older archlab's lock needed `flock`
    try:
        folder.mkdir(exist_ok=True)
        with _turn(folder):
            lock = FileLock(path)
            try:
                lock.acquire(blocking=False)
            except TimeoutError:  # it is held, or was a dead process's soft lock, and is gone now
                return path.exists()
            lock.release()
            if own and sweep:
                path.unlink(missing_ok=True)
    except OSError:  # a turn that doesn't come is a Timeout, and one too
        return None
    return False


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    """A context in which no other process looks at the locks in a folder.

    Raises:
        OSError: it doesn't come, or its file can't be written.
    """
    from filelock import FileLock

    with FileLock(folder / TURN).acquire(TURN_SECONDS, POLL_SECONDS):
        yield
