"""The sizes that a graph is measured on: those that its file fixes, and those that the user gives for the open ones.

A size without a number is open in the file: it has a name (`batch`), or not even that. `--input x=8x3x224x224` gives
all sizes of an input, `--input 3x224x224` and `--input 224` those behind the batch or the square, `--input tokens=128`
an open size by its name, `--batch 8` the first size of every input. Where only first sizes are open they are 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from archlab.errors import InputError, nearest
from archlab.onnx.reading import DTYPES, GraphInput, Model
from archlab.records import Shape

_FORMS = "224 (a square), 3x224x224, 1x3x224x224 or NAME=1x128:int64"
_BODY = re.compile(r"(?P<sizes>[^:=]+)(?::(?P<dtype>\w+))?", re.DOTALL)
_DIGITS = 18
"""Sizes of more digits don't fit into 64 bits, which is all that ONNX has for them."""


def shape_text(sizes: Sequence[int | str]) -> str:
    """Sizes as people write them, open ones by name: `batchx3x224x224` reads badly, so names stand in brackets.

    >>> shape_text(("batch", 3, "", 224))
    '[batch]x3x[?]x224'
    """
    return "x".join(f"[{size or '?'}]" if isinstance(size, str) else str(size) for size in sizes) or "no sizes"


class Sizes:
    """Collects what is given, and says what each input's shape is."""

    def __init__(self, model: Model, batch: int | None) -> None:
        if batch is not None and batch < 1:
            raise InputError(f"the batch is {batch}: it must be 1 or more")
        self.source = model.source
        self.inputs = {item.name: item for item in model.inputs}
        self.batch = batch
        self.given: dict[str, Shape] = {}
        self.symbols: dict[str, int] = {}
        """Open sizes by name, as far as they are given."""

    def shapes(self) -> dict[str, Shape]:
        """The shape of each input, in the file's order.

        Raises:
            InputError: a size stays open, or two that are given contradict each other or the file.
        """
        if self.batch is not None and not self.inputs:
            raise InputError(f"the batch is {self.batch}, and {self.source} takes no input: leave it out")
        for item in self.inputs.values():
            self._bind(item)
        found: dict[str, Shape] = {}
        missing: list[GraphInput] = []
        for item in self.inputs.values():
            shape = self.given.get(item.name) or self._completed(item)
            if shape is None:
                missing.append(item)
            else:
                found[item.name] = shape
        if missing:
            raise self._open(missing)
        return found

    def _open(self, missing: Sequence[GraphInput]) -> InputError:
        listed = [f"{item.name}={shape_text(item.sizes) if item.sizes is not None else '[?]'}" for item in missing]
        sizes = missing[0].sizes or ("N",)
        example = "x".join(str(size) if isinstance(size, int) else "N" for size in sizes)
        names = [size for size in sizes[1:] if isinstance(size, str) and size not in self.symbols]
        by_name = f", or by name, as in --input {names[0]}=N" if names and names[0] else ""
        return InputError(
            f"{self.source} leaves sizes open: {', '.join(listed)}. Give them as in --input "
            f"{missing[0].name}={example}{by_name}"
        )

    def _bind(self, item: GraphInput) -> None:
        """Takes the open sizes' numbers from an input that is given, or from the batch."""
        if self.batch is not None:
            shape = self.given.get(item.name)
            first = item.sizes[0] if item.sizes else ""
            if shape:
                self.given[item.name] = (self.batch, *shape[1:])
            elif first:
                self._set(item, 0, self.batch)
        for axis, size in enumerate(self.given.get(item.name, ())):
            self._set(item, axis, size)

    def _set(self, item: GraphInput, axis: int, size: int) -> None:
        declared = item.sizes[axis] if item.sizes is not None else ""
        if isinstance(declared, int) and declared != size:
            raise InputError(
                f"{self.source} fixes {item.name} at {shape_text(item.sizes or ())}: its size {declared} can't become "
                f"{size}. Export it with an open size, or measure the network itself"
            )
        if isinstance(declared, str) and declared and self.symbols.setdefault(declared, size) != size:
            raise InputError(
                f"the size {declared!r} of {self.source} is given as {self.symbols[declared]} and as {size} (by "
                f"{item.name}): give one number"
            )

    def _completed(self, item: GraphInput) -> Shape | None:
        if item.sizes is None:
            return None
        sizes = [self.symbols.get(size, size) if isinstance(size, str) else size for size in item.sizes]
        if sizes and isinstance(sizes[0], str):
            sizes[0] = self.batch or 1
        numbers = [size for size in sizes if isinstance(size, int)]
        return tuple(numbers) if len(numbers) == len(sizes) else None

    def add(self, name: str, shape: Sequence[int], dtype: str = "", *, is_short: bool = False) -> None:
        """Takes one input's shape, or, where no input has that name, the open size of that name.

        Raises:
            InputError: there is no such name, it is given already, or the sizes don't fit.
        """
        item = self.inputs.get(name)
        if item is None:
            names = {size for other in self.inputs.values() for size in other.sizes or () if isinstance(size, str)}
            if name not in names or not name or len(shape) != 1 or dtype:
                known = {*self.inputs, *names} - {""}
                raise InputError(f"{self.source} has no input and no open size {name!r}: {nearest(name, known)}")
            if self.symbols.setdefault(name, shape[0]) != shape[0]:
                raise InputError(f"the size {name!r} is given twice, as {self.symbols[name]} and as {shape[0]}")
            return
        if name in self.given:
            raise InputError(f"the input {name!r} is given twice: leave one of them out")
        if dtype and item.dtype and dtype != item.dtype:
            raise InputError(f"the input {name!r} of {self.source} holds {item.dtype}, and {dtype} was given")
        self.given[name] = _full(item, tuple(shape), is_short)

    def add_next(self, shape: Sequence[int], dtype: str = "", *, is_short: bool = False) -> None:
        """Takes the shape of the first input that has none yet, in the file's order."""
        name = next((name for name in self.inputs if name not in self.given), None)
        if name is None:
            takes = ", ".join(f"{item.name} {shape_text(item.sizes or ())}" for item in self.inputs.values()) or "none"
            raise InputError(f"{len(self.given) + 1} inputs are given, and {self.source} takes {takes}")
        self.add(name, shape, dtype, is_short=is_short)


