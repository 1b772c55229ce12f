"""The values of an input: from what is typed behind its shape, or from a file, to a tensor on the CPU.

`ones`, `zeros`, `arange`, `rand`, `randn`, `randint(LOW,HIGH)`, numbers (`6,4`; a single one fills the tensor), or
`@FILE`. Random ones are the same every time, and leave torch's own random state alone.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from archlab.errors import InputError
from archlab.memory import demand
from archlab.records import Shape
from archlab.tracing.inputs.shorthand import shape_text

WORDS = ("ones", "zeros", "arange", "rand", "randn")
"""Ways to fill a tensor that take no arguments."""
FORMS = "ones, zeros, arange, rand, randn, randint(LOW,HIGH), numbers as in 6,4, or @FILE"
_RANDINT = re.compile(r"randint\(\s*(?:(?P<low>[+-]?\d+)\s*,)?\s*(?P<high>[+-]?\d+)\s*\)")
_NUMBER = r"\s*(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|[Tt]rue|[Ff]alse)\s*"
_NUMBERS = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*,?", re.IGNORECASE)


def are_numbers(text: str) -> bool:
    """Whether a text is a list of numbers: `6,4`."""
    return "," in text and _NUMBERS.fullmatch(text) is not None


def count(text: str) -> int:
    """How many numbers a text lists, at least 1: 2 for `6,4`."""
    return len(_words(text))


def filled(values: str, shape: Shape, dtype: torch.dtype | None, floating: torch.dtype, text: str) -> Tensor:
    """The tensor that a text describes, on the CPU.

    Args:
        values: one of this module's forms.
        shape: the tensor's shape.
        dtype: its element type. None for int64 where all values are integers (`arange`, `randint`, `6,4`), for bool
            where they are true and false, else for `floating`.
        floating: the network's own floating-point type.
        text: all that the user typed, for messages.

    Raises:
        InputError: the text can't be read, or its values don't fit the shape or the type.
    """
    if values.startswith("@"):
        return _held(from_file(values[1:], text), shape, dtype, text)
    try:
        return _made(values, shape, dtype, floating, text)
    except InputError:
        raise
    except (RuntimeError, ValueError, TypeError) as error:  # more bytes than there are, an integer of over 64 bits
        raise InputError(f"the input {text!r} can't be made: {(str(error).splitlines() or [''])[0]}") from error


def _made(values: str, shape: Shape, dtype: torch.dtype | None, floating: torch.dtype, text: str) -> Tensor:
    """The tensor of `filled`, where its values come from no file."""
    demand(16 * prod(shape), f"the input {text!r}", "give a smaller one, or leave its values out")
    generator = torch.Generator().manual_seed(0)
    bounds = _RANDINT.fullmatch(values)
    if bounds is not None:
        low, high = int(bounds["low"] or 0), int(bounds["high"])
        if low >= high:
            raise InputError(
                f"the input {text!r} has random integers from {low} up to but without {high}: expected a first bound "
                "below the second, as in randint(0,1000)"
            )
        return _typed(torch.randint(low, high, shape, generator=generator), dtype or torch.int64, text)
    if values in ("ones", "zeros"):
        return torch.full(shape, float(values == "ones"), dtype=dtype or floating)
    if values in ("rand", "randn"):
        draw = torch.rand if values == "rand" else torch.randn
        kind = dtype or floating
        if not kind.is_floating_point and not kind.is_complex:
            raise InputError(
                f"the input {text!r} has {values}, which are fractions, as integers: expected randint(...)"
            )
        if kind.is_complex:
            return draw(shape, generator=generator, dtype=kind)
        return draw(shape, generator=generator).to(kind)
    if values == "arange":
        # Along the last dimension, so that 2x128 holds the positions 0 to 127 twice, as position_ids do.
        line = torch.arange(shape[-1]).expand(shape) if shape else torch.tensor(0)
        return _typed(line.contiguous(), dtype or torch.int64, text)
    if _NUMBERS.fullmatch(values) is None:
        raise InputError(f"the input {text!r} can't be read: {values!r} are no values, expected {FORMS}")
    numbers = _listed(values)
    if len(numbers) not in (1, prod(shape)):
        raise InputError(
            f"the input {text!r} has {len(numbers)} values, expected {prod(shape)} for the shape "
            f"{shape_text(shape) or 'of a single number'}, or 1 for all of them"
        )
    if any(isinstance(number, float) for number in numbers):
        tensor = _typed(torch.tensor(numbers, dtype=torch.float64), dtype or floating, text)
    else:
        tensor = _typed(torch.tensor(numbers), dtype, text)
    return tensor[0].expand(shape).contiguous() if len(numbers) == 1 else tensor.reshape(shape)


def _words(values: str) -> list[str]:
    return [word.strip().lower() for word in values.strip().removesuffix(",").split(",")]


def _listed(values: str) -> list[int | float | bool]:
    return [word == "true" if word.isalpha() else _number(word) for word in _words(values)]


def _number(word: str) -> int | float:
    return int(word) if word.lstrip("+-").isdecimal() else float(word)


def _typed(tensor: Tensor, dtype: torch.dtype | None, text: str) -> Tensor:
    """The tensor in another element type that holds the same values.

    Raises:
        InputError: the type can't hold them: 300 as uint8, 1.5 as int64.
    """
    if dtype is None:
        return tensor
    changed = tensor.to(dtype)
    if not dtype.is_floating_point and not dtype.is_complex and not bool((changed.to(tensor.dtype) == tensor).all()):
        name = str(dtype).removeprefix("torch.")
        raise InputError(f"the input {text!r} has values that {name} can't hold: give another element type")
    return changed


def _held(tensor: Tensor, shape: Shape, dtype: torch.dtype | None, text: str) -> Tensor:
    """A file's tensor, if it is of the shape that was typed beside it."""
    if tuple(tensor.shape) != shape:
        raise InputError(
            f"the input {text!r} has the shape {shape_text(shape)}, but the file holds {shape_text(tensor.shape)}: "
            "leave the shape out, as in NAME=@FILE"
        )
    return _typed(tensor, dtype, text)


