"""What was probed of a run, in other tools' forms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from archlab.exporting import export
from archlab.exporting.history import history
from archlab.exporting.probed import LONGEST_NAME, ProbeRow, probe_rows, scalars
from archlab.records import (
    Epoch,
    GradientCorrelation,
    Landscape,
    LayerSeries,
    Probes,
    Run,
    Similarity,
    Smoothness,
    TrainingConfig,
)
from archlab.store import Store, open_store
from tests.exporting.test_export import needed, rows

NAN = math.nan


def array(*values: Any) -> Any:
    return np.array(values, dtype=np.float32)


SMOOTHNESS = {"loss": (3, 2), "gradient_norm": (2, 4), "effective_beta": (4, 0.5)}
"""Effective beta is the largest change / (rate * gradient): 8 / (1 * 2) = 4, and 1 / (0.5 * 4) = 0.5."""
ALONG = {"loss_along": ((3, 4), (2, 1)), "gradient_change": ((1, 8), (1, 1))}
LAYERS: dict[str, dict[str, dict[str, tuple[float, float]]]] = {
    # There is an update ratio of conv at step 6; act has none at all.
    "signals": {"gradient_norm": {"conv": (1, 3), "act": (2, 4)}, "update_ratio": {"conv": (NAN, 0.5)}},
    "branches": {"branch_variance": {"block": (1, 2)}, "skip_variance": {"block": (3, 4)}},
    "shift": {"shift": {"act": (0.25, 1)}, "shift_cosine": {"act": (1, -1)}},
    "rank": {
        "effective_rank": {"conv": (1, 1.5), "block +": (2, 2)},
        "feature_saturation": {"conv": (1, 1), "block +": (1, 0.5)},
    },
}
"""Probe -> quantity -> layer -> its numbers at steps 0 and 6."""


def of_layers(probe: str) -> LayerSeries:
    found = LAYERS[probe]
    names = tuple(next(iter(found.values())))
    values = {
        quantity: np.array([layers.get(name, (NAN, NAN)) for name in names]) for quantity, layers in found.items()
    }
    return LayerSeries((0, 6), names, {quantity: array(*one.T) for quantity, one in values.items()}, 256)


PROBES = Probes(
    smoothness=Smoothness(
        (0, 6),
        rates=array(0.5, 1),
        loss=array(*SMOOTHNESS["loss"]),
        gradient=array(*SMOOTHNESS["gradient_norm"]),
        losses=array(*ALONG["loss_along"]),
        changes=array(*ALONG["gradient_change"]),
        images=256,
    ),
    landscape=Landscape(array(-1, 0, 1), array([1, 2, 3], [4, 5, 6], [7, 8, 9]), 256),
    signals=of_layers("signals"),
    branches=of_layers("branches"),
    shift=of_layers("shift"),
    rank=of_layers("rank"),
    similarity=Similarity(
        (6,), ("a", "b", "c"), array([[1, 0.5, 0.25], [0.5, 1, 0], [0.25, 0, 1]]), array([0], [0], [0]), 128
    ),
    correlation=GradientCorrelation((6,), array(0, 1), array([1, 0.125]), 8),
)
EXPECTED: list[tuple[Any, ...]] = [
    *(
        (step, "smoothness", None, None, quantity, None, None, value)
        for quantity, values in SMOOTHNESS.items()
        for step, value in zip((0, 6), values, strict=True)
    ),
    *(
        (step, "smoothness", None, None, quantity, rate, None, value)
        for quantity, matrix in ALONG.items()
        for step, row in zip((0, 6), matrix, strict=True)
        for rate, value in zip((0.5, 1), row, strict=True)
    ),
    *(
        (step, probe, layer, None, quantity, None, None, value)
        for probe, quantities in LAYERS.items()
        for quantity, layers in quantities.items()
        for layer, values in layers.items()
        for step, value in zip((0, 6), values, strict=True)
    ),
    (6, "similarity", "a", "b", "alignment", None, None, 0.5),
    (6, "similarity", "a", "c", "alignment", None, None, 0.25),
    (6, "similarity", "b", "c", "alignment", None, None, 0),
    (6, "correlation", None, None, "correlation", 0, None, 1),
    (6, "correlation", None, None, "correlation", 1, None, 0.125),
    *((None, "landscape", None, None, "loss", x, y, 5 + x + 3 * y) for y in (-1, 0, 1) for x in (-1, 0, 1)),
]
SCALARS = {
    "probe.smoothness.loss": {0: 3, 6: 2},
    "probe.smoothness.gradient_norm": {0: 2, 6: 4},
    "probe.smoothness.effective_beta": {0: 4, 6: 0.5},
    "probe.signals.gradient_norm/conv": {0: 1, 6: 3},
    "probe.signals.gradient_norm/act": {0: 2, 6: 4},
    "probe.signals.update_ratio/conv": {0: NAN, 6: 0.5},
    "probe.branches.branch_variance/block": {0: 1, 6: 2},
    "probe.branches.skip_variance/block": {0: 3, 6: 4},
    "probe.shift.shift/act": {0: 0.25, 6: 1},
    "probe.shift.shift_cosine/act": {0: 1, 6: -1},
    "probe.rank.effective_rank/conv": {0: 1, 6: 1.5},
    "probe.rank.effective_rank/block _": {0: 2, 6: 2},
    "probe.rank.feature_saturation/conv": {0: 1, 6: 1},
    "probe.rank.feature_saturation/block _": {0: 1, 6: 0.5},
    "probe.correlation.correlation/distance 0.000": {6: 1},
    "probe.correlation.correlation/distance 1.000": {6: 0.125},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A run of one epoch of 6 steps, 0.5 s long, that was probed before and after it, and one that was not."""
    found = open_store(tmp_path / "store")
    for seed, probes in ((0, PROBES), (1, None)):
        with found.writer(TrainingConfig(seed=seed, epochs=1), {}, 10) as writer:
            writer.append(Epoch(1, 6, 0.5, 2.0, 0.25, 2.1, 0.3))
            writer.finish({}, None, probes)
    return found


