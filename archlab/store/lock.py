"""Locks that end with their holder, however it goes.

A lock is a file that a process holds: by `flock`, on Windows by `LockFileEx`, where there is neither by what the file
says of its process (filelock's soft lock). In each case a process that was killed holds nothing afterwards.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

TURN = "turn"
"""The lock beside all others, whose holder may look at them where there is no `flock`."""
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


def is_held(path: Path, folder: Path) -> bool | None:
    """Whether a process, this one included, holds the lock; None where that can't be found out.

    No system tells who holds a lock: the only way is to try to take it. `flock` takes it from a file that can only be
    read, so in a store that can't be written too, and shares it: two who look don't hide it from each other. filelock
    can do neither; it is asked where there is no `flock`.

    If nobody holds it, a file in `folder`, that of the locks, is removed; an older archlab's lies elsewhere and stays.
    """
    try:
        held = _is_refused(path, folder)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    if not held and path.parent == folder:
        with suppress(OSError):  # filelock was faster, or the folder can't be written
            path.unlink()
    return held


def _is_refused(path: Path, folder: Path) -> bool:
    try:
        import fcntl
    except ImportError:
        return _is_refused_in_turn(path, folder)
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno == errno.ENOSYS:  # so the writer has filelock's soft lock
                return _is_refused_in_turn(path, folder)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):  # some file systems say the latter
                raise
            return True
    return False


def _is_refused_in_turn(path: Path, folder: Path) -> bool:
    """The same by filelock, by one who looks at a time.

    Say that nobody holds the lock: the first takes it for a moment, the second is refused, and would report a run as
    going whose process is gone. So they take turns, by a second lock.
    """
    from filelock import FileLock, Timeout

    if path.parent != folder:  # an older archlab's, which knew `flock` alone
        return False
    path.stat()  # raises where there is no file: filelock would make one
    with FileLock(folder / TURN).acquire(TURN_SECONDS, POLL_SECONDS):
        try:
            FileLock(path).acquire(blocking=False).lock.release()
        except Timeout:  # it is held, or was a dead process's soft lock, and is gone now
            return path.exists()
    return False
