"""The files that CIFAR-10 and CIFAR-100 come as: pickles, of which nothing is run.

A pickle is a program that may call whatever it names. These name what makes an array of bytes of them, and nothing else
is given to them; one that names more is refused before it is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from archlab.errors import DataError, cut

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
Labels = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

SIDE = 32
LARGEST = 400_000_000
"""Bytes of a file: twice those of the largest, the training images of CIFAR-100."""


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
    content = _unpickled(path, count)
    found, given = content.get("data"), content.get(labels)
    pixels = found.values if isinstance(found, _Array) else None
    if pixels is None or pixels.shape != (count, 3 * SIDE * SIDE):
        shape = None if pixels is None else pixels.shape
        raise DataError(f"{path} holds images {shape}, expected {(count, 3 * SIDE * SIDE)} bytes. Fetch the file again")
    if not isinstance(given, list) or len(given) != count or not all(_is_class(label, classes) for label in given):
        raise DataError(f"{path} has no {count} {labels} from 0 to {classes - 1}. Fetch the file again")
    return pixels.reshape(count, 3, SIDE, SIDE), np.asarray(given, dtype=np.int64)


def read_names(path: Path, key: str, classes: int) -> tuple[str, ...]:
    """The names of the classes, from the file that lists them.

    Raises:
        DataError: it can't be read, or holds something else.
    """
    names = _unpickled(path, classes).get(key)
    if not isinstance(names, list) or len(names) != classes or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} has no {classes} names of classes ({key}). Fetch the file again")
    return tuple(names)


def _is_class(label: object, classes: int) -> bool:
    return isinstance(label, int) and 0 <= label < classes


class _ArrayKind:
    """Stands for the class of arrays, which the pickle of an array names."""


class _Array:
    """An array that is being made: empty, until it is told its shape and its values."""

    def __init__(self, *_: object) -> None:
        self.values: Bytes = np.zeros(0, np.uint8)

    def __setstate__(self, state: object) -> None:
        match state:
            case (int(), tuple(shape), _Byte(), False, bytes(values)):
                self.values = np.frombuffer(values, np.uint8).reshape(shape)
            case _:
                raise pickle.UnpicklingError(f"it has an array of {cut(repr(state), 40)}, expected bytes")


class _Byte:
    """Stands for the element type of an array; its details say what is known."""

    def __init__(self, name: object, *_: object) -> None:
        if name not in ("u1", "|u1"):
            raise pickle.UnpicklingError(f"it has an array of {cut(repr(name), 40)}, expected bytes")

    def __setstate__(self, _: object) -> None:
        pass


ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _ArrayKind,
    ("numpy", "dtype"): _Byte,
}
"""All that such a file may name, and what it gets; beside it `_codecs.encode`, which makes bytes of a text."""


def _counted(act: Callable[[Any], None]) -> Callable[[Any], None]:
    def count(unpickler: _Unpickler) -> None:
        unpickler.steps -= 1
        if unpickler.steps < 0:
            raise pickle.UnpicklingError("it has more values than there are images")
        act(unpickler)

    return count


_InPython: Any = pickle._Unpickler


class _Unpickler(_InPython):  # type: ignore[misc]
    """Reads texts, numbers, lists, dictionaries and arrays of bytes, in memory bounded by the size of the file.

    In Python: the one in C takes a place in memory for each number below the largest that a file gives to a value.

    Args:
        content: of the file.
        steps: values that it may hold.
    """

    dispatch: ClassVar = {key: _counted(act) for key, act in _InPython.dispatch.items()}

    def __init__(self, content: bytes, steps: int) -> None:
        super().__init__(io.BytesIO(content), encoding="latin1")
        self.steps = steps
        self._room = len(content)

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; nothing that it doesn't need."""
        if (module, name) == ("_codecs", "encode"):
            return self._encode
        found = ALLOWED.get((module, name))
        if found is None:
            raise pickle.UnpicklingError(f"it names {cut(f'{module}.{name}')}, which is not called")
        return found

    def load_build(self) -> None:
        """Tell an array or its element type its state; nothing else has one that a file may set."""
        if not isinstance(self.stack[-2], _Array | _Byte):
            raise pickle.UnpicklingError("it changes what is no array")
        super().load_build()

    dispatch[pickle.BUILD[0]] = _counted(load_build)

    def _encode(self, text: str, encoding: str) -> bytes:
        self._room -= len(text)
        if encoding != "latin1" or self._room < 0:
            raise pickle.UnpicklingError("it has texts that are no bytes of its own")
        return text.encode(encoding)


STEPS_PER_IMAGE = 20
"""Values of a pickle for each image: its classes and the name of its file, and as many again."""


def _unpickled(path: Path, count: int) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            found = file.read(LARGEST + 1)
        if len(found) > LARGEST:
            raise DataError(f"{path} has more than {LARGEST:,} bytes. Fetch the file again")
        content = _Unpickler(found, STEPS_PER_IMAGE * count + 1000).load()
    except DataError:
        raise
    except Exception as error:  # a damaged pickle raises whatever it comes to
        raise DataError(f"{path} can't be read as a file of CIFAR: {cut(error)}. Fetch the file again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds {type(content).__name__}, expected a dictionary. Fetch the file again")
    return content
