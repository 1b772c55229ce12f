"""Damaged bytes and damaged JSON, drawn by hypothesis."""

from __future__ import annotations

import copy
import gzip
import json
import struct
import zlib
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

ODD_TEXTS = ("", " ", "é∂ß", "\x1b[31mred", "a\nb", "\u202e", "<script>", "x" * 3000, "../..", "\0", "nan", "{}", "$a")
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 2**31, -(2**31), 2**63, -(2**63) - 1, 2**64, 10**30, 0.5, -0.5, 1e308, -1e308,
    5e-324, *ODD_TEXTS, [], {}, [[]], [None], [{}], {"": None}, {"a": {"a": {}}}, [1, "a", None], [-1], [0, 0], [10**9],
)  # fmt: skip
"""What is put in the place of a value."""
DEEP = 3000
"""Levels of a value that is nested too deep for whoever reads by recursion."""


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Each container of a document and the name or number of a value in it."""
    pending = [document]
    while pending:
        held = pending.pop()
        if isinstance(held, dict | list):
            for name in list(held) if isinstance(held, dict) else range(len(held)):
                yield held, name
                pending.append(held[name])


@st.composite
def documents(draw: st.DrawFn, whole: Any, most: int = 3) -> bytes:
    """The JSON of a document in which a few values are others, gone, there twice, or one level deeper.

    Args:
        draw: of hypothesis.
        whole: the document, which stays as it is.
        most: changes that are made at most.
    """
    made = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, most))):
        found = list(places(made))
        if not found:
            break
        held, name = found[draw(st.integers(0, len(found) - 1))]
        way = draw(st.sampled_from(("odd", "odd", "odd", "near", "gone", "again", "wrapped", "moved")))
        if way == "odd":
            held[name] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif way == "near" and isinstance(held[name], int | float):
            held[name] = draw(st.sampled_from((held[name] + 1, held[name] - 1, -held[name], held[name] * 1000)))
        elif way == "gone":
            del held[name]
        elif way == "again" and isinstance(held, list):
            held.insert(name, copy.deepcopy(held[name]))
        elif way == "wrapped":
            held[name] = [held[name]]
        else:
            other, place = found[draw(st.integers(0, len(found) - 1))]
            held[name] = copy.deepcopy(other.get(place) if isinstance(other, dict) else (other[place:] or [0])[0])
    text = json.dumps(made)
    if draw(st.integers(0, 30)) == 0:
        text = text.replace("null", "[" * DEEP + "]" * DEEP, 1)
    return text.encode()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes, most: int = 4) -> bytes:
    """Bytes of which a few are others, gone, doubled or moved; or cut off, or followed by more."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(0, most))):
        if not content:
            break
        at = draw(st.integers(0, len(content) - 1))
        size = draw(st.sampled_from((1, 1, 2, 4, 8, 16)))
        way = draw(st.sampled_from(("byte", "bit", "number", "gone", "again", "cut", "more")))
        if way == "byte":
            content[at] = draw(st.integers(0, 255))
        elif way == "bit":
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif way == "number":
            number = draw(st.sampled_from((0, 1, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 100_000)))
            content[at : at + 4] = struct.pack(draw(st.sampled_from("<>")) + "I", number)
        elif way == "gone":
            del content[at : at + size]
        elif way == "again":
            content[at:at] = content[at : at + size]
        elif way == "cut":
            del content[at:]
        else:
            content += draw(st.binary(max_size=16)) * draw(st.sampled_from((1, 1, 1000)))
    return bytes(content)


@st.composite
def packed(draw: st.DrawFn, content: bytes) -> bytes:
    """What gzip makes of bytes, which may be damaged, twice, or a hundred megabytes longer when it is unpacked."""
    more = bytes(10**8) if draw(st.integers(0, 30)) == 0 else b""
    made = gzip.compress(content + more, compresslevel=1)
    made = made * 2 if draw(st.integers(0, 10)) == 0 else made
    return draw(damaged(made)) if draw(st.booleans()) else made


def chunk(kind: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
