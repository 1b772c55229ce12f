from __future__ import annotations

import numpy as np
import pytest

from archlab.tables import text
from archlab.tables.curves import curves_table, drift, norms_table
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
