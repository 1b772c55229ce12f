"""Writing files and folders so that whoever reads at the same time sees the old or the new, never a part."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from archlab.errors import InputError, StoreError

READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened whose name a pipe could have, which nobody may ever write into."""
LARGE = 1 << 20
"""Bytes that are asked for where a file is longer than it said."""


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A context in which failures of the file system become a `StoreError` that names the path."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(
            f"{path} can't be written: {reason}. Is the disk full, or the folder someone else's?"
        ) from error


def make_folder(path: Path) -> None:
    """Make a folder and those around it, where they are not there yet.

    Raises:
        StoreError: the file system refuses.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def draft_path(path: Path) -> Path:
    """A new hidden name beside a path: on the same file system, so that one rename puts it into its place."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A context with a draft to write; it becomes the file when the context ends well, and else is removed."""
    draft = draft_path(path)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def replace_text(path: Path, text: str | Iterable[str]) -> None:
    """Write a text, or the pieces of one, as UTF-8, as `replace_bytes` does."""
    replace_bytes(path, (piece.encode() for piece in ([text] if isinstance(text, str) else text)))


def replace_bytes(path: Path, content: bytes | Iterable[bytes]) -> None:
    """Write bytes, or pieces of them, at once or not at all; a link is followed, and a device or pipe takes what comes.

    Raises:
        OSError: the file can't be written; what was there before still is.
    """
    pieces = [content] if isinstance(content, bytes) else content
    if path.exists() and not path.is_file():
        _pour(path, pieces)
        return
    try:
        target = path.resolve()
    except RuntimeError as error:  # as Python 3.11 and 3.12 say it
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    with replacing(target) as draft, draft.open("wb") as file:
        file.writelines(pieces)


def _pour(path: Path, pieces: Iterable[bytes]) -> None:
    """Write into a device or a pipe, which stays what it is; a pipe that nobody reads is refused, else we would wait.

    Raises:
        OSError: it takes nothing.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads this pipe or device", str(path)) from error
        raise
    if hasattr(os, "O_NONBLOCK"):
        os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.writelines(pieces)


def open_regular(path: Path | str) -> BufferedReader:
    """A file open for reading; a pipe or a device of that name, on which reading could wait for ever, is refused.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    descriptor = os.open(path, READING)
    try:
        _check_regular(os.fstat(descriptor), path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def _check_regular(state: os.stat_result, path: Path | str) -> None:
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))


def read_regular(path: Path) -> bytes:
    """The bytes of a file; raises as `open_regular` does."""
    with open_regular(path) as file:
        return file.read()


def read_with_state(path: str) -> tuple[bytes, os.stat_result]:
    """The bytes of a file, and its state before they were read: half the time of the other way, for many small files.

    Raises:
        OSError: it can't be read, or is no regular file.
    """
    descriptor = os.open(path, READING)
    try:
        state = os.fstat(descriptor)
        _check_regular(state, path)
        pieces = [os.read(descriptor, state.st_size + 1)]
        while pieces[-1] and len(pieces[0]) != state.st_size:  # it has grown, or the system gave a part
            pieces.append(os.read(descriptor, LARGE))
        return b"".join(pieces), state
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it, if it is there.

    Raises:
        OSError: it can't be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def save(path: Path, content: str | bytes) -> Path:
    """The path, once the text or the bytes stand there whole.

    Raises:
        InputError: there is no such folder.
        StoreError: the file can't be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path} can't be written: there is no folder {path.parent}; make it or choose another file")
    with writing(path):
        replace_bytes(path, content.encode() if isinstance(content, str) else content)
    return path


def replace_folder(draft: Path, target: Path) -> None:
    """Give a folder its name, in the place of an older one; of several that come at once the last one stays.

    A folder with files in it can't be renamed over, so the older one is first renamed aside. Between the two renames
    another process may have put its own there: then ours is refused, and that one is renamed aside in its turn.

    Raises:
        OSError: a folder can't be renamed; the older one is back in its place.
    """
    refused = True
    while refused:
        older = draft_path(target)
        with suppress(FileNotFoundError):
            target.rename(older)
        try:
            draft.rename(target)
            refused = False
        except BaseException as error:
            if not isinstance(error, OSError) or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                if older.exists():
                    older.rename(target)
                raise
        shutil.rmtree(older, ignore_errors=True)
