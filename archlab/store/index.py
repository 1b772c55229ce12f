"""The index of a store: what lists say of ended runs, where there are many, so that 30,000 folders needn't be read each
time; and which answers were found to questions, so that they needn't be sought again.

It is a file beside the runs, in SQLite with a write-ahead log, and never the truth: a look counts only while the stamp
of its folder's run.json is the one that it was made of. It can be deleted at any time. One that is damaged or of
another archlab is thrown away and made anew; one that is locked, or can't be read or written, is as none.
"""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from archlab.errors import StoreError
from archlab.records import Epoch, Run, TrainingConfig
from archlab.records.entry import Entry, Setup
from archlab.store import columns

if TYPE_CHECKING:
    from archlab.store.columns import Columns
    from archlab.store.listed import Setups
    from archlab.store.look import Look

INDEX = ".index.sqlite"
BUSY_SECONDS = 1.0
"""How long another process's writing is waited for."""
PARTS = 32
"""Into which looks are divided, by the hashes of their names: what has changed is written part by part."""
TABLES = (
    "CREATE TABLE setups (id INTEGER PRIMARY KEY, config TEXT NOT NULL, watched TEXT NOT NULL)",
    "CREATE TABLE setups_hash (hash BLOB NOT NULL)",
    "CREATE TABLE parts (id INTEGER PRIMARY KEY, hash BLOB NOT NULL, content BLOB NOT NULL)",
    "CREATE TABLE answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
)


R = TypeVar("R")


class _UnusableError(Exception):
    """The index can't be used and is to be thrown away: it is damaged, or another archlab's."""


class Indexed(NamedTuple):
    """What is known of the folders of ended runs."""

    parts: list[Columns]
    setups: Mapping[int, Setup]
    """By the numbers that the parts name."""

    def looks(self) -> dict[str, Look]:
        """All of them read, by their names."""
        return {name: look for part in self.parts for name, look in part.looks(self.setups).items()}


