from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from archlab.tables import text
from archlab.tables.curves import courses_table, curves_table, drift, norms_table
from tests.reports.samples import recording


def test_drift_is_in_standard_deviations_and_as_a_factor() -> None:
    mean = np.array([[0.0, 0.0], [3.0, 4.0]])
    variance = np.array([[1.0, 1.0], [4.0, 1.0]])
    # sqrt((3 ** 2 / 4 + 4 ** 2 / 1) / 2) = sqrt(9.125); the geometric mean of 4 and 1 is 2
    assert drift(mean, variance) == pytest.approx((9.125**0.5, 2.0))


def test_a_dead_channel_gives_a_number() -> None:
    moved, factor = drift(np.zeros((2, 1)), np.array([[1.0], [0.0]]))
    assert (moved, factor) == pytest.approx((0.0, 1e-12))


def test_a_row_a_layer() -> None:
    table = norms_table(recording(18, channels=(6, 16)))
    assert [row.cells[:2] for row in table.rows] == [("norm_1", 6), ("norm_2", 16)]
    assert len(str(table.rows[0].cells[-1])) == 19  # one character a record, the start among them


def test_of_many_layers_those_that_moved_most_are_shown() -> None:
    kept = recording(18, channels=(4,) * 25)
    table = norms_table(kept, title="BatchNorm")
    shown = [str(row.cells[0]) for row in table.rows]
    moved = {path: drift(layer["running_mean"], layer["running_var"])[0] for path, layer in kept.layers.items()}
    assert len(shown) == 20
    assert min(moved[path] for path in shown) >= max(moved[path] for path in moved if path not in shown)
    assert shown == [path for path in moved if path in shown]  # in the network's order
    assert table.footer[0] == "20 of 25 layers, those whose means moved most."


def test_variants_are_drawn_between_the_same_bounds() -> None:
    def run(losses: list[float]) -> dict[str, Any]:
        steps = np.arange(1, len(losses) + 1)
        return {"step": steps, "train_loss": np.array(losses), "train_accuracy": np.full(len(losses), np.nan)}

    variants = {"a": [run([4.0, 2.0]), run([2.0, 0.0])], "b": [run([5.0, 5.0, 5.0])]}
    told = [line.split() for line in text(courses_table(variants, plain=True)).splitlines()]
    # The means of a are 3 and 1, between 1 and 5: 6 * (3 - 1) / (5 - 1) = 3, the fourth mark.
    assert told[-3:] == [["train", "loss,", "1.0000", "to", "5.0000"], ["a", "2", "=_"], ["b", "1", "###"]]
    assert "first to last step" in text(courses_table(variants))
    assert "2 steps" in text(courses_table({"a": variants["a"]}))


def test_a_row_a_curve() -> None:
    steps = np.arange(1, 101)
    curves = {"step": steps, "train_loss": 2 / steps, "train_accuracy": steps / 100}
    told = text(curves_table(curves, plain=True))
    assert told.isascii()
    assert "100 steps" in told
    loss, accuracy = told.splitlines()[-2:]
    assert loss.split()[:3] == ["train", "loss", "2.0000"]
    assert accuracy.split()[-1] == "100.0%"
    assert accuracy.split()[-2].startswith("_")
    assert accuracy.split()[-2].endswith("#")
