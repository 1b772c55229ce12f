"""Locks that end with their holder, however it goes.

A lock is a file that a process holds: by `flock`, on Windows by `LockFileEx`, where there is neither by what the file
says of its process (filelock's soft lock). In each case a process that was killed holds nothing afterwards.
"""

from __future__ import annotations

from contextlib import suppress
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


def is_held(path: Path) -> bool:
    """Whether a process, this one included, holds the lock; a file that nobody holds is removed.

    No system tells who holds a lock: the only way to find out is to try to take it. Two who did so at the same time
    would deceive each other. Say that nobody holds the lock: the first takes it for a moment, the second is refused,
    and would report a run as going whose process is gone. So they take turns, by a second lock.

    Where the folder can't be written, a lock can't be taken, and counts as held: nothing is deleted on a guess.
    """
    from filelock import FileLock

    if not path.exists():
        return False
    try:
        with FileLock(path.with_name(TURN)).acquire(TURN_SECONDS, POLL_SECONDS):
            lock = FileLock(path)
            lock.acquire(blocking=False)
            release(lock)
    except OSError:  # filelock.Timeout is one too: it is held, or was a dead process's soft lock, and is gone now
        return path.exists()
    return False
