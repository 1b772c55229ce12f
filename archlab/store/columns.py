"""Looks as bytes, column by column: the form in which they are kept in the index, and come from another process.

Whether folders are as they were is seen from names and stamps alone, and of the runs those are read that are asked for.
What runs share, their setups, stands beside the columns, by numbers that are made of their content.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from archlab.errors import StoreError
from archlab.records.entry import Entry, Setup
from archlab.records.run import Status
from archlab.store.look import LARGEST, Look, Stamp, is_partial, stamps_of

VERSION = 1
"""Another number where the columns are others, or mean something else."""
_MISSING = (-1, -1, -1, -1)
"""Stands for the stamp of a file that is not there."""
_Number = float | None
_Row = tuple[Status, int, int, int, int, _Number, _Number, _Number, _Number, _Number, _Number]
"""Of an entry: its status, the place of its setup among those of the columns, and what follows the setup."""
_ROW, _ROWS = msgspec.msgpack.Decoder(_Row), msgspec.msgpack.Decoder(list[_Row])
_RAW = msgspec.msgpack.Decoder(list[msgspec.Raw])


class Columns(msgspec.Struct, array_like=True, gc=False):
    """Looks at folders of ended runs: first of the runs that can be read, then of the others."""

    names: list[str]
    stamps: bytes
    """Four numbers of 8 bytes each, in this machine's order: another machine's are as those of changed folders."""
    created: list[str]
    """Of the runs that can be read."""
    setups: list[int]
    """Their numbers."""
    rows: msgspec.Raw
    """The rest of their entries."""
    errors: list[str]
    """Why the others can't be read."""

    @property
    def unreadable(self) -> Iterator[tuple[str, str]]:
        """Names of the runs that can't be read, and why."""
        return zip(self.names[len(self.created) :], self.errors, strict=True)

    def are_current(self, root: str) -> bool:
        """Whether all folders are as they were."""
        now = array("q")
        for stamp in stamps_of(root, self.names):
            now.extend(stamp or _MISSING)
        return now.tobytes() == self.stamps

    def entries(self, known: Mapping[int, Setup]) -> list[Entry]:
        """The runs that can be read.

        Args:
            known: all setups by their numbers.

        Raises:
            StoreError: they are not what was written, or a setup is missing.
        """
        try:
            setups = [known[number] for number in self.setups]
            found = zip(self.names, self.created, _ROWS.decode(self.rows), strict=False)
            return [_entry(name, created, row, setups[row[1]]) for name, created, row in found]
        except (msgspec.MsgspecError, LookupError) as error:
            raise StoreError(str(error)) from error

    def some_entries(self, places: Iterable[int], known: Mapping[int, Setup]) -> list[Entry]:
        """Those in these places alone; raises as `entries` does."""
        try:
            raw = _RAW.decode(self.rows)
            rows = [(at, _ROW.decode(raw[at])) for at in places]
            return [_entry(self.names[at], self.created[at], row, known[self.setups[row[1]]]) for at, row in rows]
        except (msgspec.MsgspecError, LookupError) as error:
            raise StoreError(str(error)) from error

    def looks(self, known: Mapping[int, Setup]) -> dict[str, Look]:
        """All looks by their names; raises as `entries` does."""
        numbers = iter(array("q", self.stamps))
        stamps: list[Stamp] = list(zip(numbers, numbers, numbers, numbers, strict=True))
        looks = [*((entry, "") for entry in self.entries(known)), *((None, error) for error in self.errors)]
        if not len(stamps) == len(looks) == len(self.names):
            raise StoreError("columns differ in their length")
        made: Any = tuple.__new__  # as in `_entry`
        found = zip(self.names, stamps, looks, strict=True)
        return {name: made(Look, (stamp, entry, error)) for name, stamp, (entry, error) in found}


_COLUMNS = msgspec.msgpack.Decoder(Columns)


def fits(name: str, look: Look) -> bool:
    """Whether columns can hold a look: of an ended run, where something says when it changes."""
    if look.stamp is None or is_partial(name) or not (name.isascii() or _is_text(name)):
        return False
    return look.entry is None or (look.entry.seed <= LARGEST and look.entry.parameters <= LARGEST)


def numbered(looks: Iterable[Look]) -> dict[Setup, int]:
    """The setups of looks, with their numbers."""
    return {setup: number_of(setup) for setup in {look.entry.setup for look in looks if look.entry is not None}}


def number_of(setup: Setup) -> int:
    """Made of the content, so that no number ever means another setup than it did."""
    digest = hashlib.sha256(f"{setup.text}\0{setup.watched}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def encode(looks: Mapping[str, Look], numbers: Mapping[Setup, int]) -> bytes:
    """Looks that fit, by their names, as bytes."""
    entries = {name: look.entry for name, look in looks.items() if look.entry is not None}
    others = {name: look.error for name, look in looks.items() if look.entry is None}
    names = [*entries, *others]
    stamps = array("q")
    for name in names:
        stamps.extend(looks[name].stamp or _MISSING)  # type: ignore[arg-type]  # that of an ended run
    places = {setup: place for place, setup in enumerate(dict.fromkeys(entry.setup for entry in entries.values()))}
    rows = [(entry.status, places[entry.setup], *entry[Entry._fields.index("seed") :]) for entry in entries.values()]
    created = [entry.created for entry in entries.values()]
    found = [numbers[setup] for setup in places]
    return msgspec.msgpack.encode((names, stamps.tobytes(), created, found, rows, list(others.values())))


def decode(content: bytes) -> Columns:
    """The columns that are in bytes.

    Raises:
        StoreError: there are none in them.
    """
    try:
        return _COLUMNS.decode(content)
    except msgspec.MsgspecError as error:
        raise StoreError(str(error)) from error


def _entry(name: str, created: str, row: Any, setup: Setup) -> Entry:
    made: Any = tuple.__new__  # a third of the time of a call of the class, of which there are tens of thousands
    entry: Entry = made(Entry, (name, row[0], created, setup, *row[2:]))
    return entry


def _is_text(name: str) -> bool:
    """Whether UTF-8 can hold a name, which a file system may have taken from any bytes."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False
