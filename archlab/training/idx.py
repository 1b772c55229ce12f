"""The IDX files that MNIST and Fashion-MNIST come as: a magic number, the sizes, then one byte per value."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from archlab.errors import DataError

Bytes = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]

UNSIGNED_BYTE = 0x08


def read_idx(path: Path, shape: tuple[int, ...]) -> Bytes:
    """The values of an IDX file, plain or `.gz`, as uint8 of the expected shape.

    Raises:
        DataError: it can't be read, is no IDX file of bytes, is cut short or too long, or has another shape.
    """
    header = 4 * (1 + len(shape))
    wanted = header + math.prod(shape)
    try:
        # A byte more than there should be tells that there is more: a small file may unpack to any size.
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(wanted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} can't be read: {error}. Fetch the file again") from error
    expected = bytes([0, 0, UNSIGNED_BYTE, len(shape)])
    if len(content) < header or content[:4] != expected:
        raise DataError(
            f"{path} is no IDX file of {len(shape)}-d bytes: it starts with {content[:4].hex() or 'nothing'}, "
            f"expected {expected.hex()}. Fetch the file again"
        )
    found = tuple(np.frombuffer(content, dtype=">u4", count=len(shape), offset=4).tolist())
    if found != shape:
        raise DataError(f"{path} says it holds {_times(found)} values, expected {_times(shape)}. Fetch the file again")
    if len(content) != wanted:
        has = f"{len(content)} bytes" if len(content) < wanted else "more bytes"
        raise DataError(f"{path} has {has}, expected {wanted} by its header. Fetch the file again")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
