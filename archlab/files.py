"""Writing files and folders so that whoever reads at the same time sees the old or the new, never a part."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from archlab.errors import InputError, StoreError


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
    """Write a text, or the pieces of one, as UTF-8, at once or not at all; a link is followed, and a device or pipe
    takes what comes.

    Raises:
        OSError: the file can't be written; what was there before still is.
    """
    pieces = [text] if isinstance(text, str) else text
    if path.exists() and not path.is_file():
        with path.open("w", encoding="utf-8") as file:
            file.writelines(pieces)
        return
    with replacing(path.resolve()) as draft, draft.open("w", encoding="utf-8") as file:
        file.writelines(pieces)


def save(path: Path, content: str | bytes) -> Path:
    """The path, once the text or the bytes stand there whole.

    Raises:
        InputError: there is no such folder.
        StoreError: the file can't be written.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path} can't be written: there is no folder {path.parent}; make it or choose another file")
    with writing(path):
        if isinstance(content, str):
            replace_text(path, content)
        else:
            with replacing(path.resolve()) as draft:
                draft.write_bytes(content)
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