def from_file(reference: str, text: str) -> Tensor:
    """The tensor that a file holds; of several the one that a `#KEY` behind the file's name chooses.

    Nothing in a file is run: `.npy` and `.npz` without pickled objects, `.pt` and `.pth` by `weights_only`,
    `.safetensors`.

    Raises:
        InputError: there is no such file, it can't be read, or it holds no tensor of that name.
    """
    name, _, key = reference.partition("#")
    if not _is_file(name) and _is_file(reference):
        name, key = reference, ""
    if not _is_file(name):
        raise InputError(f"the input {text!r} names the file {name!r}, which isn't there")
    path = Path(name).expanduser()
    try:
        found = _read(path)
    except Exception as error:  # the readers raise whatever they stumble upon
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"the input {text!r} can't be read from {name}: {type(error).__name__}: {reason}") from error
    if found is None:
        raise InputError(f"the input {text!r} names {name}: expected a file .npy, .npz, .pt, .pth or .safetensors")
    if isinstance(found, Tensor):
        if key:
            raise InputError(f"the input {text!r} chooses {key!r}, but {name} holds a single tensor: leave #{key} out")
        return found
    entries: dict[str, Tensor] = (
        {str(label): value for label, value in found.items() if isinstance(value, Tensor)}
        if isinstance(found, dict)
        else {}
    )
    if not key and len(entries) == 1:
        return next(iter(entries.values()))
    if key not in entries:
        held = ", ".join(sorted(entries)) or f"none, but a {type(found).__name__}"
        raise InputError(f"the input {text!r} needs one tensor of {name}: expected @{name}#KEY, of the tensors {held}")
    return entries[key]


def _is_file(name: str) -> bool:
    try:
        return Path(name).expanduser().is_file()
    except (OSError, RuntimeError, ValueError):  # too long a name, no such user's home, a null character
        return False


def _read(path: Path) -> Any:
    """What a file holds: a tensor, a dict of them, or something else; None if its kind isn't known."""
    match path.suffix.lower():
        case ".npy" | ".npz":
            import numpy

            if path.suffix.lower() == ".npy":  # mapped first: a header may promise more than the file holds
                return _from_numpy(numpy.load(path, allow_pickle=False, mmap_mode="r").copy())
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(member.file_size for member in archive.infolist())
            demand(unpacked, f"{path}, unpacked,", "choose a smaller file")
            with numpy.load(path, allow_pickle=False) as held:
                return {key: _from_numpy(held[key]) for key in held.files}
        case ".pt" | ".pth":
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError:
                raise ValueError("it holds more than tensors and plain values, or is damaged") from None
        case ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
    return None


def _from_numpy(array: Any) -> Tensor:
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))  # torch has no other byte order
