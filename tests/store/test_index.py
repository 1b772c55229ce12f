"""The index of a large store says what the folders say, whatever was done to either."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archlab.records import Epoch, Run, TrainingConfig, Watched
from archlab.records.entry import entry_of
from archlab.store import Store, look, looking, open_store, survey
from archlab.store.index import INDEX, Index
from archlab.store.listed import Setups
from archlab.store.survey import Listing

CONFIG = TrainingConfig(variant="norm=none", options={"norm": "none"}, epochs=2)


def kept(store: Store, seed: int, accuracy: float = 0.5, status: str = "finished") -> Run:
    """A run that has ended."""
    with store.writer(replace(CONFIG, seed=seed), {"torch": "2.7"}, parameters=42) as writer:
        writer.append(Epoch(1, 10, 1.0, 0.5, 0.25, 0.125, accuracy, test_accuracy_running=None))
        return writer.end(status, "", {})  # type: ignore[arg-type]


def folder(store: Store, number: int) -> Path:
    return sorted((store.path / "runs").iterdir())[number]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Six runs, of which one was watched, one diverged and one can't be read; indexed however few they are."""
    monkeypatch.setattr(survey, "INDEXED_RUNS", 1)
    store = open_store(tmp_path / "store")
    for seed in range(4):
        kept(store, seed, 0.5 + seed / 10)
    kept(store, 4, status="diverged")
    with store.writer(CONFIG, {}, watched=Watched({"optimizer": "Lion"}, every=5, notes=("a note",))) as writer:
        writer.finish({})
    (folder(store, 0) / "run.json").write_text("{")
    return store


def told(listing: Listing) -> tuple[list[Any], list[Any]]:
    """A listing in values that can be compared."""
    entries = [(*one._replace(setup=None), one.setup.text, one.setup.settings) for one in listing.entries]  # type: ignore[arg-type]
    return entries, [(problem.path, problem.error) for problem in listing.problems]


