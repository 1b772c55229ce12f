"""Named arrays on disk, as safetensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.errors import StoreError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[Any]]


def write_arrays(path: Path, arrays: Mapping[str, Array], texts: Mapping[str, str] | None = None) -> None:
    """Keep named arrays as safetensors, and named texts in the file's header."""
    import numpy as np
    from safetensors.numpy import save_file

    held = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    save_file(held, path, metadata=dict(texts) if texts else None)


def read_texts(path: Path) -> dict[str, str]:
    """The named texts in a safetensors file's header; none if there is no such file.

    Raises:
        StoreError: it can't be read.
    """
    from safetensors import SafetensorError, safe_open

    if not path.exists():
        return {}
    try:
        with safe_open(path, "numpy") as held:
            return dict(held.metadata() or {})
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read: {error}") from error


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
                name: np.concatenate([part[stretch] for stretch in stretches])
                if (part := held.get_slice(name)).get_shape()[0]
                else held.get_tensor(name)  # which has no rows to choose from
                for name, stretches in chosen.items()
            }
    except (SafetensorError, OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read: {error}") from error
