"""Named arrays on disk, as safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab import files
from archlab.errors import StoreError
from archlab.store.reading import reading

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


def write_arrays(path: Path, arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> None:
    """Keep named arrays as safetensors, and named texts in the file's header, at once or not at all.

    Raises:
        OSError: the file can't be written.
    """
    import numpy as np
    from safetensors.numpy import save

    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    # The library's own `save_file` gives the file to its owner alone, replaces devices, and hides what the system said.
    files.replace_bytes(path, save(held, metadata=dict(texts) if texts else None))


def read_texts(path: Path) -> dict[str, str]:
    """The named texts in a safetensors file's header; none if there is no such file.

    Raises:
        StoreError: it can't be read.
    """
    from safetensors import safe_open

    with reading(path):
        if not _is_there(path):
            return {}
        with safe_open(path, "numpy") as held:
            return dict(held.metadata() or {})


def read_arrays(path: Path, rows: Callable[[str], Sequence[slice]] | None = None) -> dict[str, Array]:
    """The named arrays of a safetensors file; none if there is no such file.

    Args:
        path: of the file.
        rows: an array's name -> stretches of its rows, which alone are read; none leave the array out.

    Raises:
        StoreError: it can't be read.
    """
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file

    with reading(path):
        if not _is_there(path):
            return {}
        if rows is None:
            arrays: dict[str, Array] = load_file(path)
            return arrays
        with safe_open(path, "numpy") as held:
            chosen = {name: stretches for name in held.keys() if (stretches := rows(name))}  # noqa: SIM118
            return {
                name: np.concatenate([part[stretch] for stretch in stretches])
                if (part := held.get_slice(name)).get_shape()[0]
                else held.get_tensor(name)  # which has no rows to choose from
                for name, stretches in chosen.items()
            }


def numbers(name: str, array: Array, *shape: int | None, whole: bool = False) -> Array:
    """The array, which is one of numbers of that shape.

    Args:
        name: of the array, for the message.
        array: as it was read.
        shape: its size in each direction; None where any will do.
        whole: whether they are integers, else of floating point.

    Raises:
        StoreError: it is not.
    """
    kinds = "iu" if whole else "f"
    expected = "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
    fits = len(array.shape) == len(shape) and all(
        size in (None, found) for size, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind not in kinds:
        what = "integers" if whole else "floating-point numbers"
        raise StoreError(f"{name} has shape {array.shape} and type {array.dtype}, expected {what} of shape {expected}")
    return array


def _is_there(path: Path) -> bool:
    """Whether there is a file; one that is no regular file is an error, since reading it could wait for ever.

    Raises:
        OSError: it can't be read.
    """
    try:
        files.open_regular(path).close()
    except FileNotFoundError:
        return False
    return True
