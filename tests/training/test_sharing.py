"""Images that several processes have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from archlab.store import open_store
from archlab.training import Execution, sharing, train_all
from archlab.training.sharing import Shared, SharedImages
from archlab.training.worker import BOOTSTRAP
from tests.training.test_engine import CONFIG

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no file is inherited there")


@pytest.fixture
def files() -> Iterator[Shared]:
    with ExitStack() as stack:
        opened = sharing.opened(stack)
        assert opened is not None
        yield opened


def pictures(first: int = 0, count: int = 3) -> Tensor:
    return torch.arange(first, first + count * 2 * 4, dtype=torch.uint8).view(count, 2, 2, 2)


def never() -> Tensor:
    raise AssertionError("it is there already")


def test_each_name_is_made_once(files: Shared) -> None:
    shared = SharedImages(files)
    for first, name in enumerate("abc"):
        assert torch.equal(shared(name, lambda first=first: pictures(first)), pictures(first))  # type: ignore[misc]
    for first, name in enumerate("abc"):
        assert torch.equal(SharedImages(files)(name, never), pictures(first))


def test_nobody_sees_what_others_write_into_theirs(files: Shared) -> None:
    shared = SharedImages(files)
    shared("a", pictures).zero_()
    assert torch.equal(shared("a", never), pictures())


OTHER = """
import sys, time, torch
from archlab.training import sharing

name, value, manner = sys.argv[1:]
shared = sharing.inherited()
before = shared("before", lambda: torch.ones(1, 1, 2, 2, dtype=torch.uint8))
print("ready", flush=True)
sys.stdin.readline()

def make():
    global before
    before = None  # frees its mapping, which must not free the lock
    print("makes", flush=True)
    sys.stdin.readline() if manner == "waits" else None
    return torch.full((4, 1, 2, 2), int(value), dtype=torch.uint8)

print(shared(name, make).flatten()[0].item(), flush=True)
"""


class Other:
    """Another process, which says what it does, and goes on when it is told to."""

    def __init__(self, files: Shared, name: str, value: int, manner: str = "") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", OTHER, name, str(value), manner],
            env=os.environ | {sharing.VARIABLE: files.told},
            pass_fds=files,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def goes_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def says(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def others(files: Shared) -> Iterator[list[Other]]:
    """Two that want the same, of which the first is about it, and one that wants something else."""
    started = [Other(files, "a", 1, "waits"), Other(files, "a", 2), Other(files, "b", 3)]
    assert [other.says() for other in started] == ["ready"] * 3
    started[0].goes_on()
    assert started[0].says() == "makes"
    for other in started[1:]:
        other.goes_on()
    yield started
    for other in started:
        other.end()


def test_who_wants_the_same_waits_for_it(files: Shared, others: list[Other]) -> None:
    first, second, different = others
    assert (different.says(), different.says()) == ("makes", "3")
    first.goes_on()
    assert (first.says(), second.says()) == ("1", "1")
    assert (SharedImages(files)("a", never) == 1).all()
    assert (SharedImages(files)("b", never) == 3).all()


def test_who_is_killed_while_it_makes_them_leaves_them_to_the_next(others: list[Other]) -> None:
    first, second, _ = others
    first.end()
    assert (second.says(), second.says()) == ("makes", "2")


def test_an_error_leaves_them_to_the_next(files: Shared) -> None:
    def fail() -> Tensor:
        raise MemoryError

    with pytest.raises(MemoryError):
        SharedImages(files)("a", fail)
    assert torch.equal(SharedImages(files)("a", pictures), pictures())


def full(*_: object, **__: object) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("refused", ["os.pwrite", "os.pread", "fcntl.lockf", "mmap.mmap", "os.fstatvfs"])
def test_where_the_system_refuses_each_makes_its_own(
    files: Shared, refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, full)
    for first in (0, 1):
        made = SharedImages(files)("a", lambda first=first: pictures(first))  # type: ignore[misc]
        assert torch.equal(made, pictures(first))


def test_a_disk_that_fills_up_gets_its_room_back(files: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    write, places = os.pwrite, []

    def fill(file: int, rest: memoryview, place: int) -> int:
        places.append(place)
        return write(file, rest[:7], place) if len(places) == 1 else full()

    monkeypatch.setattr("os.pwrite", fill)
    assert torch.equal(SharedImages(files)("a", pictures), pictures())
    assert places[1] == places[0] + 7
    assert os.fstat(files.images).st_size <= places[0]


def test_without_files_nothing_is_shared(files: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    other = f"{files.images}:{sharing._identity(files.locks)},{files.locks}:{sharing._identity(files.locks)}"
    for told in ("", "7", "0:1-2,1:1-3", other):
        monkeypatch.setenv(sharing.VARIABLE, told)
        assert sharing.inherited() is None
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with ExitStack() as stack:
        assert sharing.opened(stack) is None


SPYING = """
import os, time
from archlab.training import datasets, sharing

datasets.SHARED_BYTES = 10
call = sharing.SharedImages.__call__

def tell(what):
    with open({path!r}, "a") as file:
        file.write(f"{{what}} {{os.getpid()}}\\n")

def share(self, name, make):
    tell("asked")
    while len({{line for line in open({path!r}) if line.startswith("asked")}}) < 2:
        time.sleep(0.01)  # until the other has come too
    return call(self, name, lambda: (tell("made"), make())[1])

sharing.SharedImages.__call__ = share
"""


def test_workers_train_the_same_on_what_they_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    program = BOOTSTRAP.replace("from archlab", f"exec({SPYING.format(path=str(told))!r}); from archlab")
    monkeypatch.setattr("archlab.training.engines.local.BOOTSTRAP", program)
    configs = [replace(CONFIG, seed=seed) for seed in (0, 1)]
    runs = train_all(configs, Execution(workers=2, device="cpu", store=open_store(tmp_path / "several")))
    words = [line.split()[0] for line in told.read_text().splitlines()]
    assert sorted(words) == ["asked"] * 4 + ["made"] * 2  # two processes; images to train on, and to test with
    monkeypatch.undo()
    alone = train_all(configs, Execution(workers=1, device="cpu", store=open_store(tmp_path / "one")))
    assert [run.epochs[-1].test_loss for run in runs] == [run.epochs[-1].test_loss for run in alone]
