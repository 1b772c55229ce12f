"""Which layers of a network have weights, as the probes of layers tell it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import seeding
from archlab.training.loop import Trainer
from tests.training.tiny import make_data, make_network

DATA = make_data(20, 10)


@pytest.mark.parametrize("probes", ["signals", "rank", "signals,shift"])
def test_layers_with_weights_are_told_from_others(tmp_path: Path, probes: str) -> None:
    config = TrainingConfig(batch_size=10, epochs=1, probe_every=1, probes=probes, precise_images=10)
    trainer = Trainer(seeding.build(make_network, 0), DATA, config)
    epochs = list(trainer.epochs())
    store = open_store(tmp_path)
    with store.writer(config, {}) as writer:
        for epoch in epochs:
            writer.append(epoch)
        run = writer.finish({}, None, trainer.probes())
    held = store.probes(run.key)
    assert held is not None
    for series in filter(None, (held.signals, held.rank, held.shift)):
        assert series.weighted is not None
        assert {name for name, weighted in zip(series.layers, series.weighted, strict=True) if weighted} == (
            {"linear", "head"} if series is held.shift else {"conv", "linear", "head"}
        )
    if held.signals is not None:
        assert set(held.signals.layers) > {"norm_1", "relu"}
        assert np.isfinite(held.signals.quantities["weight_norm"][:, held.signals.weighted]).all()
