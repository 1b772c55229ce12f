from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.analysis.deviation import deviation
from archlab.records import NormRecording, Run, TrainingConfig
from archlab.training import recording, seeding
from archlab.training.loop import Trainer
from archlab.training.norms import norm_layers
from archlab.training.recording import NormRecorder
from tests.training.tiny import make_data, make_network

DATA = make_data(50)  # batches of 16, 16, 16, 2


def config(**changes: Any) -> TrainingConfig:
    settings: dict[str, Any] = {"batch_size": 16, "epochs": 2, "learning_rate": 0.01, "precise_images": 32}
    return TrainingConfig(**(settings | changes))


def recorded(norm: str, **changes: Any) -> NormRecording:
    trainer = Trainer(seeding.build(lambda: make_network(norm, bias=False), 0), DATA, config(**changes))
    list(trainer.epochs())
    result = trainer.recording()
    assert result is not None
    return result


def straightforward(norm: str) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """The same training in a plain loop with hooks: rows after steps 1 to 8."""
    network = seeding.build(lambda: make_network(norm, bias=False), 0).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    layers = {path: network.get_submodule(path) for path in ("norm_1", "norm_2")}
    rows: dict[str, dict[str, list[Tensor]]] = {
        path: {name: [] for name in NormRecording.QUANTITIES} for path in layers
    }

    def note(path: str, x: Tensor) -> None:
        values = x.detach().transpose(0, 1).flatten(1).to(torch.float64)
        rows[path]["batch_mean"].append(values.mean(1))
        rows[path]["batch_var"].append(values.var(1, correction=1 if norm == "batch" else 0))

    for path, layer in layers.items():
        layer.register_forward_pre_hook(lambda _, inputs, path=path: note(path, inputs[0]))
    for epoch in (1, 2):
        for indices in torch.split(seeding.order(0, epoch, 50), 16):
            images, labels = DATA.train.batch(indices)
            optimizer.zero_grad()
            F.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            for path, layer in layers.items():
                for quantity, tensor in (
                    ("running_mean", layer.running_mean),
                    ("running_var", layer.running_var),
                    ("gamma", layer.weight),
                    ("beta", layer.bias),
                ):
                    assert isinstance(tensor, Tensor)
                    rows[path][quantity].append(tensor.detach().clone())
    return {
        path: {quantity: torch.stack(values).numpy() for quantity, values in quantities.items()}
        for path, quantities in rows.items()
    }


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_rows_equal_a_straightforward_recomputation(norm: str) -> None:
    result, expected = recorded(norm, record_every=1), straightforward(norm)
    assert result.steps == tuple(range(9))  # 0, and 2 epochs of 4 steps
    for path, quantities in expected.items():
        for quantity, values in quantities.items():
            np.testing.assert_allclose(result.layers[path][quantity][1:], values, rtol=1e-4, atol=2e-5)


def test_first_row_is_the_start() -> None:
    layer = recorded("batch").layers["norm_1"]
    assert layer["running_mean"][0].tolist() == [0, 0, 0]
    assert layer["running_var"][0].tolist() == [1, 1, 1]
    assert np.isnan(layer["batch_mean"][0]).all()
    assert np.isnan(layer["batch_var"][0]).all()
    assert not np.isnan(layer["batch_var"][1:]).any()


@pytest.mark.parametrize(
    ("every", "steps"),
    [(1, (0, 1, 2, 3, 4, 5, 6, 7, 8)), (3, (0, 3, 4, 6, 8)), (100, (0, 4, 8))],
)
def test_every_k_steps_and_the_ends_of_epochs(every: int, steps: tuple[int, ...]) -> None:
    sparse, dense = recorded("batch", record_every=every), recorded("batch", record_every=1)
    assert sparse.steps == steps
    for path, quantities in sparse.layers.items():
        for quantity, values in quantities.items():
            np.testing.assert_array_equal(values, dense.layers[path][quantity][list(steps)])


