"""What safetensors files hold, from their headers alone: names, shapes and element types, not one weight.

A file begins with the length of its header (8 bytes, little-endian), then the header as JSON: for each tensor its
`dtype`, `shape` and `data_offsets` into the bytes that follow (https://huggingface.co/docs/safetensors, Format).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Any

from archlab.errors import SourceError, cut
from archlab.records.checkpoint import Checkpoint, StoredTensor

LARGEST_HEADER = 100_000_000
"""Bytes of a header, as the format itself limits it."""
BITS = {
    **dict.fromkeys(["F64", "I64", "U64", "C64"], 64),
    **dict.fromkeys(["F32", "I32", "U32"], 32),
    **dict.fromkeys(["F16", "BF16", "I16", "U16"], 16),
    **dict.fromkeys(["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"], 8),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    "F4": 4,
}
"""Element type -> bits per element."""
LONGEST_NAME = 255
"""Characters of a file's name, as file systems limit it."""
INDEX = ".safetensors.index.json"


def checkpoint(path: str | Path) -> Checkpoint:
    """The tensors of a `.safetensors` file, of the shards that an index names, or of a folder's files.

    In a folder, the files of one variant are taken: `model.safetensors` before `model.fp16.safetensors`; where there
    is an index, the shards that it names.

    Raises:
        SourceError: there is no such file, it is no safetensors file, or two shards hold the same tensor.
    """
    path = Path(path).expanduser()
    files = _files(path)
    found: dict[str, StoredTensor] = {}
    for file in files:
        for tensor in _header(file):
            if tensor.name in found:
                raise SourceError(f"{file} holds {cut(repr(tensor.name))}, which another file of {path} holds too")
            found[tensor.name] = tensor
    return Checkpoint(str(path), tuple(file.name for file in files), tuple(found.values()))


def has_weights(folder: Path) -> bool:
    """Whether a folder holds safetensors."""
    return any(folder.glob("*.safetensors"))


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        indices = sorted(path.glob(f"*{INDEX}"), key=_plainness)
        if indices:
            return _shards(indices[0])
        files = sorted(path.glob("*.safetensors"), key=_plainness)
        if not files:
            raise SourceError(f"{path} holds no .safetensors file")
        return files[:1]
    if not path.is_file():
        raise SourceError(f"there is no file {path}: expected a .safetensors file, its index or a folder")
    return _shards(path) if path.name.endswith(INDEX) else [path]


def _plainness(path: Path) -> tuple[bool, int, str]:
    """Sorts what `save_pretrained` writes by itself before variants and files of other tools."""
    return (not path.name.startswith(("model", "diffusion_pytorch_model")), path.name.count("."), path.name)


def _shards(index: Path) -> list[Path]:
    try:
        if index.stat().st_size > LARGEST_HEADER:
            raise SourceError(f"{index} is no index of shards: it has more than {LARGEST_HEADER:,} bytes")
        names = json.loads(index.read_bytes())["weight_map"].values()
    except SourceError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SourceError(f"{index} is no index of shards: {type(error).__name__}: {cut(error)}") from error
    files = []
    for name in sorted({str(name) for name in names}):
        if Path(name).name != name or not name.isprintable() or len(name) > LONGEST_NAME:
            raise SourceError(f"{index} names the shard {cut(repr(name))}, which is not in its folder")
        files.append(index.parent / name)
    return files


def _header(path: Path) -> Iterable[StoredTensor]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(LARGEST_HEADER, size - 8):
                raise SourceError(f"{path} is no safetensors file: its header can't have {length:,} bytes")
            header = json.loads(file.read(length))
    except SourceError:
        raise
    except OSError as error:
        raise SourceError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is no safetensors file: {type(error).__name__} in its header") from error
    if not isinstance(header, dict):
        raise SourceError(f"{path} is no safetensors file: its header is no JSON object")
    room = size - 8 - length
    return [_tensor(path, name, entry, room) for name, entry in header.items() if name != "__metadata__"]


def _tensor(path: Path, name: str, entry: Any, room: int) -> StoredTensor:
    """One entry of a header, if it is one, and its bytes are in the file."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int and number >= 0 for number in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        whole, dtype, shape, begin, end = False, "", [], 0, 0
    if not whole or not begin <= end <= room or not isinstance(dtype, str):
        raise SourceError(
            f"{path} is no safetensors file, or was cut off: {cut(repr(name))} isn't in its {room:,} bytes of data"
        )
    bits = BITS.get(dtype)
    if bits is not None and prod(shape) * bits != (end - begin) * 8:
        raise SourceError(
            f"{path} is no safetensors file: {cut(repr(name))} has {end - begin:,} bytes, which its shape hasn't"
        )
    return StoredTensor(name, tuple(shape), dtype, end - begin)
