"""The index of a store: what lists say of ended runs, where there are many, so that 30,000 folders needn't be read each
time; and which answers were found to questions, so that they needn't be sought again.

It is a file beside the runs, in SQLite with a write-ahead log, and never the truth: a row counts only while the stamp
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
from typing import TYPE_CHECKING, TypeVar

from archlab.records import Epoch, Run, TrainingConfig
from archlab.records.entry import MEASURES, Entry, Setup
from archlab.store.look import Look, is_partial

if TYPE_CHECKING:
    from archlab.store.listed import Setups

INDEX = ".index.sqlite"
BUSY_SECONDS = 1.0
"""How long another process's writing is waited for."""
COLUMNS = (
    *("name", "mtime", "ctime", "size", "inode", "error"),
    *("status", "created", "setup", "seed", "done", "parameters", *MEASURES),
)
TABLES = (
    "CREATE TABLE setups (id INTEGER PRIMARY KEY, config TEXT NOT NULL, watched TEXT NOT NULL)",
    f"CREATE TABLE runs (name TEXT PRIMARY KEY, {', '.join(COLUMNS[1:])}) WITHOUT ROWID",
    "CREATE TABLE answers (question TEXT PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID",
)
STAMPED = 5
"""The first columns: the name, and the stamp."""
SETUP = COLUMNS.index("setup")


R = TypeVar("R")


class _UnusableError(Exception):
    """The index can't be used and is to be thrown away: it is damaged, or another archlab's."""


class Index:
    """The index in a store's folder; what can't be read or written of it is left undone without a word.

    Args:
        store: the folder; nothing is made before something is written.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / INDEX

    def read(self, setups: Setups) -> dict[str, Look]:
        """What is known of the folders of ended runs, by their names; nothing where no index can be read."""
        return self._read(lambda index: _looks(index, setups)) or {}

    def answers(self, questions: Collection[str]) -> dict[str, str]:
        """Question -> the answer that was kept, of those that have one."""
        return self._read(lambda index: _answers(index, questions)) or {}

    def write(self, looks: Mapping[str, Look], gone: Collection[str]) -> None:
        """Keep what was found of folders (`is_kept`), and forget those that are gone, at once or not at all."""
        self._write(lambda index: _keep_looks(index, looks, gone))

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
        except (sqlite3.DatabaseError, ValueError, TypeError) as error:
            raise _UnusableError(str(error)) from error

    def _discard(self) -> None:
        for ending in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._path.with_name(f"{INDEX}{ending}").unlink(missing_ok=True)


def is_kept(name: str, look: Look) -> bool:
    """Whether the index keeps a look: of a run that has ended, where something says when it changes."""
    return look.stamp is not None and not is_partial(name)


def _version() -> int:
    """Changes with what a row holds, and with what makes a run readable."""
    known = [TABLES, *([(item.name, str(item.type)) for item in fields(kind)] for kind in (Run, Epoch, TrainingConfig))]
    return zlib.crc32(repr(known).encode()) & 0x7FFFFFFF


def _answers(index: sqlite3.Connection, questions: Collection[str]) -> dict[str, str]:
    found = {}
    for question in questions:
        row = index.execute("SELECT answer FROM answers WHERE question = ?", (question,)).fetchone()
        if row is not None:
            found[question] = row[0]
    return found


def _looks(index: sqlite3.Connection, setups: Setups) -> dict[str, Look]:
    shared = {
        number: setups.kept(Setup(config, watched))
        for number, config, watched in index.execute("SELECT id, config, watched FROM setups")
    }
    made, found = tuple.__new__, {}  # half the time of a call of the class, of which there are tens of thousands
    for row in index.execute(f"SELECT {', '.join(COLUMNS)} FROM runs"):
        name, error, setup = row[0], row[STAMPED], row[SETUP]
        if error:
            found[name] = made(Look, (row[1:STAMPED], None, error))
        elif setup in shared:
            entry = made(Entry, (name, *row[STAMPED + 1 : SETUP], shared[setup], *row[SETUP + 1 :]))
            found[name] = made(Look, (row[1:STAMPED], entry, ""))
    return found


def _begin(index: sqlite3.Connection) -> None:
    """Begin to change the database, whose tables are made where there are none."""
    index.execute("PRAGMA journal_mode = WAL")
    index.execute("PRAGMA synchronous = NORMAL")  # what was written last may be lost, and is made anew
    index.execute("BEGIN IMMEDIATE")
    version = index.execute("PRAGMA user_version").fetchone()
    if version == (0,):
        for table in TABLES:
            index.execute(table)
        index.execute(f"PRAGMA user_version = {_version()}")
    elif version != (_version(),):
        raise _UnusableError("another archlab's")


def _keep_looks(index: sqlite3.Connection, looks: Mapping[str, Look], gone: Collection[str]) -> None:
    setups = {look.entry.setup for look in looks.values() if look.entry is not None}
    numbers = {setup: _number(setup) for setup in setups}
    index.executemany(
        "INSERT OR IGNORE INTO setups VALUES (?, ?, ?)",
        [(number, setup.text, setup.watched) for setup, number in numbers.items()],
    )
    index.executemany(
        f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(COLUMNS))})",
        [(name, *look.stamp, look.error, *_cells(look.entry, numbers)) for name, look in looks.items() if look.stamp],
    )
    index.executemany("DELETE FROM runs WHERE name = ?", [(name,) for name in gone])


def _cells(entry: Entry | None, numbers: Mapping[Setup, int]) -> tuple[object, ...]:
    if entry is None:
        return (None,) * (len(COLUMNS) - STAMPED - 1)
    _, status, created, setup, *others = entry
    return status, created, numbers[setup], *others


def _number(setup: Setup) -> int:
    """Made of the content, so that no number ever means another setup than it did."""
    digest = hashlib.sha256(f"{setup.text}\0{setup.watched}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
