"""Looks at many folders of runs: where there are thousands, several processes share them, one per core.

Whether folders are as they were, a copy of this process (a fork) answers for half of them, or more: it only asks the
file system, and says yes or no by its exit code.

Another process is an interpreter that reads names from one file and writes what it found, as columns, into another: no
pipe can fill up while this process reads its own share. What it did not find, for whatever reason, this one reads.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from archlab.circumstances import cores
from archlab.errors import StoreError
from archlab.records.entry import Setup
from archlab.store import columns
from archlab.store.listed import Setups
from archlab.store.look import look_at

if TYPE_CHECKING:
    from archlab.store.columns import Columns
    from archlab.store.look import Look

SHARE = 2000
"""Folders that are worth another process, whose start takes as long as to read half of them."""
PROCESSES = 4
"""At most; more would wait for the disk, or for this one to take what they found."""
PROGRAM = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from archlab.store.looking import serve; serve()"


class _Asked(msgspec.Struct):
    root: str
    names: list[str]


class _Found(msgspec.Struct):
    setups: list[tuple[str, str]]
    """The texts of the setups that the looks name."""
    looks: bytes
    """As `columns` has them."""


def looks_at(root: str, names: Sequence[str], setups: Setups) -> dict[str, Look]:
    """Looks at the folders of these names, without those that are gone."""
    count = max(1, min(PROCESSES, cores(), len(names) // SHARE))
    first, *others = [names[place::count] for place in range(count)]
    with ExitStack() as stack:
        answers = [stack.enter_context(_asked(root, share, setups)) for share in others]
        found = _read(root, first, setups)
        for share, answer in zip(others, answers, strict=True):
            found |= answer()
            found |= _read(root, [name for name in share if name not in found], setups)
    return found


def are_current(root: str, parts: Sequence[Columns], meanwhile: Callable[[], object] | None = None) -> bool:
    """Whether all folders of these columns are as they were.

    Args:
        root: the folder that holds them.
        parts: what was known of them.
        meanwhile: other work for this process, which then asks after fewer of them; it is done only where another
            process asks too.
    """
    count = sum(len(part.names) for part in parts)
    if count < SHARE or cores() == 1 or not _has_one_thread():
        return all(part.are_current(root) for part in parts)
    step = 2 if meanwhile is None else 3  # of so many parts this process takes one
    child = os.fork()
    if not child:
        answer = 1
        try:
            theirs = (part for place, part in enumerate(parts) if place % step)
            answer = int(not all(part.are_current(root) for part in theirs))
        finally:
            os._exit(answer)
    try:
        if meanwhile is not None:
            meanwhile()
        mine = all(part.are_current(root) for part in parts[::step])
    finally:
        _, status = os.waitpid(child, 0)
    return mine and status == 0


def serve() -> None:
    """Answer what stands on stdin on stdout, both of them files."""
    gc.disable()  # nothing of what is made lies in a cycle
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=_Asked)
    looks = _read(asked.root, asked.names, Setups())
    looks = {name: look for name, look in looks.items() if columns.fits(name, look)}
    numbers = columns.numbered(looks.values())
    found = _Found([(setup.text, setup.watched) for setup in numbers], columns.encode(looks, numbers))
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))


def _read(root: str, names: Iterable[str], setups: Setups) -> dict[str, Look]:
    looks = ((name, look_at(root, name, setups)) for name in names)
    return {name: look for name, look in looks if look is not None}


@contextmanager
def _asked(root: str, names: Sequence[str], setups: Setups) -> Iterator[Callable[[], dict[str, Look]]]:
    """A context in which another process looks at folders; its value waits for what it found: nothing if it failed."""
    with ExitStack() as stack:
        try:
            question, answer = (stack.enter_context(tempfile.TemporaryFile()) for _ in range(2))
            question.write(msgspec.msgpack.encode(_Asked(root, list(names))))
            question.seek(0)
            process = subprocess.Popen(_command(), stdin=question, stdout=answer, stderr=subprocess.DEVNULL)
        except (OSError, UnicodeEncodeError):
            yield dict
            return

        def found() -> dict[str, Look]:
            if process.wait():
                return {}
            answer.seek(0)
            return _decoded(answer.read(), setups)

        try:
            yield found
        finally:
            process.kill()
            process.wait()


def _has_one_thread() -> bool:
    """Whether this process has no thread but this one, whose lock a fork could inherit and never get; False where the
    system doesn't say."""
    try:
        return hasattr(os, "fork") and len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208 - names alone
    except OSError:
        return False


def _command() -> list[str]:
    """What starts the other process: without `site`, which takes as long as the rest of a start."""
    path = [*sys.path, str(Path(__file__).resolve().parents[2])]  # `site` may be what finds archlab
    return [sys.executable, "-S", "-P", "-c", PROGRAM, json.dumps(path)]


def _decoded(content: bytes, setups: Setups) -> dict[str, Look]:
    try:
        found = msgspec.msgpack.decode(content, type=_Found)
        shared = [setups.kept(Setup(*texts)) for texts in found.setups]
        return columns.decode(found.looks).looks({columns.number_of(setup): setup for setup in shared})
    except (msgspec.MsgspecError, StoreError):
        return {}
