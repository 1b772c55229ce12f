"""Runs in other tools' forms, read back by these tools."""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archlab.errors import InputError, StoreError
from archlab.exporting import WRITERS, export
from archlab.exporting.export import MANIFEST
from archlab.exporting.history import history
from archlab.records import Epoch, Run, TrainingConfig, Value
from archlab.store import Store, open_store
from tests.reports.samples import add_run


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two finished runs of 3 epochs of 6 steps, and one that diverged in its second epoch."""
    found = open_store(tmp_path / "store")
    for variant in ("norm=batch", "norm=none"):
        add_run(found, variant, 0)
    config = TrainingConfig(options={"norm": "none", "width": 3}, variant="width=3", seed=4, epochs=3)
    with found.writer(config, {"torch": "2.14"}, 10) as writer:
        writer.append(Epoch(1, 6, 0.5, 2.0, 0.25, 2.1, 0.3))
        writer.diverge("the loss at step 8 is nan", {})
    return found


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_holds_every_epoch_step_setting_and_tag(store: Store, tmp_path: Path) -> None:
    folder = export(store.runs(), "csv", tmp_path / "out", store=store)
    runs = {run.key: run for run in store.runs()}
    told = rows(folder, "runs")
    assert [row["key"] for row in told] == list(runs)
    assert [row["option.norm"] for row in told] == ["", "", "none"]
    assert (told[2]["status"], told[2]["error"]) == ("diverged", "the loss at step 8 is nan")
    assert (told[2]["seed"], told[2]["option.width"], told[2]["environment.torch"]) == ("4", "3", "2.14")
    epochs = rows(folder, "epochs")
    assert len(epochs) == 3 + 3 + 1
    first = runs[epochs[0]["run"]].epochs[0]
    assert float(epochs[0]["test_accuracy"]) == first.test_accuracy
    assert epochs[3]["test_accuracy_running"] == ""  # norm=none has no running statistics
    steps = rows(folder, "steps")
    assert len(steps) == 18 + 18
    key = steps[17]["run"]
    assert float(steps[17]["train_loss"]) == store.curves(key)["train_loss"][17]
    assert [int(row["step"]) for row in steps[:18]] == list(range(1, 19))


def test_parquet_holds_what_csv_holds_with_types(store: Store, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'archlab[parquet]'")
    text = export(store.runs(), "csv", tmp_path / "csv", store=store)
    folder = export(store.runs(), "parquet", tmp_path / "parquet", store=store)
    for name in ("runs", "epochs", "steps"):
        table = parquet.read_table(folder / f"{name}.parquet")
        expected = rows(text, name)
        assert table.column_names == list(expected[0])
        told = [{key: "" if value is None else str(value) for key, value in row.items()} for row in table.to_pylist()]
        assert told == expected
    assert str(parquet.read_table(folder / "epochs.parquet").schema.field("test_loss").type) == "double"
    assert str(parquet.read_table(folder / "runs.parquet").schema.field("seed").type) == "int64"


def test_columns_keep_their_types_where_all_of_them_is_empty(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'archlab[parquet]'")
    run = Run("run", TrainingConfig(), "finished", (Epoch(1, 6, 0.5, 2.0, 0.25, 2.1, 0.3),))
    folder = export([run], "parquet", tmp_path / "out")

    def types(table: str, *columns: str) -> list[str]:
        schema = parquet.read_table(folder / f"{table}.parquet").schema
        return [str(schema.field(column).type) for column in columns]

    assert types("runs", "size", "train_samples", "learning_rate", "error") == ["int64", "int64", "double", "string"]
    assert types("epochs", "test_loss_running") == ["double"]
    assert types("steps", "run", "step", "train_loss") == ["string", "int64", "double"]  # it has no row


def test_names_that_a_spreadsheet_would_run_are_text_in_csv(tmp_path: Path) -> None:
    hostile = '=HYPERLINK("http://a.b","x")'
    config = TrainingConfig(network="@mine", variant=hostile, options={"a": "-1", "b": -1, "c": "+cmd"}, dataset="\tx")
    folder = export([Run("run", config, "failed", error='line 1\n=2,"')], "csv", tmp_path / "out")
    (row,) = rows(folder, "runs")
    assert (row["network"], row["variant"], row["dataset"]) == ("'@mine", f"'{hostile}", "'\tx")
    assert (row["option.a"], row["option.b"], row["option.c"]) == ("-1", "-1", "'+cmd")
    assert row["error"] == 'line 1\n=2,"'  # a quoted cell, which begins with a letter


def test_steps_have_the_times_between_the_ends_of_epochs(store: Store) -> None:
    finished, _, failed = (history(run, store) for run in store.runs())
    # Epochs of 6 steps that end after 0.5, 1.0 and 1.5 s.
    assert finished.seconds_at(range(1, 19)) == pytest.approx([step / 12 for step in range(1, 19)])
    assert failed.seconds_at([]) == []
    assert replace(finished, epochs=()).seconds_at(range(18)) == [0.0] * 18


def test_it_tells_how_many_runs_are_done(store: Store, tmp_path: Path) -> None:
    done: list[int] = []
    export([*store.runs(), store.runs()[0]], "csv", tmp_path / "out", store=store, progress=done.append)
    assert done == [1, 2, 3]


def test_options_of_unlike_types_become_text(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'archlab[parquet]'")
    widths: tuple[Value, ...] = (3, "wide", True)
    runs = [
        Run(f"run{number}", TrainingConfig(options={"width": value}), "finished") for number, value in enumerate(widths)
    ]
    folder = export(runs, "parquet", tmp_path / "out")
    table = parquet.read_table(folder / "runs.parquet")
    assert table.column("option.width").to_pylist() == ["3", "wide", "True"]


def test_tensorboard_reads_its_files(store: Store, tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed: pip install 'archlab[tensorboard]'",
    )
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    folder = export(store.runs(), "tensorboard", tmp_path / "out", store=store)
    for run in store.runs():
        found = reader.EventAccumulator(str(folder / run.key), size_guidance={"scalars": 0}).Reload()
        tags = set(found.Tags()["scalars"])
        accuracy = found.Scalars("test_accuracy")
        assert [event.step for event in accuracy] == [epoch.step for epoch in run.epochs]
        assert [event.value for event in accuracy] == pytest.approx([epoch.test_accuracy for epoch in run.epochs])
        assert ("test_accuracy_running" in tags) == (run.config.variant == "norm=batch")
        curves = store.curves(run.key)
        assert ("batch/train_loss" in tags) == bool(curves)
        if curves:
            losses = found.Scalars("batch/train_loss")
            assert [event.step for event in losses] == curves["step"].tolist()
            assert [event.value for event in losses] == pytest.approx(curves["train_loss"].tolist(), rel=1e-6)
        content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        settings = HParamsPluginData.FromString(content).session_start_info.hparams
        assert settings["seed"].number_value == run.config.seed
        assert settings["variant"].string_value == run.config.variant
        (tensor,) = found.Tensors("tags")
        assert f"key: {run.key}".encode() in tensor.tensor_proto.string_val[0]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, about SQLAlchemy
def test_mlflow_reads_its_database(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'archlab[mlflow]'")
    import mlflow

    level = logging.getLogger("mlflow").level
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY", raising=False)
    silenced: list[str] = []

    def note(done: int) -> None:
        silenced.append(os.environ["MLFLOW_DISABLE_TELEMETRY"])

    folder = export(store.runs(), "mlflow", tmp_path / "out", store=store, progress=note)
    assert silenced == ["true"] * 3
    assert "MLFLOW_DISABLE_TELEMETRY" not in os.environ
    assert logging.getLogger("mlflow").level == level
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lenet on digits")
    assert experiment is not None
    assert experiment.artifact_location == (folder / "artifacts" / "0").as_uri()
    told = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(told) == {run.key for run in store.runs()}
    for run in store.runs():
        found = told[run.key]
        assert found.info.status == ("FAILED" if run.status == "diverged" else "FINISHED")
        assert found.data.params["learning_rate"] == "0.001"
        assert found.data.tags["variant"] == run.config.variant
        history = client.get_metric_history(found.info.run_id, "test_accuracy")
        assert [(point.step, point.value) for point in history] == [
            (epoch.step, epoch.test_accuracy) for epoch in run.epochs
        ]
        if store.curves(run.key):
            losses = client.get_metric_history(found.info.run_id, "batch.train_loss")
            assert [point.value for point in losses] == pytest.approx(store.curves(run.key)["train_loss"].tolist())


QUICK = ("csv", "parquet", "tensorboard")


def needed(form: str) -> None:
    package = {"parquet": "pyarrow", "tensorboard": "tensorboard"}.get(form)
    if package:
        pytest.importorskip(package, reason=f"{package} is not installed: pip install 'archlab[{form}]'")


@pytest.mark.parametrize("form", QUICK)
def test_the_same_call_twice_doubles_nothing(store: Store, tmp_path: Path, form: str) -> None:
    needed(form)
    target = tmp_path / "out"
    export(store.runs(), form, target, store=store)
    once = len(json.loads((target / MANIFEST).read_text())["files"])
    export(store.runs(), form, target, store=store)
    files = sorted(path for path in target.rglob("*") if path.is_file() and path.name != MANIFEST)
    assert len(files) == once == {"csv": 4, "parquet": 4, "tensorboard": 3}[form]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_a_run_that_is_named_twice_is_there_once(store: Store, tmp_path: Path) -> None:
    runs = store.runs()
    assert len(rows(export([*runs, *runs], "csv", tmp_path / "out", store=store), "runs")) == 3


def test_runs_without_a_store_have_their_epochs(store: Store, tmp_path: Path) -> None:
    folder = export(store.runs(), "csv", tmp_path / "out")
    assert (len(rows(folder, "epochs")), len(rows(folder, "steps"))) == (7, 0)


def test_a_failure_leaves_what_was_there(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = export(store.runs(), "csv", tmp_path / "out", store=store)
    before = (target / "runs.csv").read_text()

    def break_off(histories: Any, folder: Path, place: Path) -> None:
        (folder / "runs.csv").write_text("half")
        raise OSError("no space left on device")

    monkeypatch.setitem(WRITERS, "csv", break_off)
    with pytest.raises(StoreError, match=r"out can't be written: no space left on device"):
        export(store.runs(), "csv", target, store=store)
    assert (target / "runs.csv").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def test_an_interruption_while_folders_change_places_keeps_the_old_one(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = export(store.runs(), "csv", tmp_path / "out")
    moved: list[Path] = []
    rename = Path.rename

    def stop(path: Path, place: Path) -> Path:
        moved.append(path)
        if len(moved) == 2:
            raise KeyboardInterrupt
        return rename(path, place)

    monkeypatch.setattr(Path, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        export(store.runs()[:1], "csv", target)
    assert len(rows(target, "runs")) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "store"]


def with_file(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")


def with_addition(folder: Path) -> None:
    export([Run("run", TrainingConfig(), "finished")], "csv", folder)
    (folder / "thesis.tex").write_text("years of work")


@pytest.mark.parametrize("prepare", [with_file, with_addition])
def test_what_no_export_wrote_is_not_replaced(store: Store, tmp_path: Path, prepare: Callable[[Path], None]) -> None:
    target = tmp_path / "out"
    prepare(target)
    with pytest.raises(InputError, match=r"out holds thesis\.tex, which no export wrote: choose a new folder"):
        export(store.runs(), "csv", target, store=store)
    assert (target / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_taken(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert (export(store.runs(), "csv", tmp_path / "out") / "runs.csv").exists()


def test_what_cannot_be_exported_is_said(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="runs can't be exported to 'tensorbord': did you mean tensorboard"):
        export(store.runs(), "tensorbord", tmp_path / "out")
    with pytest.raises(InputError, match="there is no run to export"):
        export([], "csv", tmp_path / "out")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for place in (Path(), Path("..")):  # the shell would stand in a folder that is gone
        with pytest.raises(InputError, match="is the current folder, or holds it: choose one inside it"):
            export(store.runs(), "csv", place)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file is a file, expected a folder"):
        export(store.runs(), "csv", tmp_path / "file")


@pytest.mark.parametrize(
    ("form", "package"),
    [("parquet", "pyarrow"), ("tensorboard", "tensorboard.summary.writer.event_file_writer"), ("mlflow", "alembic")],
)
def test_without_the_extra_it_says_what_to_install(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=rf"which is not installed: pip install 'archlab\[{form}\]'"):
        export(store.runs(), form, tmp_path / "out", store=store)
    assert not (tmp_path / "out").exists()
