"""The texts that name an input: `96`, `ids=1x128:int64`, `lengths=2:int64=6,4`, `scale=0.5`."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

import torch

from archlab.errors import InputError, nearest
from archlab.records import Shape
from archlab.tracing.inputs import values
from archlab.tracing.inputs.parameters import Kind
from archlab.tracing.inputs.shorthand import completed, unknown

_NAME = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<body>.*)", re.DOTALL)
_SHAPE = re.compile(r"(?P<shape>[^:=]*)(?::(?P<dtype>\w+))?(?:=(?P<values>.+))?", re.DOTALL)
_FORMS = "96 (a square), 3x224x224, 1x3x224x224 or NAME=1x128:int64"
_SIZE_DIGITS = 18
"""Sizes of more digits don't fit into 64 bits, which is all that torch has for them."""
_CONSTANTS: dict[str, bool | float | None] = {"True": True, "true": True, "False": False, "false": False}
_CONSTANTS |= {word: float(word) for word in ("inf", "-inf", "nan")}  # which Python has no literals for
_FRACTION = re.compile(r"(\d+\.\d*|\.\d+|\d+(?=e))(e[+-]?\d+)?", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z_][\w.\-/]*")


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a network: its shape with the batch, and what is known beside it."""

    shape: Shape
    name: str = ""
    """The keyword that it is given by; empty for a positional one."""
    dtype: torch.dtype | None = None
    """None for the network's own floating-point type, or what the values need."""
    values: str = ""
    """What the tensor is filled with, as `archlab.tracing.inputs.values` reads it; empty for no values."""


@dataclass(frozen=True, slots=True)
class AsIs:
    """An argument that is handed to the network as it is: no shape and no text that describes a tensor.

    `trace(network, {"x": (1, 3, 8, 8), "grid": AsIs((16, 16))})` calls `network(x=<tensor>, grid=(16, 16))`.
    """

    value: Any


def split(text: str) -> tuple[str, str]:
    """The name in front of a text, empty if there is none, and the rest.

    >>> split("ids=1x128:int64=ones")
    ('ids', '1x128:int64=ones')
    """
    match = _NAME.fullmatch(text.strip())
    assert match is not None  # any text matches
    return match["name"] or "", match["body"].strip()


def parse_input(spec: str, default: Shape = (), *, is_short: bool = True) -> Input:
    """The tensor that a text describes.

    Args:
        spec: `96` (square, the default's own channels, batch 1), `3x224x224` (batch 1), `1x3x224x224`, each with
            `NAME=` in front, `:dtype` and `=VALUES` behind. With any of these three the shape is given in full; without
            sizes, as in `step=:int64`, it is a tensor of a single number and no dimension.
        default: shape with the batch that the network was made for; empty if that isn't known.
        is_short: whether the shape may leave the batch and the channels out; it is completed by the rule in
            `archlab.tracing.inputs.shorthand`.

    Raises:
        InputError: the text can't be read, or doesn't fit the default.

    >>> parse_input("96", (1, 3, 224, 224)).shape
    (1, 3, 96, 96)
    >>> parse_input("lengths=2:int64=6,4")
    Input(shape=(2,), name='lengths', dtype=torch.int64, values='6,4')
    """
    name, body = split(spec)
    match = _SHAPE.fullmatch(body)
    if match is None:
        raise InputError(f"the input {spec!r} can't be read: expected {_FORMS}")
    content = (match["values"] or "").strip()
    written = match["shape"].strip()
    if not written and match["dtype"]:
        return Input((), name, _dtype(match["dtype"], spec), content)
    words = written.replace("×", "x").lower().split("x")
    if not all(word.isdecimal() and len(word) <= _SIZE_DIGITS for word in words):
        raise InputError(f"the input {spec!r} can't be read: {written!r} is no size, expected {_FORMS}")
    sizes = tuple(int(word) for word in words)
    if 0 in sizes:
        raise InputError(f"the input {spec!r} has a size of 0: every size must be 1 or more, as in {_FORMS}")
    if is_short and not (name or match["dtype"] or content):
        if len(sizes) == 1 and not default:
            raise unknown(spec)
        sizes = completed(sizes, default, spec)
    return Input(sizes, name, _dtype(match["dtype"], spec), content)


def read(text: str, default: Shape, kind: Kind, *, is_first: bool) -> Input | AsIs:
    """What a text stands for at its place among the arguments: a tensor, or a value as it is.

    Values are written as in Python (`0.5`, `+3`, `'a word'`, `(16, 16)`, `None`); a word needs no quotation marks
    where it has a name or isn't the first. A whole number without a sign is a shape, unless the network's `forward`
    says by a default or an annotation that it takes a number there. `6,4` is a tensor with these values.

    Args:
        text: all that the user typed.
        default: shape that the network was made for; empty if that isn't known.
        kind: what `forward` takes there.
        is_first: whether it is the first positional argument, which alone may be shorthand without a default.

    Raises:
        InputError: the text can't be read.
    """
    name, body = split(text)
    if body == "None" or (body == "none" and kind != "text"):
        return AsIs(None)
    if body in _CONSTANTS and kind in ("value", "unknown"):
        return AsIs(_CONSTANTS[body])
    if kind == "text" and body and body[0] not in "'\"":
        return AsIs(body)
    if kind == "value":
        try:
            return AsIs(ast.literal_eval(body))
        except (ValueError, SyntaxError):
            pass
    is_written = body[:1] in set("'\"([{+-") or _FRACTION.fullmatch(body)
    if kind != "tensor" and is_written and not values.are_numbers(body):
        return AsIs(_literal(body, text))
    if values.are_numbers(body.removeprefix("=")):
        body = body.removeprefix("=")
        return Input((values.count(body),), name, None, body)
    if body in values.WORDS or body.startswith(("randint(", "=")):
        raise InputError(
            f"the input {text!r} has values and no shape: give it in front, as in "
            f"{name + '=' if name else ''}1x128:int64={body.removeprefix('=')}"
        )
    if kind != "tensor" and (name or not is_first) and _WORD.fullmatch(body):
        return AsIs(body)
    return parse_input(text, default, is_short=is_first or bool(default))


def _literal(body: str, text: str) -> Any:
    try:
        return ast.literal_eval(body)
    except (ValueError, SyntaxError):
        raise InputError(
            f"the input {text!r} can't be read: {body!r} is no value, expected one as Python writes it (0.5, +3, "
            f"'a word', (16, 16), None) or a shape: {_FORMS}"
        ) from None


def _dtype(name: str | None, text: str) -> torch.dtype | None:
    if name is None:
        return None
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        known = [f"{kind}{bits}" for kind in ("int", "float", "complex") for bits in (8, 16, 32, 64, 128)]
        known = [key for key in (*known, "uint8", "bool", "bfloat16") if hasattr(torch, key)]
        raise InputError(
            f"the input {text!r} has an element type {name!r}, which there is none of: {nearest(name, known)}"
        )
    return dtype
