"""Files that more than one process may touch: locks that end with their holder, atomic replacement, arrays."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from archlab.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]

LOCK = "lock"


def hold(folder: Path) -> IO[bytes]:
    """An open file that holds the folder's lock until it is closed or the process is gone, however it goes."""
    import fcntl

    file = (folder / LOCK).open("wb")
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def is_held(folder: Path) -> bool:
    """Whether a process, this one included, holds the folder."""
    import fcntl

    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look don't hide from each other
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def replace_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part."""
    fresh = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    fresh.write_text(text)
    fresh.replace(path)


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


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Keep named arrays as safetensors."""
    import numpy as np
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def read_arrays(path: Path, rows: Callable[[str], Sequence[slice]] | None = None) -> dict[str, Array]:
    """The named arrays of a safetensors file; none if there is no such file.

    Args:
        path: of the file.
        rows: an array's name -> stretches of its rows, which alone are read; none leave the array out.

    Raises:
        StoreError: it can't be read.
    """
    import numpy as np
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    if not path.exists():
        return {}
    try:
        if rows is None:
            arrays: dict[str, Array] = load_file(path)
            return arrays
        with safe_open(path, "numpy") as held:
            chosen = {name: stretches for name in held.keys() if (stretches := rows(name))}  # noqa: SIM118
            return {
                name: np.concatenate([held.get_slice(name)[stretch] for stretch in stretches])
                for name, stretches in chosen.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read: {error}") from error
