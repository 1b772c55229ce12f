"""The files that CIFAR-10 and CIFAR-100 come as: pickles, of which nothing is run.

A pickle is a program that may call whatever it names. These name what makes an array of bytes of them, and nothing else
is given to them; one that names more is refused before it is called.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from archlab.errors import DataError

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

SIDE = 32


def read_batch(path: Path, count: int, labels: str, classes: int) -> tuple[Bytes, Labels]:
    """The images of one file, uint8 (images, 3, 32, 32), and their classes.

    Args:
        path: of the file.
        count: how many images it has.
        labels: the name that it gives their classes.
        classes: how many there are.

    Raises:
        DataError: it can't be read, or holds something else.
    """
    content = _unpickled(path)
    pixels, given = content.get("data"), content.get(labels)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != (count, 3 * SIDE * SIDE):
        shape = getattr(pixels, "shape", None)
        raise DataError(f"{path} holds images {shape}, expected {(count, 3 * SIDE * SIDE)} bytes. Fetch the file again")
    if not isinstance(given, list) or len(given) != count or not all(_is_class(label, classes) for label in given):
        raise DataError(f"{path} has no {count} {labels} from 0 to {classes - 1}. Fetch the file again")
    return pixels.reshape(count, 3, SIDE, SIDE), np.asarray(given, dtype=np.int64)


def read_names(path: Path, key: str, classes: int) -> tuple[str, ...]:
    """The names of the classes, from the file that lists them.

    Raises:
        DataError: it can't be read, or holds something else.
    """
    names = _unpickled(path).get(key)
    if not isinstance(names, list) or len(names) != classes or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} has no {classes} names of classes ({key}). Fetch the file again")
    return tuple(names)


def _is_class(label: object, classes: int) -> bool:
    return isinstance(label, int) and 0 <= label < classes


def _byte_dtype(name: str, *_: object) -> np.dtype[np.uint8]:
    if name not in ("u1", "|u1"):
        raise pickle.UnpicklingError(f"it has an array of {name!r}, expected bytes")
    return np.dtype(np.uint8)


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it has a text in {encoding!r}, expected latin1")
    return text.encode(encoding)


_ARRAY: Callable[..., Any] = np.zeros(0, np.uint8).__reduce__()[0]  # type: ignore[assignment]
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy._core.multiarray", "_reconstruct"): _ARRAY,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): _byte_dtype,
    ("_codecs", "encode"): _encode,
}
"""All that such a file may name, and what it gets."""


class _Unpickler(pickle.Unpickler):
    """Reads texts, numbers, lists, dictionaries and arrays of bytes."""

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; nothing that it doesn't need."""
        found = ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is not called")
        return found


def _unpickled(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises whatever it comes to
        raise DataError(f"{path} can't be read as a file of CIFAR: {error}. Fetch the file again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {type(content).__name__}, expected a dictionary. Fetch the file again")
    return content
