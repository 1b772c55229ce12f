"""A watched training in every command that shows runs: what nobody told is left out, and nothing is built."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.analysis.verdicts.examination import examine
from archlab.records import Epoch, LayerSeries, NormRecording, Probes, Run, TrainingConfig, Watched
from archlab.reports.live.watching import Watch
from archlab.store import Store, open_store
from tests.cli.command import run

STEPS = 8
NETWORK = "lenet"  # the name of the class is a source of archlab's, too, and must not be taken for it


def series(told: bool) -> dict[str, Any]:
    """Curves by step; loss is told in every second step, accuracy never."""
    loss = np.linspace(2, 1, STEPS).astype(np.float32)
    if not told:
        loss[::2] = np.nan
    nothing = np.full(STEPS, np.nan, dtype=np.float32)
    rate = np.linspace(0.1, 0.0, STEPS).astype(np.float32)
    return {"step": np.arange(1, STEPS + 1), "train_loss": loss, "train_accuracy": nothing, "learning_rate": rate}


def recorded(told: bool = True, **metrics: Any) -> tuple[Store, Run]:
    """A store with a watched run, and that run."""
    store = open_store()
    watched = Watched({"optimizer": "Lion", "learning_rate": 0.1}, 100, notes=("No layer was heard.",))
    config = TrainingConfig(NETWORK, dataset="photos")
    layer = {name: np.ones((3, 2), dtype=np.float32) for name in NormRecording.QUANTITIES}
    look = {name: np.ones((2, 1), dtype=np.float32) for name in Probes.SIGNALS}
    with store.writer(config, {"command": "train.py"}, 10, watched=watched) as writer:
        for number in (1, 2):
            writer.append(Epoch(epoch=number, step=4 * number, seconds=float(number), **metrics))
        made = writer.finish(
            series(told),
            NormRecording((0, 4, 8), {"norm": layer}),
            Probes(signals=LayerSeries((1, 8), ("conv",), look, 16)),
        )
    return store, made


@pytest.fixture(autouse=True)
def _nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a watched run was built")

    monkeypatch.setenv("ARCHLAB_STORE", str(tmp_path / "store"))
    monkeypatch.setattr("archlab.comparing.traces", refuse)
    monkeypatch.setattr("archlab.networks.resolve", refuse)


def test_it_is_listed_and_shown() -> None:
    _, made = recorded(train_loss=1.0)
    assert re.search(rf"{made.key} +finished +2 ", run("runs", "list").out)
    shown = run("runs", "show", "newest").out
    assert shown.startswith("lenet on photos: a watched training")
    assert "epoch  train loss  seconds" in shown
    assert "optimizer Lion, learning rate 0.1" in " ".join(shown.split())
    assert "No layer was heard." in shown
    for invented in ("None", "nan", "batch 256", "Adam", "seed"):
        assert invented not in shown


def test_its_report_leaves_out_what_nobody_told(tmp_path: Path) -> None:
    _, made = recorded(told=False, train_loss=1.25)
    page = tmp_path / "page.html"
    assert run("report", made.key, "-o", str(page)).code == 0
    text = page.read_text(encoding="utf-8")
    assert "LeNet reaches a training loss of 1.25 nats, after 2 epochs, as the loop that was watched told it" in text
    assert "Training loss" in text
    assert "Lion" in text
    for absent in ("Training accuracy", "Test accuracy</h", "Configuration of the first run", "batch size", ">None<"):
        assert absent not in text


def test_its_verdicts_name_no_option_of_archlab() -> None:
    _, made = recorded(train_loss=2.0)
    found = examine([made], curves=lambda key: {"train_loss": np.full(20, 2.0)})
    (verdict,) = [verdict for verdict in found.verdicts if verdict.check == "learning"]
    assert verdict.level == "problem"
    assert verdict.remedy == "Train longer, or try learning rates a factor of 10 higher and lower."


@pytest.mark.parametrize(
    ("metrics", "accuracy"), [({}, ""), ({"test_accuracy": 0.5}, "50.00 %")], ids=["no accuracy", "accuracy"]
)
def test_the_live_page_says_no_end_that_nobody_knows(metrics: dict[str, Any], accuracy: str) -> None:
    store, _ = recorded(**metrics)
    recorded(**metrics)
    (found,) = Watch(store).shown().boards
    assert [(row.done, row.epochs, row.accuracy) for row in found.rows] == [(2, None, accuracy)] * 2
    assert [panel.name.rpartition("-")[2] for panel in found.panels] == ["training", "probes"]
    drawn = {chart.name for chart in found.panels[0].charts}
    assert drawn == {"train-loss", *(["test-accuracy"] if metrics else [])}


def test_its_exports_have_what_is_known(tmp_path: Path) -> None:
    recorded(told=False, train_loss=1.0)
    assert run("runs", "export", "-o", str(tmp_path / "out")).code == 0

    def rows(name: str) -> list[dict[str, str]]:
        with (tmp_path / "out" / f"{name}.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    (one,) = rows("runs")
    assert one["setting.optimizer"] == "Lion"
    assert "batch_size" not in one
    assert [row["train_loss"] == "" for row in rows("steps")] == [True, False] * 4
    assert {row["train_accuracy"] for row in rows("steps")} == {""}
    assert float(rows("steps")[0]["learning_rate"]) == pytest.approx(0.1)
    assert {row["test_accuracy"] for row in rows("epochs")} == {""}


def test_it_is_json_and_back() -> None:
    _, made = recorded(train_loss=1.0)
    text = run("runs", "show", "newest", "--json").out
    assert json.loads(text)["watched"]["settings"] == {"optimizer": "Lion", "learning_rate": 0.1}
    assert Run.from_json(text) == made


def test_its_landscape_can_not_be_had() -> None:
    recorded(train_loss=1.0)
    found = run("landscape", open_store().runs()[0].key)
    assert found.code == 2
    assert "was watched" in found.err