def as_numbers(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row as the probe gives it: all but its step are floats."""
    return tuple(float(item) if isinstance(item, int) and place > 0 else item for place, item in enumerate(row))


def test_every_number_is_a_row() -> None:
    # Written out, NaN is equal to itself.
    assert sorted(str(tuple(row)) for row in probe_rows(PROBES)) == sorted(str(as_numbers(row)) for row in EXPECTED)
    assert list(probe_rows(None)) == list(probe_rows(Probes())) == []


def test_scalars_are_what_is_one_number_by_step() -> None:
    found: dict[str, dict[int, float]] = {}
    for name, step, value in scalars(probe_rows(PROBES)):
        found.setdefault(name, {})[step] = value
    assert set(found) == set(SCALARS)
    for name, values in SCALARS.items():
        assert found[name] == pytest.approx(values, nan_ok=True), name


@pytest.mark.parametrize(
    ("layers", "ends"),
    [
        (("",), [""]),  # the network is itself a layer
        (("block #2", "block +", "block _2"), ["/block _2", "/block _", "/block _2 2"]),
        (("a/b", "a:b", "ä-1.b"), ["/a_b", "/a_b 2", "/ä-1.b"]),
        # 250 characters less the 26 of probe.rank.effective_rank/
        (("n" * 300, "n" * 301), [f"/{'n' * 224}", f"/{'n' * 222} 2"]),
    ],
)
def test_names_of_scalars_are_those_that_mlflow_takes_and_differ(layers: tuple[str, ...], ends: list[str]) -> None:
    every = [ProbeRow(1, "rank", layer, None, "effective_rank", None, None, 1.0) for layer in layers]
    found = [name for name, *_ in scalars(every)]
    assert found == [f"probe.rank.effective_rank{end}" for end in ends]
    assert max(map(len, found)) <= LONGEST_NAME


def test_csv_and_parquet_have_one_long_table(store: Store, tmp_path: Path) -> None:
    told = rows(export(store.runs(), "csv", tmp_path / "csv", store=store), "probes")
    (key,) = {row["run"] for row in told}
    assert store.run(key).config.seed == 0
    assert list(told[0]) == ["run", "step", "probe", "layer", "other", "quantity", "x", "y", "value"]
    written = [tuple("" if item is None else str(item) for item in as_numbers(row)) for row in EXPECTED]
    assert sorted(tuple(row.values())[1:] for row in told) == sorted(written)

    needed("parquet")
    from pyarrow import parquet

    table = parquet.read_table(export(store.runs(), "parquet", tmp_path / "out", store=store) / "probes.parquet")
    kinds = ["string", "int64", "string", "string", "string", "string", "double", "double", "double"]
    assert [str(kind) for kind in table.schema.types] == kinds
    assert [
        {name: "" if value is None else str(value) for name, value in row.items()} for row in table.to_pylist()
    ] == told


def test_runs_without_probes_have_an_empty_table(store: Store, tmp_path: Path) -> None:
    unprobed = [run for run in store.runs() if run.config.seed == 1]
    assert rows(export(unprobed, "csv", tmp_path / "out", store=store), "probes") == []
    header = "run,step,probe,layer,other,quantity,x,y,value\n"
    assert (tmp_path / "out" / "probes.csv").read_text(encoding="utf-8") == header
    assert history(store.runs()[0], None).probes == ()  # without a store


def test_tensorboard_has_the_scalars(store: Store, tmp_path: Path) -> None:
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed: pip install 'archlab[tensorboard]'",
    )
    folder = export(store.runs(), "tensorboard", tmp_path / "out", store=store)
    for run in store.runs():
        found = reader.EventAccumulator(str(folder / run.key), size_guidance={"scalars": 0}).Reload()
        tags = {tag for tag in found.Tags()["scalars"] if tag.startswith("probe")}
        assert tags == (set(SCALARS) if run.config.seed == 0 else set())
        for tag in tags:
            values = {event.step: event.value for event in found.Scalars(tag)}
            assert values == pytest.approx(SCALARS[tag], nan_ok=True), tag


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, about SQLAlchemy
def test_mlflow_has_the_scalars(store: Store, tmp_path: Path) -> None:
    for name in ("mlflow", "sqlalchemy", "alembic"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'archlab[mlflow]'")
    import mlflow

    folder = export(store.runs(), "mlflow", tmp_path / "out", store=store)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("lenet on digits")
    told = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    for run in store.runs():
        found = told[run.key]
        names = {name for name in found.data.metrics if name.startswith("probe")}
        assert names == (set(SCALARS) if run.config.seed == 0 else set())
        for name in names:
            points = client.get_metric_history(found.info.run_id, name)
            assert {point.step: point.value for point in points} == pytest.approx(SCALARS[name], nan_ok=True), name
            # An epoch of 6 steps took 0.5 s.
            assert {point.timestamp - found.info.start_time for point in points} <= {0, 500}


def test_a_run_that_the_store_has_not_has_no_probes(store: Store) -> None:
    assert history(Run("gone", TrainingConfig(), "finished"), store).probes == ()
