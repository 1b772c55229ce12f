"""Curves beneath a run, for people alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from archlab.cli import course
from archlab.cli.console import Format, Output
from archlab.store import open_store
from tests.reports.samples import add_run


@pytest.mark.parametrize(
    ("terminal", "target", "drawn"),
    [
        (True, Output(), True),
        (False, Output(), False),
        (True, Output(Format.json), False),
        (True, Output(path=Path("run.txt")), False),
    ],
)
def test_curves_are_drawn_at_a_terminal_alone(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    terminal: bool,
    target: Output,
    drawn: bool,
) -> None:
    store = open_store(tmp_path)
    run = add_run(store, "norm=batch", 0)
    monkeypatch.setattr(course, "is_terminal", lambda stream: terminal)
    course.show_course(run, store, target)
    told = capsys.readouterr().out
    assert ("█" in told, "norm_2" in told, "train accuracy" in told) == (drawn,) * 3


def test_a_run_that_recorded_nothing_has_curves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(tmp_path)
    monkeypatch.setattr(course, "is_terminal", lambda stream: True)
    course.show_course(add_run(store, "norm=none", 0), store, Output())
    told = capsys.readouterr().out
    assert "train loss" in told
    assert "BatchNorm" not in told
