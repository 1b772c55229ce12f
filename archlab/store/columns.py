"""Looks as bytes, column by column: the form in which they are kept in the index, and come from another process.

It is read in a tenth of the time that as many rows of a table take. What runs share, their setups, stands beside it, by
numbers that are made of their content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat

import msgspec

from archlab.records.entry import Entry, Setup
from archlab.records.run import Status
from archlab.store.look import LARGEST, Look, is_partial

_NUMBERS = 4
"""In a stamp."""


class Columns(msgspec.Struct, array_like=True, gc=False):
    """Looks at folders of ended runs: each list but the last has an item for each run that can be read."""

    stamps: list[list[int]]
    names: list[str]
    statuses: list[Status]
    created: list[str]
    setups: list[int]
    seeds: list[int]
    done: list[int]
    parameters: list[int]
    measures: list[list[float | None]]
    unreadable: list[tuple[str, tuple[int, int, int, int], str]]
    """Name, stamp and reason of the others."""


_COLUMNS = msgspec.msgpack.Decoder(Columns)


def fits(name: str, look: Look) -> bool:
    """Whether columns can hold a look: of an ended run, where something says when it changes."""
    if look.stamp is None or is_partial(name) or not _is_text(name):
        return False
    return look.entry is None or max(look.entry.seed, look.entry.parameters) <= LARGEST


def numbered(looks: Iterable[Look]) -> dict[Setup, int]:
    """The setups of looks, with their numbers."""
    return {setup: number_of(setup) for setup in {look.entry.setup for look in looks if look.entry is not None}}


def number_of(setup: Setup) -> int:
    """Made of the content, so that no number ever means another setup than it did."""
    digest = hashlib.sha256(f"{setup.text}\0{setup.watched}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def encode(looks: Mapping[str, Look], numbers: Mapping[Setup, int]) -> bytes:
    """Looks that fit, by their names, as bytes."""
    readable = [(look.stamp, look.entry) for look in looks.values() if look.entry is not None]
    columns = list(zip(*(entry for _, entry in readable), strict=True)) or [()] * len(Entry._fields)
    names, statuses, created, setups, seeds, done, parameters, *measures = columns
    stamps = list(zip(*(stamp for stamp, _ in readable), strict=True)) or [()] * _NUMBERS
    unreadable = [(name, look.stamp, look.error) for name, look in looks.items() if look.entry is None]
    found = [numbers[setup] for setup in setups]
    return msgspec.msgpack.encode(
        (stamps, names, statuses, created, found, seeds, done, parameters, measures, unreadable)
    )


def decode(content: bytes, setups: Mapping[int, Setup]) -> Iterator[tuple[str, Look]]:
    """The names and looks that are in bytes.

    Args:
        content: what `encode` gave.
        setups: by their numbers.

    Raises:
        ValueError: there are none in them, or a setup is missing.
    """
    try:
        found = _COLUMNS.decode(content)
        shared = [setups[number] for number in found.setups]
    except (msgspec.MsgspecError, KeyError) as error:
        raise ValueError(str(error)) from error
    columns = (found.names, found.statuses, found.created, shared, found.seeds, found.done, found.parameters)
    entries = map(Entry._make, zip(*columns, *found.measures, strict=True))
    looks = map(Look._make, zip(zip(*found.stamps, strict=True), entries, repeat("")))
    yield from zip(found.names, looks, strict=True)
    for name, stamp, error in found.unreadable:
        yield name, Look(stamp, None, error)


def _is_text(name: str) -> bool:
    """Whether UTF-8 can hold a name, which a file system may have taken from any bytes."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