def by_folders(store: Store, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    """What the folders say, without an index."""
    with monkeypatch.context() as without:
        without.setattr(survey, "INDEXED_RUNS", 10**9)
        return told(store.listing())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that are read from here on."""
    names: list[str] = []

    def read(root: str, name: str, setups: Setups) -> look.Look | None:
        names.append(name)
        return look.look_at(root, name, setups)

    monkeypatch.setattr(looking, "look_at", read)
    return names


def test_what_lists_say_is_what_the_runs_say(store: Store) -> None:
    for listing in (store.listing(), store.listing()):  # read from folders, then from the index
        assert [(entry.key, entry.status, entry.created) for entry in listing.entries] == [
            (run.key, run.status, run.created) for run in store.runs()
        ]
        for entry, run in zip(listing.entries, store.runs(), strict=True):
            expected = entry_of(run)
            assert entry._replace(setup=expected.setup) == expected
            assert replace(entry.config, seed=entry.seed) == run.config
            assert entry.setup.settings == (run.watched.settings if run.watched else None)
        assert listing.problems == store.problems()
        assert len(listing.problems) == 1


def test_nothing_is_read_twice(store: Store, reads: list[str]) -> None:
    store.listing()
    assert len(reads) == 6
    store.listing()
    assert len(reads) == 6
    text = json.loads((folder(store, 2) / "run.json").read_text())
    (folder(store, 2) / "run.json").write_text(json.dumps(text | {"parameters": 7}))
    assert 7 in {entry.parameters for entry in store.listing().entries}
    assert reads[6:] == [folder(store, 2).name]


def test_a_small_store_has_no_index(tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    kept(store, 0)
    assert len(store.listing().entries) == 1
    assert not (store.path / INDEX).exists()


def rerun(store: Store) -> None:
    kept(store, 1, 0.99)


def replaced(store: Store) -> None:
    """As another archlab writes it: the same size, and the same time of writing."""
    path = folder(store, 3) / "run.json"
    before = path.stat()
    text = path.read_text().replace('"test_accuracy": 0.', '"test_accuracy": 1.')
    path.unlink()
    path.write_text(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def interrupted(store: Store) -> None:
    with suppress(KeyboardInterrupt), store.writer(replace(CONFIG, seed=9), {}) as writer:
        writer.append(Epoch(1, 10, 1.0))
        raise KeyboardInterrupt


def rerun_interrupted(store: Store) -> None:
    with suppress(KeyboardInterrupt), store.writer(replace(CONFIG, seed=1), {"torch": "2.7"}):
        raise KeyboardInterrupt


def mended(store: Store) -> None:
    run = json.loads((folder(store, 1) / "run.json").read_text())
    (folder(store, 0) / "run.json").write_text(json.dumps(run | {"key": folder(store, 0).name}))


def execute(*statements: str) -> Callable[[Store], None]:
    def change(store: Store) -> None:
        index = sqlite3.connect(store.path / INDEX)
        for statement in statements:
            index.execute(statement)
        index.commit()
        index.close()

    change.__name__ = statements[0]
    return change


MUTATIONS: list[Callable[[Store], object]] = [
    lambda store: None,
    lambda store: kept(store, 7),
    rerun,
    lambda store: shutil.rmtree(folder(store, 2)),
    lambda store: store.delete(store.runs()[0].key),
    replaced,
    lambda store: (folder(store, 1) / "run.json").write_text("{}"),
    lambda store: (folder(store, 1) / "run.json").unlink(),
    lambda store: folder(store, 1).rename(folder(store, 1).with_name("another")),
    lambda store: shutil.copytree(folder(store, 1), store.path / "runs" / "copied"),
    lambda store: (store.path / "runs" / "notes.txt").write_text("mine"),
    mended,
    interrupted,
    rerun_interrupted,
    lambda store: shutil.rmtree(store.path / "runs"),
    # The index itself:
    lambda store: (store.path / INDEX).unlink(),
    lambda store: (store.path / INDEX).write_bytes(b""),
    lambda store: (store.path / INDEX).write_bytes(b"no database" * 1000),
    lambda store: os.truncate(store.path / INDEX, 5000),
    execute("DROP TABLE parts"),
    execute("DELETE FROM setups"),
    execute("DELETE FROM setups_hash"),
    execute("UPDATE setups SET config = replace(config, 'lenet', 'resnet')"),
    execute("DELETE FROM parts WHERE id > 9"),
    execute("PRAGMA user_version = 7"),
    execute("UPDATE parts SET content = replace(content, 'finished', 'diverged')"),
    execute("UPDATE parts SET content = x'90', hash = x'00'"),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda one: one.__name__)
@pytest.mark.parametrize("is_known", [True, False], ids=["indexed", "not indexed"])
def test_the_index_says_what_the_folders_say(
    store: Store, mutation: Callable[[Store], object], is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_known or mutation in MUTATIONS[15:]:
        store.listing()
    mutation(store)
    expected = by_folders(store, monkeypatch)
    for _ in range(2):
        assert told(store.listing()) == expected


@pytest.mark.parametrize("damage", [b"no database" * 1000, b"SQLite format 3\x00" + bytes(5000)])
def test_a_damaged_index_is_made_anew(store: Store, damage: bytes, reads: list[str]) -> None:
    (store.path / INDEX).write_bytes(damage)
    store.listing()
    count = len(reads)
    store.listing()
    assert (count, len(reads)) == (6, 6)


def test_answers_stay_when_looks_come(tmp_path: Path) -> None:
    index = Index(tmp_path)
    index.keep_answers({"question": "answer"})
    assert index.read(Setups()).parts == []
    assert index.answers(["question"]) == {"question": "answer"}


def test_what_is_damaged_gets_no_hash(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.listing()
    execute("UPDATE setups SET config = replace(config, 'lenet', 'resnet')")(store)
    Index(store.path).write({}, [folder(store, 2).name])
    assert told(store.listing()) == by_folders(store, monkeypatch)


def test_a_locked_index_is_as_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archlab.store.index.BUSY_SECONDS", 0.01)
    store.listing()
    holder = sqlite3.connect(store.path / INDEX, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    kept(store, 8)
    assert told(store.listing()) == by_folders(store, monkeypatch)
    holder.execute("ROLLBACK")
    holder.close()
    assert told(store.listing()) == by_folders(store, monkeypatch)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_store_that_can_not_be_written_is_listed(
    store: Store, indexed: bool, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    """Root may write anywhere: a database that refuses stands for it."""
    if indexed:
        store.listing()
        reads.clear()
    connect = sqlite3.connect

    def refuse(address: str, **how: object) -> sqlite3.Connection:
        if not address.endswith("?immutable=1"):
            raise sqlite3.OperationalError("unable to open database file")
        return connect(address, **how)  # type: ignore[call-overload,no-any-return]

    before = {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))}
    monkeypatch.setattr(sqlite3, "connect", refuse)
    found = told(store.listing())
    assert len(reads) == (0 if indexed else 6)
    assert {path: path.stat().st_mtime_ns for path in (store.path, *store.path.rglob("*"))} == before
    assert found == by_folders(store, monkeypatch)


LISTER = """
import sys
from pathlib import Path
from typing import Any
from archlab.store import open_store, survey
survey.INDEXED_RUNS = 1
store = open_store(sys.argv[1])
for _ in range(20):
    (store.path / ".index.sqlite").unlink(missing_ok=sys.argv[2] == "rough") if sys.argv[2] == "rough" else None
    print(len(store.listing().entries), len(store.listing().problems))
"""


@pytest.mark.parametrize("manner", ["gentle", "rough"])
def test_processes_at_once_do_not_disturb_each_other(
    store: Store, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where some of them throw the index away while others read and write it."""
    command = [sys.executable, "-c", LISTER, str(store.path), manner]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert output.splitlines() == ["5 1"] * 20
    assert told(store.listing()) == by_folders(store, monkeypatch)


def test_a_survey_sees_at_a_glance_what_has_changed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a store that is too large for all its folders to be asked each time."""
    monkeypatch.setattr(survey, "CLOSELY", 0)
    monkeypatch.setattr(survey, "SETTLED_SECONDS", -1.0)
    found = store.survey()
    assert found.glance()
    assert not found.glance()
    with store.writer(replace(CONFIG, seed=11), {}) as writer:
        for step in (
            lambda: None,  # it has begun
            lambda: writer.append(Epoch(1, 10, 1.0)),
            lambda: writer.finish({}),
        ):
            step()
            assert found.glance()
            assert not found.glance()
            assert told(found.listing()) == by_folders(store, monkeypatch)
    kept(store, 11, 0.75)  # another folder of the same name
    shutil.rmtree(folder(store, 1))
    assert found.glance()
    assert told(found.listing()) == by_folders(store, monkeypatch)
    assert not found.glance()


def test_a_glance_asks_no_ended_run_of_a_large_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "CLOSELY", 0)
    monkeypatch.setattr(survey, "SETTLED_SECONDS", -1.0)
    monkeypatch.setattr(survey, "REST", 10**9)
    asked: list[str] = []

    def ask(root: str, names: list[str]) -> Iterator[look.Stamp | None]:
        asked.extend(names)
        return look.stamps_of(root, names)

    monkeypatch.setattr(survey, "stamps_of", ask)
    found = store.survey()
    found.glance()
    for _ in range(3):
        found.glance()
    assert asked == []
    found.look()
    assert len(asked) == 6
