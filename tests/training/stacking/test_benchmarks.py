"""The commands that measure stacks and accelerators."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest
import torch

from archlab.records import TrainingConfig
from benchmarks import accelerator, stacking


def test_ratios_are_printed_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "stacking.json"
    words = ["--batches", "4", "--counts", "2", "--train-samples", "16", "--test-samples", "8", "-o", str(file)]
    monkeypatch.setattr(sys, "argv", ["stacking", "lenet", "--option", "width=0.2", *words])
    assert stacking.main() == 0
    (row,) = json.loads(file.read_text())["rows"]
    assert (row["batch"], row["runs"]) == (4, 2)
    assert row["ratio"] > 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["batch", "runs", "ratio", "choice"]


def test_without_an_accelerator_one_message_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    monkeypatch.setattr(sys, "argv", ["accelerator"])
    assert accelerator.main() == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "there is no accelerator on this machine, and nothing else is measured here\n"


def test_what_is_measured_on_an_accelerator_is_measured_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(options={"width": "0.2"}, epochs=1, train_samples=48, test_samples=8)
    given = argparse.Namespace(data_dir=None, batch=2)
    seconds, whole, said = accelerator.timed([config], given, torch.device("cpu"), "off")
    assert 0 < seconds < whole
    assert said == []