def test_recording_changes_nothing() -> None:
    states = []
    for every in (0, 1):
        network = seeding.build(make_network, 0)
        list(Trainer(network, DATA, config(record_every=every)).epochs())
        states.append(network.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def test_nothing_to_record() -> None:
    assert Trainer(make_network("none"), DATA, config()).recording() is None
    unrecorded = Trainer(make_network(), DATA, config(record_every=0)).recording()
    assert unrecorded is not None
    assert (unrecorded.steps, unrecorded.layers, unrecorded.population) == ((), {}, {})
    assert [use.path for use in unrecorded.uses] == ["norm_1", "norm_2"]


def test_population_is_kept_for_each_epoch() -> None:
    population = recorded("batch").population
    assert population["norm_1"]["mean"].shape == (2, 3)
    assert population["norm_2"]["variance"].shape == (2, 5)
    assert population["norm_1"]["mean"].dtype == np.float32


def test_full_rows_are_thinned_and_ends_of_epochs_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.BatchNorm1d(2)
    layers = norm_layers(nn.Sequential(layer))
    row = 6 * 4 * 2  # quantities x bytes x channels
    monkeypatch.setattr(recording, "ROW_BYTES", 11 * row)
    recorder = NormRecorder(layers, 1, epochs=4, steps_per_epoch=10)
    for step in range(1, 41):
        if recorder.due(step):
            recorder.before()
            layer.running_mean.fill_(step)  # type: ignore[union-attr]
            recorder.after(step)
    result = recorder.recording()
    assert len(result.steps) <= 11
    assert {0, 10, 20, 30, 40} <= set(result.steps)
    between = [step for step in result.steps if step % 10]
    assert between
    assert all(step % 8 == 0 for step in between)  # 40 steps in 11 rows: k = 1, 2, 4, 8
    assert result.layers["0"]["running_mean"][:, 0].tolist() == list(result.steps)


def test_more_epochs_than_the_bound_has_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "ROW_BYTES", 1)
    recorder = NormRecorder(norm_layers(nn.Sequential(nn.BatchNorm1d(2))), 1, epochs=7, steps_per_epoch=3)
    for step in range(1, 22):
        if recorder.due(step):
            recorder.before()
            recorder.after(step)
    assert {0, 3, 6, 9, 12, 15, 18, 21} <= set(recorder.recording().steps)
    assert len(recorder.recording().steps) <= 16  # two rows per epoch, and the start's


def test_cumulative_average() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3, momentum=None))
    recorder = NormRecorder(norm_layers(network), 1, epochs=1, steps_per_epoch=4)
    torch.manual_seed(0)
    parts = [torch.randn(5, 3) for _ in range(4)]
    for step, part in enumerate(parts, start=1):
        recorder.before()
        network(part)
        recorder.after(step)
    means = recorder.recording().layers["0"]["batch_mean"][1:]
    np.testing.assert_allclose(means, torch.stack([part.mean(0) for part in parts]), atol=1e-6)


def test_two_updates_of_a_step_are_solved_for_together() -> None:
    layer = nn.BatchNorm1d(2)
    recorder = NormRecorder(norm_layers(nn.Sequential(layer)), 1, epochs=1, steps_per_epoch=3)
    batch = torch.randn(8, 2)
    for step, updates in enumerate((1, 2, 0), 1):
        layer.train(updates > 0)
        recorder.before()
        for _ in range(updates):
            layer(batch)
        recorder.after(step)
    means = recorder.recording().layers["0"]["batch_mean"]
    np.testing.assert_allclose(means[1:3], np.stack([batch.mean(0)] * 2), atol=1e-6)
    assert np.isnan(means[[0, 3]]).all()  # no batch went in


@pytest.mark.parametrize(("every", "due"), [(0, [3]), (1, [1, 2, 3]), (2, [2, 3])])
def test_precise_statistics_are_taken_after_the_epochs_that_were_asked_for(every: int, due: list[int]) -> None:
    trainer = Trainer(make_network(), DATA, config(epochs=3, precise_every=every))
    epochs = list(trainer.epochs())
    recording = trainer.recording()
    assert recording is not None
    assert [epoch.epoch for epoch in epochs if epoch.test_accuracy is not None] == due
    assert all(epoch.test_accuracy_running is not None for epoch in epochs)
    for measured in recording.population.values():
        assert [place + 1 for place, row in enumerate(measured["mean"]) if np.isfinite(row).all()] == due
    run = Run("key", config(), "finished", epochs=tuple(epochs))
    last = deviation(run, recording, "norm_1", [epochs[-1].step])
    assert last is not None
    assert np.isfinite(last.ratio).all()


def test_a_network_without_batchnorm_is_tested_after_each_epoch() -> None:
    epochs = list(Trainer(make_network("none"), DATA, config(epochs=3, precise_every=0)).epochs())
    assert all(epoch.test_accuracy is not None for epoch in epochs)
