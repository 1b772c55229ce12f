"""Images that the processes of one command hold in common, and not each for itself.

Sixty thousand images of 96 x 96 are 553 MB, which as many workers as there are cores would all read, resize and hold.
So the command opens a file without a name, which its workers inherit. The first that needs some images prepares them
and writes them into it, while the others wait; then each maps them into its memory, where the system keeps them once.
The file is gone with the last of them, whatever ends it.

The file begins with a table: how many tensors there are, and of each its name's hash, its place and its shape. The
command itself needs no torch to open it.
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
from typing import IO, TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows, whose processes inherit no such file either
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST = 8 << 20
"""Bytes of images that are worth it."""
DESCRIPTOR = "ARCHLAB_SHARED_IMAGES"
"""The environment variable that tells a worker the number of the file that it has inherited."""
_COUNT, _ENTRY = struct.Struct("<q"), struct.Struct("<32s5q")
_BEGIN = 1 << 16
"""Where the first tensor is; before it there is room for hundreds of entries."""
_MOST = (_BEGIN - _COUNT.size) // _ENTRY.size


def opened() -> IO[bytes] | None:
    """A new file to share; None where the system has none."""
    if fcntl is None:
        return None
    with contextlib.suppress(OSError):
        return tempfile.TemporaryFile(prefix="archlab-")
    return None


def inherited() -> SharedImages | None:
    """What this process shares with others; None where it has inherited nothing."""
    number = os.environ.get(DESCRIPTOR, "")
    return SharedImages(int(number)) if number.isdecimal() else None


class SharedImages:
    """Tensors of bytes by name, each made by one of several processes.

    Args:
        file: the number of an open file, the same in all of them.
    """

    def __init__(self, file: int) -> None:
        self._file = file

    def __call__(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """The tensor of that name; what is done to it afterwards the others don't see.

        Args:
            name: says all that decides what is in it.
            make: makes it: uint8 (images, channels, height, width), on the CPU. Where it is small, or can't be
                written, this process has it for itself.
        """
        digest = hashlib.sha256(name.encode()).digest()
        with self._locked():
            found = self._found(digest)
            if found is None:
                made = make()
                found = self._written(digest, made)
                if found is None:
                    return made
        return self._mapped(*found)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """A context for one process at a time. The system ends it with the process."""
        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _entries(self) -> list[tuple[bytes, int, tuple[int, ...]]]:
        """Of each tensor the hash of its name, its place in the file, and its shape."""
        head = os.pread(self._file, _BEGIN, 0)
        (count,) = _COUNT.unpack_from(head) if head else (0,)
        rows = (_ENTRY.unpack_from(head, _COUNT.size + place * _ENTRY.size) for place in range(count))
        return [(digest, start, tuple(shape)) for digest, start, *shape in rows]

    def _found(self, digest: bytes) -> tuple[int, tuple[int, ...]] | None:
        return next(((start, shape) for known, start, shape in self._entries() if known == digest), None)

    def _written(self, digest: bytes, made: Tensor) -> tuple[int, tuple[int, ...]] | None:
        """Where the tensor is now; None where it isn't shared."""
        import torch

        entries = self._entries()
        if made.numel() < SMALLEST or made.dtype != torch.uint8 or made.dim() != 4 or len(entries) == _MOST:
            return None
        end = max([_BEGIN, *(start + math.prod(shape) for _, start, shape in entries)])
        start = -(-end // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        try:
            rest, place = made.contiguous().numpy().reshape(-1).data, start
            while rest:
                written = os.pwrite(self._file, rest, place)
                rest, place = rest[written:], place + written
            row = _ENTRY.pack(digest, start, *made.shape)
            os.pwrite(self._file, row, _COUNT.size + len(entries) * _ENTRY.size)
            os.pwrite(self._file, _COUNT.pack(len(entries) + 1), 0)
        except OSError:  # the disk is full
            return None
        return start, tuple(made.shape)

    def _mapped(self, start: int, shape: tuple[int, ...]) -> Tensor:
        import torch

        content = mmap.mmap(self._file, math.prod(shape), access=mmap.ACCESS_COPY, offset=start)
        return torch.frombuffer(content, dtype=torch.uint8).view(shape)
