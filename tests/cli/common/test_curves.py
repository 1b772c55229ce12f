"""Curves beneath a run, for people alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from archlab.cli.common import curves
from archlab.cli.common.output import Format, Output
from archlab.store import open_store
from tests.reports.samples import add_run, comparison_of


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
    monkeypatch.setattr(curves, "is_terminal", lambda stream: terminal)
    curves.show_course(run, store, target)
    told = capsys.readouterr().out
    assert ("█" in told, "norm_2" in told, "train accuracy" in told) == (drawn,) * 3
    curves.show_courses(comparison_of([run], store), store, target)
    told = capsys.readouterr().out
    assert ("█" in told, "BatchNorm of norm=batch, seed 0" in told, "train accuracy" in told) == (drawn,) * 3


def test_a_run_that_recorded_nothing_has_curves_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(tmp_path)
    monkeypatch.setattr(curves, "is_terminal", lambda stream: True)
    curves.show_course(add_run(store, "norm=none", 0), store, Output())
    told = capsys.readouterr().out
    assert "train loss" in told
    assert "BatchNorm" not in told


def test_a_comparison_is_drawn_without_what_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = open_store(tmp_path)
    monkeypatch.setattr(curves, "is_terminal", lambda stream: True)
    runs = [add_run(store, variant, seed) for variant in ("norm=batch", "norm=none") for seed in (0, 1)]
    comparison = comparison_of(runs, store)
    for file in (store.path / "runs" / runs[0].key).glob("*.safetensors"):
        file.write_bytes(b"broken")
    store.delete(runs[3].key)
    curves.show_courses(comparison, store, Output())
    told = capsys.readouterr().out
    drawn = [line.split()[:2] for line in told.splitlines() if line.startswith("  norm=")]
    assert drawn == [["norm=batch", "1"], ["norm=none", "1"]] * 2  # loss and accuracy
    assert "BatchNorm of norm=batch, seed 1" in told
