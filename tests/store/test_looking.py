"""What several processes find in a store is what one finds, whatever becomes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from archlab.records import Epoch, TrainingConfig
from archlab.records.entry import Entry, Setup
from archlab.store import Store, columns, look, looking, open_store, survey
from archlab.store.kept import Kept
from archlab.store.listed import Setups
from archlab.store.look import Look
from tests.store.test_store import comparison

CONFIG = TrainingConfig(variant="norm=none", options={"norm": "none"}, epochs=2)
RUNS = 12


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Twelve runs of which one can't be read, and one that was interrupted."""
    store = open_store(tmp_path / "store")
    for seed in range(RUNS):
        with store.writer(replace(CONFIG, seed=seed), {}, parameters=seed) as writer:
            writer.append(Epoch(1, 10, 1.0, test_accuracy=seed / 100))
            writer.finish({})
    with suppress(KeyboardInterrupt), store.writer(replace(CONFIG, seed=RUNS), {}):
        raise KeyboardInterrupt
    (sorted((store.path / "runs").iterdir())[3] / "run.json").write_text("{")
    return store


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the folders that this process reads, one of two."""
    names: list[str] = []

    def read(root: str, name: str, setups: Setups) -> Look | None:
        names.append(name)
        return look.look_at(root, name, setups)

    monkeypatch.setattr(looking, "look_at", read)
    monkeypatch.setattr(looking, "SHARE", 2)
    monkeypatch.setattr(looking, "cores", lambda: 2)
    return names


def names_of(store: Store) -> list[str]:
    return sorted(path.name for path in (store.path / "runs").iterdir())


def looks(store: Store, names: list[str]) -> dict[str, tuple[object, ...]]:
    """Looks in values that can be compared."""
    found = looking.looks_at(str(store.path / "runs"), names, Setups())
    return {
        name: (one.stamp, one.error, one.entry and (*one.entry._replace(setup=None), one.entry.setup.text))  # type: ignore[arg-type]
        for name, one in sorted(found.items())
    }


def test_two_processes_find_what_one_finds(store: Store, own: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = names_of(store)
    shared = looks(store, names)
    partial = [name for name in names if name.endswith(".partial")]
    assert sorted(own) == sorted({*names[::2], *partial})  # the other process has looked at the others
    monkeypatch.setattr(looking, "PROCESSES", 1)
    assert shared == looks(store, names)
    assert len(shared) == RUNS + 1


@pytest.mark.parametrize("program", ["raise SystemExit(1)", "print('no columns')", "import os; os.abort()", ""])
def test_what_another_process_does_not_find_is_read_here(
    store: Store, own: list[str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = names_of(store)
    monkeypatch.setattr(looking, "PROGRAM", program)
    assert len(looks(store, names)) == RUNS + 1
    assert sorted(own) == names


def test_no_process_more_can_be_started(store: Store, own: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr("subprocess.Popen", refuse)
    assert len(looks(store, names_of(store))) == RUNS + 1
    assert sorted(own) == names_of(store)


def test_a_folder_that_is_gone_is_left_out(store: Store, own: list[str]) -> None:
    names = names_of(store)
    for name in names[:2]:
        shutil.rmtree(store.path / "runs" / name)
    assert list(looks(store, names)) == names[2:]


@pytest.mark.parametrize("number", [1, 2, 5, RUNS - 1, RUNS, RUNS + 1, RUNS + 5])
def test_the_newest_are_the_last_of_all(store: Store, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "INDEXED_RUNS", 1)
    store.listing()
    listing = store.listing()
    newest = listing.entries[-number:]
    assert len(listing.entries) == RUNS  # of twelve one can't be read, and one more was interrupted
    assert [problem.path.name for problem in listing.problems] == [names_of(store)[3]]
    assert newest == list(listing.entries)[-number:]
    assert listing.entries[0] == next(iter(listing.entries))
    monkeypatch.setattr(survey, "INDEXED_RUNS", 10**9)
    assert [entry._replace(setup=None) for entry in listing.entries] == [  # type: ignore[arg-type]
        entry._replace(setup=None)  # type: ignore[arg-type]
        for entry in store.listing().entries
    ]


def test_the_newest_are_found_among_runs_of_equal_times(store: Store) -> None:
    setup = Setup("{}", "")
    times = "aabbbccaabbbcca"
    entries = [
        Entry(f"key-{place * 7 % 15:02}", "finished", time, setup, place, 1, 10, *[None] * (len(Entry._fields) - 7))
        for place, time in enumerate(times)
    ]
    numbers = {setup: columns.number_of(setup)}
    parts = [
        columns.decode(columns.encode({one.key: Look((0, 0, 0, 0), one) for one in share}, numbers))
        for share in (entries[:4], entries[4:5], entries[5:12])
    ]
    kept = Kept(parts, {numbers[setup]: setup}, entries[12:])
    expected = sorted(entries, key=lambda one: (one.created, one.key))
    assert list(kept) == expected
    for number in range(1, 20):
        assert kept[-number:] == expected[-number:]


SCANNING = """
import os, sys
from archlab.store import looking, open_store, survey

forks, fork = [], os.fork
os.fork = lambda: forks.append(1) or fork()
survey.INDEXED_RUNS, looking.SHARE, looking.cores = 1, 2, lambda: 2
store = open_store(sys.argv[1])
for _ in range(2):
    listing, comparisons, problems = store.scan()
    print(len(listing.entries), len(comparisons), len(problems))
print(len(forks))
"""

FORKING = """
import os, sys
from archlab.store import columns, looking
from archlab.store.listed import Setups

root, forks, fork = sys.argv[1], [], os.fork
os.fork = lambda: forks.append(1) or fork()
looking.SHARE, looking.cores = 2, lambda: 2
setups = Setups()
names = sorted(name for name in os.listdir(root) if not name.endswith(".partial"))
parts = []
for place in range(3):
    found = looking.looks_at(root, names[place::3], setups)
    parts.append(columns.decode(columns.encode(found, columns.numbered(found.values()))))

calls = []

def answers():  # whoever asks after each part
    orders = [parts[place:] + parts[:place] for place in range(len(parts))]
    ways = (None, lambda: calls.append(1))
    return {looking.are_current(root, order, meanwhile) for order in orders for meanwhile in ways}

print(answers())
for name in names[:2]:
    path = f"{root}/{name}/run.json"
    os.rename(path, f"{path}-aside")
    print(answers())
    os.rename(f"{path}-aside", path)  # another time of change: from here on its part is not as it was
    parts = [part for part in parts if name not in part.names]
    print(answers())
print(len(forks), len(calls))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's threads are counted in /proc")
def test_a_fork_sees_what_has_changed_in_its_share(store: Store) -> None:
    command = [sys.executable, "-c", FORKING, str(store.path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["{True}", "{False}", "{True}", "{False}", "{True}", "22", "11"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a process's threads are counted in /proc")
def test_a_scan_reads_comparisons_while_a_fork_asks_after_runs(store: Store) -> None:
    store.save_comparison(comparison())
    done = subprocess.run([sys.executable, "-c", SCANNING, str(store.path)], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["12 1 0", "12 1 0", "1", ""]  # the first found no index to ask by