class Index:
    """The index in a store's folder; what can't be read or written of it is left undone without a word.

    Args:
        store: the folder; nothing is made before something is written.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / INDEX

    def read(self, setups: Setups) -> Indexed:
        """What is known of the folders of ended runs; nothing where no index can be read."""
        return self._read(lambda index: _indexed(index, setups)) or Indexed([], {})

    def answers(self, questions: Collection[str]) -> dict[str, str]:
        """Question -> the answer that was kept, of those that have one."""
        return self._read(lambda index: _answers(index, questions)) or {}

    def write(self, looks: Mapping[str, Look], changed: Collection[str]) -> None:
        """Keep what was found of folders, at once or not at all.

        Args:
            looks: at all folders whose runs have ended and fit into columns.
            changed: the names of those that are new or were changed, or are gone.
        """
        self._write(lambda index: _keep_looks(index, looks, {_place(name) for name in changed}))

    def keep_answers(self, found: Mapping[str, str]) -> None:
        """Keep answers to questions."""
        if found:
            self._write(
                lambda index: index.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", list(found.items()))
            )

    def _read(self, ask: Callable[[sqlite3.Connection], R]) -> R | None:
        for how in ("", "?immutable=1"):  # the second way needs no file beside it, which somebody else's store may bar
            if not self._path.exists():
                return None
            try:
                with self._opened(how) as index:
                    if index.execute("PRAGMA user_version").fetchone() != (_version(),):
                        raise _UnusableError("another archlab's")
                    index.execute("BEGIN")  # one state of all tables
                    return ask(index)
            except _UnusableError:
                self._discard()
                return None
            except (sqlite3.Error, OSError):
                continue
        return None

    def _write(self, change: Callable[[sqlite3.Connection], object]) -> None:
        for _ in range(2):
            try:
                with self._opened() as index:
                    _begin(index)
                    change(index)
                    index.execute("COMMIT")
                return
            except _UnusableError:
                self._discard()
            except (sqlite3.Error, OSError):
                return

    @contextmanager
    def _opened(self, how: str = "") -> Iterator[sqlite3.Connection]:
        """The database, closed again at the end.

        Raises:
            _UnusableError: it is damaged, or another archlab's.
            sqlite3.Error: it can't be had now.
        """
        address = f"{self._path.absolute().as_uri()}{how}"
        try:
            index = sqlite3.connect(address, timeout=BUSY_SECONDS, isolation_level=None, uri=True)
            try:
                yield index
            finally:
                index.close()
        except sqlite3.OperationalError:  # which says nothing against the file: it is locked, the disk is full
            raise
        except (sqlite3.DatabaseError, StoreError, ValueError, TypeError) as error:
            raise _UnusableError(str(error)) from error

    def _discard(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(f"{INDEX}{ending}").unlink(missing_ok=True)


def _version() -> int:
    """Changes with what a row holds, and with what makes a run readable."""
    kinds = (Run, Epoch, TrainingConfig)
    declared = [[(item.name, str(item.type)) for item in fields(kind)] for kind in kinds]
    known = [TABLES, columns.VERSION, Entry._fields, *declared]
    return zlib.crc32(repr(known).encode()) & 0x7FFFFFFF


def _answers(index: sqlite3.Connection, questions: Collection[str]) -> dict[str, str]:
    found = {}
    for question in questions:
        row = index.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        if row is not None:
            found[question] = row[0]
    return found


class _Shared(dict[int, Setup]):
    """Setups by their numbers, each made when it is asked for: a list shows a few of thousands."""

    def __init__(self, texts: Mapping[int, tuple[str, str]], setups: Setups) -> None:
        super().__init__()
        self._texts, self._setups = texts, setups

    def __missing__(self, number: int) -> Setup:
        setup = self[number] = self._setups.kept(Setup(*self._texts[number]))
        return setup


def _indexed(index: sqlite3.Connection, setups: Setups) -> Indexed:
    texts = _whole_texts(index)
    parts = []
    for digest, content in index.execute("SELECT hash, content FROM parts"):
        if hashlib.sha256(content).digest() != digest:
            raise _UnusableError("its bytes are not those that were written")
        parts.append(columns.decode(content))
    if not all(number in texts for part in parts for number in part.setups):
        raise _UnusableError("a setup is missing")
    return Indexed(parts, _Shared(texts, setups))


def _whole_texts(index: sqlite3.Connection) -> dict[int, tuple[str, str]]:
    """The texts of all setups by their numbers.

    Raises:
        _UnusableError: they are not those that were written.
    """
    texts, digest = _texts(index)
    if index.execute("SELECT hash FROM setups_hash").fetchall() != [(digest,)]:
        raise _UnusableError("the setups are not those that were written")
    return texts


def _texts(index: sqlite3.Connection) -> tuple[dict[int, tuple[str, str]], bytes]:
    """The texts of all setups by their numbers, and a hash of it all."""
    rows = index.execute("SELECT id, config, watched FROM setups ORDER BY id").fetchall()
    whole = "\0".join([str(value) for row in rows for value in row])
    return {number: (config, watched) for number, config, watched in rows}, hashlib.sha256(whole.encode()).digest()


def _begin(index: sqlite3.Connection) -> None:
    """Begin to change the database, whose tables are made where there are none."""
    index.execute("PRAGMA journal_mode = WAL")
    index.execute("PRAGMA synchronous = NORMAL")  # what was written last may be lost, and is made anew
    index.execute("BEGIN IMMEDIATE")
    version = index.execute("PRAGMA user_version").fetchone()
    if version == (0,):
        for table in TABLES:
            index.execute(table)
        index.execute("INSERT INTO setups_hash VALUES (?)", (_texts(index)[1],))
        index.execute(f"PRAGMA user_version = {_version()}")
    elif version != (_version(),):
        raise _UnusableError("another archlab's")


def _keep_looks(index: sqlite3.Connection, looks: Mapping[str, Look], places: Collection[int]) -> None:
    parts: dict[int, dict[str, Look]] = {place: {} for place in places}
    for name, look in looks.items():
        place = _place(name)
        if place in parts:
            parts[place][name] = look
    _whole_texts(index)  # what is damaged shall get no hash
    numbers = columns.numbered(look for part in parts.values() for look in part.values())
    index.executemany(
        "INSERT OR IGNORE INTO setups VALUES (?, ?, ?)",
        [(number, setup.text, setup.watched) for setup, number in numbers.items()],
    )
    index.execute("UPDATE setups_hash SET hash = ?", (_texts(index)[1],))
    for place, part in parts.items():
        content = columns.encode(part, numbers)
        row = (place, hashlib.sha256(content).digest(), content)
        index.execute("INSERT OR REPLACE INTO parts VALUES (?, ?, ?)", row)


def _place(name: str) -> int:
    """Of which part a look is."""
    return zlib.crc32(name.encode(errors="surrogateescape")) % PARTS
