"""Images that several processes have in common."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest
import torch
from torch import Tensor

from archlab.store import open_store
from archlab.training import Execution, sharing, train_all
from archlab.training.sharing import SharedImages
from archlab.training.worker import BOOTSTRAP
from tests.training.test_engine import CONFIG

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no file is inherited there")


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SMALLEST", 10)


@pytest.fixture
def file() -> Iterator[IO[bytes]]:
    opened = sharing.opened()
    assert opened is not None
    with opened:
        yield opened


def pictures(first: int = 0, count: int = 3) -> Tensor:
    return torch.arange(first, first + count * 2 * 4, dtype=torch.uint8).view(count, 2, 2, 2)


def never() -> Tensor:
    raise AssertionError("it is there already")


def test_each_name_is_made_once(file: IO[bytes]) -> None:
    shared = SharedImages(file.fileno())
    for first, name in enumerate("abc"):
        assert torch.equal(shared(name, lambda first=first: pictures(first)), pictures(first))  # type: ignore[misc]
    for first, name in enumerate("abc"):
        assert torch.equal(SharedImages(file.fileno())(name, never), pictures(first))


def test_nobody_sees_what_others_write_into_theirs(file: IO[bytes]) -> None:
    shared = SharedImages(file.fileno())
    shared("a", pictures).zero_()
    assert torch.equal(shared("a", never), pictures())


OTHER = """
import os, sys, torch
from archlab.training import sharing
sharing.SMALLEST = 10
shared = sharing.inherited()
made = []
found = shared("a", lambda: made.append(1) or torch.full((4, 1, 2, 2), int(sys.argv[1]), dtype=torch.uint8))
print(len(made), found.flatten()[0].item(), flush=True)
os.kill(os.getpid(), 9) if sys.argv[2:] else None
"""


def test_other_processes_find_it_even_where_the_first_is_killed(file: IO[bytes]) -> None:
    number = file.fileno()
    answers = [
        subprocess.run(
            [sys.executable, "-c", OTHER, *words],
            env=os.environ | {sharing.DESCRIPTOR: str(number)},
            pass_fds=(number,),
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        for words in (["7", "killed"], ["8"])
    ]
    assert answers == ["1 7\n", "0 7\n"]
    assert (SharedImages(number)("a", never) == 7).all()


def test_a_process_that_dies_while_it_makes_them_leaves_them_to_the_next(file: IO[bytes]) -> None:
    def fail() -> Tensor:
        raise MemoryError

    shared = SharedImages(file.fileno())
    with pytest.raises(MemoryError):
        shared("a", fail)
    assert torch.equal(shared("a", pictures), pictures())


def full(*_: object, **__: object) -> int:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("why", ["small", "full"])
def test_what_is_not_shared_is_everybodys_own(file: IO[bytes], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if why == "small":
        monkeypatch.setattr(sharing, "SMALLEST", 1000)
    else:
        monkeypatch.setattr(os, "pwrite", full)
    shared = SharedImages(file.fileno())
    for first in (0, 1):
        assert torch.equal(shared("a", lambda first=first: pictures(first)), pictures(first))  # type: ignore[misc]


def test_without_a_file_nothing_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(sharing.DESCRIPTOR, "")
    assert sharing.inherited() is None
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    assert sharing.opened() is None


SPYING = """
from archlab.training import sharing
sharing.SMALLEST = 10
written = sharing.SharedImages._written
def tell(self, digest, made):
    with open({path!r}, "a") as file:
        file.write("made\\n")
    return written(self, digest, made)
sharing.SharedImages._written = tell
"""


def test_workers_train_the_same_on_what_they_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "told"
    spying = SPYING.format(path=str(told))
    program = BOOTSTRAP.replace("from archlab", f"exec({spying!r}); from archlab")
    monkeypatch.setattr("archlab.training.engines.local.BOOTSTRAP", program)
    configs = [replace(CONFIG, seed=seed) for seed in (0, 1)]
    runs = train_all(configs, Execution(workers=2, device="cpu", store=open_store(tmp_path / "several")))
    assert told.read_text() == "made\n" * 2  # the images to train on, and those to test with
    alone = train_all(configs, Execution(workers=1, device="cpu", store=open_store(tmp_path / "one")))
    assert [run.epochs[-1].test_loss for run in runs] == [run.epochs[-1].test_loss for run in alone]
