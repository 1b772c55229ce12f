"""Images that the workers of one command on one machine have in common.

Sixty thousand images of 96 x 96 are 553 MB, which as many workers as there are cores would all resize, and hold each
for itself. So the command opens two files without names, which its workers inherit. The first that needs some images
makes them and writes them into one file, while others that need the same ones wait; then each maps them into its
memory, where the system keeps them once. The files are gone with the last process, whatever ends it.

The first file begins with a table: how many tensors there are, and of each its name's hash, its place and its shape.
The second holds nothing and is only locked: byte 0 by who reads or changes the table, another byte, which follows from
the name, by who makes a tensor. The system takes all of a process's locks away when that closes any descriptor of the
file, as freeing a mapped tensor does: so what is locked is never mapped.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import mmap
import os
import struct
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

try:
    import fcntl
except ImportError:  # Windows, whose processes inherit no such file either
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from torch import Tensor

VARIABLE = "ARCHLAB_SHARED_IMAGES"
"""The environment variable that tells a worker which files it has inherited."""
FREE_TIMES = 4
"""The file system must have so many times as much room as a tensor takes."""
_COUNT, _ENTRY = struct.Struct("<q"), struct.Struct("<32s5q")
_BEGIN = 1 << 16
"""Where the first tensor is; before it there is room for hundreds of entries."""
_MOST = (_BEGIN - _COUNT.size) // _ENTRY.size
_Place = tuple[int, tuple[int, ...]]
"""Where a tensor is, and its shape."""


class Shared(NamedTuple):
    """The numbers of two open files."""

    images: int
    locks: int

    @property
    def told(self) -> str:
        """What `inherited` understands: the numbers, and which files they are."""
        return ",".join(f"{number}:{_identity(number)}" for number in self)


def opened(files: ExitStack) -> Shared | None:
    """New files to share, closed with the stack; None where the system has none."""
    if fcntl is None:
        return None
    with contextlib.suppress(OSError):
        return Shared(*(files.enter_context(tempfile.TemporaryFile(prefix="archlab-")).fileno() for _ in range(2)))
    return None


def inherited() -> SharedImages | None:
    """What this process has in common with others; None where it has inherited nothing."""
    with contextlib.suppress(ValueError, OSError):
        told = [part.partition(":") for part in os.environ.get(VARIABLE, "").split(",")]
        images, locks = (int(number) for number, _, identity in told if _identity(int(number)) == identity)
        return SharedImages(Shared(images, locks))
    return None


class SharedImages:
    """Tensors of bytes by name, each made by one of several processes.

    Args:
        files: the same in all of them.
    """

    def __init__(self, files: Shared) -> None:
        self._images, self._locks = files

    def __call__(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that name; what is done to it afterwards the others don't see.

        Args:
            name: says all that decides what is in it.
            make: makes it: uint8 (images, channels, height, width), on the CPU. Where it can't be shared, since the
                disk is full or the file system knows no locks, this process has it for itself.
        """
        digest = hashlib.sha256(name.encode()).digest()
        made: Tensor | None = None
        with self._locked(1 + int.from_bytes(digest[:7])):
            found = self._table().get(digest)
            if found is None:
                made = make()
                found = self._written(digest, made)
        if found is not None:
            with contextlib.suppress(OSError):  # too little memory is left to map it beside others
                return self._mapped(*found)
        return make() if made is None else made

    @contextlib.contextmanager
    def _locked(self, byte: int) -> Iterator[bool]:
        """A context for one process at a time; whether it is, since a file system may know no locks.

        The system ends it with the process.
        """
        try:
            fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, byte)
        except OSError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, byte)

    def _table(self) -> dict[bytes, _Place]:
        """Each tensor by the hash of its name; empty where it can't be read."""
        try:
            head = os.pread(self._images, _BEGIN, 0)
        except OSError:
            return {}
        (count,) = _COUNT.unpack_from(head) if head else (0,)
        rows = (_ENTRY.unpack_from(head, _COUNT.size + place * _ENTRY.size) for place in range(count))
        return {digest: (start, tuple(shape)) for digest, start, *shape in rows}

    def _written(self, digest: bytes, made: Tensor) -> _Place | None:
        """Where the tensor is now; None where it isn't shared."""
        with self._locked(0) as is_alone:
            return self._appended(digest, made) if is_alone else None

    def _appended(self, digest: bytes, made: Tensor) -> _Place | None:
        table = self._table()
        end = max([_BEGIN, *(start + math.prod(shape) for start, shape in table.values())])
        start = -(-end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        try:
            room = os.fstatvfs(self._images)
            if len(table) == _MOST or FREE_TIMES * made.numel() > room.f_bavail * room.f_frsize:
                return None
            rest, place = made.contiguous().numpy().reshape(-1).data, start
            while rest:
                written = os.pwrite(self._images, rest, place)
                rest, place = rest[written:], place + written
            row = _ENTRY.pack(digest, start, *made.shape)
            os.pwrite(self._images, row, _COUNT.size + len(table) * _ENTRY.size)
            os.pwrite(self._images, _COUNT.pack(len(table) + 1), 0)
        except OSError:  # the disk is full after all
            with contextlib.suppress(OSError):
                os.ftruncate(self._images, end)
            return None
        return start, tuple(made.shape)

    def _mapped(self, start: int, shape: tuple[int, ...]) -> Tensor:
        import torch

        content = mmap.mmap(self._images, math.prod(shape), access=mmap.ACCESS_COPY, offset=start)
        return torch.frombuffer(content, dtype=torch.uint8).view(shape)


def _identity(number: int) -> str:
    """Which file an open one is, of all on this machine."""
    state = os.fstat(number)
    return f"{state.st_dev}-{state.st_ino}"