def _full(item: GraphInput, shape: Shape, is_short: bool) -> Shape:
    """An input's whole shape, of one that may lack the batch, or the batch and the channels."""
    declared = item.sizes
    if declared is None or len(shape) == len(declared):
        return shape
    first = declared[0] if declared and isinstance(declared[0], int) else 1
    if is_short and len(shape) == len(declared) - 1:
        return (first, *shape)
    if is_short and len(shape) == 1 and len(declared) >= 3 and isinstance(declared[1], int):
        return (first, declared[1], *shape * (len(declared) - 2))
    raise InputError(
        f"the input {item.name!r} was given as {shape_text(shape)}, expected {len(declared)} sizes as in "
        f"{shape_text(declared)}"
    )


def input_shapes(model: Model, inputs: object, batch: int | None) -> tuple[dict[str, Shape], dict[str, int]]:
    """The shape of each input, and the numbers of the open sizes that have names.

    Args:
        model: what declares the inputs.
        inputs: None for the file's own sizes; a text as on the command line; a shape or anything with a `shape`; a
            sequence of these in the order of the inputs; a mapping from names of inputs, or of open sizes, to these.
        batch: the first size of every input.

    Raises:
        InputError: a size stays open, can't be read, or contradicts the file.
    """
    sizes = Sizes(model, batch)
    if inputs is None:
        inputs = []
    if isinstance(inputs, Mapping):
        for name, value in inputs.items():
            if isinstance(value, str):
                shape, dtype, _ = _parsed(value)
            elif isinstance(value, int):
                shape, dtype = (value,), ""
            else:
                shape, dtype = _shape_of(value)
            sizes.add(str(name), shape, dtype)
    else:
        is_one = isinstance(inputs, (str, int)) or hasattr(inputs, "shape") or _is_shape(inputs)
        if not is_one and not isinstance(inputs, Sequence):
            raise InputError(f"the inputs are {inputs!r}, expected a list of shapes, or a dict from names to shapes")
        listed: Any = [inputs] if is_one and not (isinstance(inputs, list) and len(inputs) == 1) else inputs
        for value in listed:
            _add(sizes, value)
    return sizes.shapes(), sizes.symbols


def _add(sizes: Sizes, value: object) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        sizes.add_next((value,), is_short=True)
    elif not isinstance(value, str):
        sizes.add_next(*_shape_of(value))
    elif value.strip() == "none":
        if sizes.inputs:
            raise InputError(f"{sizes.source} takes {', '.join(sizes.inputs)}: leave --input none out")
    else:
        name, mark, body = value.partition("=")
        shape, dtype, is_short = _parsed(body if mark else value, value)
        if mark:
            sizes.add(name.strip(), shape, dtype)
        else:
            sizes.add_next(shape, dtype, is_short=is_short)


def _parsed(body: str, text: str = "") -> tuple[Shape, str, bool]:
    """Sizes and element type of a text, and whether it may be short for a whole shape."""
    text = text or body
    match = _BODY.fullmatch(body.strip())
    if match is None:
        raise InputError(
            f"the input {text!r} can't be read: expected {_FORMS}. A graph is measured by its shapes alone, so values "
            "can't be given"
        )
    words = match["sizes"].strip().replace("×", "x").lower().split("x")
    if not all(word.isdecimal() and len(word) <= _DIGITS and int(word) > 0 for word in words):
        raise InputError(f"the input {text!r} can't be read: expected sizes of 1 or more, as in {_FORMS}")
    dtype = match["dtype"] or ""
    if dtype and dtype not in DTYPES.values():
        raise InputError(f"the input {text!r} has an unknown element type: {nearest(dtype, DTYPES.values())}")
    return tuple(map(int, words)), dtype, not dtype


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str)
        and bool(value)
        and all(isinstance(size, int) and not isinstance(size, bool) for size in value)
    )


def _shape_of(value: object) -> tuple[Shape, str]:
    shape: Any = getattr(value, "shape", value)
    if not (_is_shape(shape) or (shape is not value and len(shape) == 0)) or any(size < 1 for size in shape):
        raise InputError(f"the input {value!r} is no shape: expected sizes of 1 or more, (1, 3, 224, 224) for instance")
    dtype = str(getattr(value, "dtype", "")).removeprefix("torch.")
    return tuple(int(size) for size in shape), dtype
