"""Copies of this process, in which something is tried that may end, hang, or take all memory."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

SECONDS = 60.0
BYTES = 1_000_000_000
"""That a copy may take beyond what this process takes, which has torch in it."""
KILLED_BYTES = 2 * BYTES
"""At which a copy is ended, for the sake of the machine."""
ERRORS = ".errors"
CRASHED, LEFT = 99, 98
"""Exit codes of a copy: out of which an error came, which could not say how it ended."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Result(NamedTuple):
    """What a copy left behind."""

    code: int
    said: str
    """What it wrote to its descriptor 1."""
    errors: str
    """What it wrote to its descriptor 2."""
    seconds: float
    bytes: int
    """The most memory that it had, beyond what it began with."""

    @property
    def output(self) -> str:
        """All that it wrote."""
        return self.said + self.errors

    @property
    def violation(self) -> str:
        """What it did that none may do; empty where nothing."""
        if self.bytes > BYTES:
            return f"{self.bytes / 1e9:.1f} GB"
        if self.code == -signal.SIGKILL:
            return f"no end within {self.seconds:.0f} s"
        if self.code < 0:
            return f"ended by {signal.Signals(-self.code).name}"
        if "Traceback (most recent call last)" in self.output or "ARCHLAB_DEBUG" in self.output:
            return "an error that nobody foresaw"
        return ""


def in_a_copy(
    act: Callable[[], object], output: Path, seconds: float = SECONDS, alive: Callable[[], float] | None = None
) -> Result:
    """What a copy of this process does.

    Args:
        act: what it does; a whole number that it returns, or leaves by, is its exit code.
        output: the file that takes what it writes; its errors go into one beside it.
        seconds: after which it is killed.
        alive: when it last gave a sign of life, by `time.monotonic`: then `seconds` count from there.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    started = time.monotonic()
    waits, says = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(waits, 1)
        _be_the_copy(act, output)
    before = _resident(child)  # less than this process, since a copy has none of the files in memory yet
    os.write(says, b"!")
    os.close(waits)
    os.close(says)
    status, most = 0, 0
    while True:
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            break
        most = _resident(child) - before
        if most > KILLED_BYTES or time.monotonic() > (alive() if alive else started) + seconds:
            os.kill(child, signal.SIGKILL)
            _, status, usage = os.wait4(child, 0)
            break
        time.sleep(0.005)
    most = max(most, usage.ru_maxrss * 1024 - before)  # what came and went between two looks
    said, errors = (
        path.read_text(errors="replace") if path.exists() else "" for path in (output, output.with_suffix(ERRORS))
    )
    return Result(os.waitstatus_to_exitcode(status), said, errors, time.monotonic() - started, max(0, most))


def _resident(process: int) -> int:
    """Bytes of memory that a process has; 0 where it is gone."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _be_the_copy(act: Callable[[], object], output: Path) -> None:
    with contextlib.suppress(BaseException):
        os.setsid()
        for number, path in ((1, output), (2, output.with_suffix(ERRORS))):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
        code = 0
        try:
            found = act()
            code = found if isinstance(found, int) else 0
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else int(done.code is not None)
        except BaseException:
            import traceback

            traceback.print_exc()
            code = CRASHED
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    os._exit(LEFT)
