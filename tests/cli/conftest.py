from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from archlab.cli.app import app
from archlab.training.estimate import TimeEstimate
from tests.cli import trained

Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def defects_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user would see as a line that asks for a report fails the test."""
    monkeypatch.setenv("ARCHLAB_DEBUG", "1")


@pytest.fixture
def archlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls the command line with a store of its own; `archlab("runs", "list").stdout`."""
    monkeypatch.setenv("ARCHLAB_STORE", str(tmp_path / "store"))
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return call


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings take no time and give made-up numbers."""
    monkeypatch.setattr("archlab.training.train_all", trained.train_all)
    monkeypatch.setattr("archlab.training.train", trained.train_one)
    monkeypatch.setattr("archlab.training.estimate_time", lambda *_: TimeEstimate(7.0))
