from __future__ import annotations

import json

import numpy as np
import pytest

from archlab.records import Landscape, TrainingConfig
from archlab.store import open_store
from archlab.tables.landscape import landscape_table
from archlab.training import train
from tests.cli.conftest import Call
from tests.training.tiny import SOURCE

CONFIG = TrainingConfig(network=f"{SOURCE}:Linear", epochs=1, train_samples=64, size=8)


def test_the_landscape_of_a_stored_run(archlab: Call) -> None:
    run = train(CONFIG, store=open_store(), device="cpu")
    result = archlab("landscape", run.key, "--points", "3", "--device", "cpu", "--trust", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    probes = open_store().probes(run.key)
    assert probes is not None
    assert probes.landscape is not None
    assert (document["run"], document["coordinates"]) == (run.key, [-1.0, 0.0, 1.0])
    assert document["losses"] == probes.landscape.losses.tolist()
    again = archlab("landscape", run.key, "--points", "3", "--device", "cpu", "--trust")
    assert "has this landscape already (--fresh measures it again)" in again.stderr
    assert "at the trained weights" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'RUN'"),
        (["nothing"], "no run 'nothing'"),
        (["KEY", "--points", "4"], "points is 4, expected an odd number from 3 on"),
    ],
)
def test_a_wrong_call_is_one_message(archlab: Call, arguments: list[str], message: str) -> None:
    run = train(CONFIG, store=open_store(), device="cpu")
    result = archlab("landscape", *[run.key if word == "KEY" else word for word in arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_table_counts_what_is_not_finite() -> None:
    losses = np.array([[1, np.inf, 3], [4, 2, 9], [np.nan, 0.5, 8]], dtype=np.float32)
    table = landscape_table(Landscape(np.array([-1, 0, 1], dtype=np.float32), losses, images=256))
    assert [row.cells for row in table.rows] == [
        ("at the trained weights", 2.0, 0.0, 0.0),
        ("least", 0.5, 0.0, 1.0),
        ("greatest", 9.0, 1.0, 0.0),
    ]
    assert table.footer[-1] == "2 of 9 losses are not finite."
