from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import RunError
from archlab.records import Epoch, Landscape, Smoothness, TrainingConfig
from archlab.records.config import PROBES
from archlab.training import seeding
from archlab.training.loop import Trainer
from archlab.training.probes import landscape, surface
from archlab.training.probes.smoothness import RATES, along_gradient
from archlab.training.probes.surface import Surface
from tests.training.tiny import Poisoned, make_data, make_network

DATA = make_data(50, 20)
CONFIG = TrainingConfig(batch_size=16, epochs=2, learning_rate=0.01, precise_images=48)
PROBED = replace(CONFIG, probe_every=2, landscape=3)


def trained(config: TrainingConfig, norm: str = "batch", dropout: float = 0.0) -> tuple[Trainer, list[Epoch]]:
    trainer = Trainer(seeding.build(lambda: make_network(norm, dropout=dropout), 0), DATA, config)
    epochs = list(trainer.epochs())
    trainer.measure_landscape()
    return trainer, epochs


def probed(trainer: Trainer) -> tuple[Smoothness, Landscape]:
    found = trainer.probes()
    assert found is not None
    assert found.smoothness is not None
    assert found.landscape is not None
    return found.smoothness, found.landscape


def timeless(epoch: Epoch) -> Epoch:
    return replace(epoch, seconds=0, evaluation_seconds=0, precise_seconds=0)


@pytest.mark.parametrize("norm", ["batch", "scratch", "none"])
@pytest.mark.parametrize("probes", [*PROBES, "all"])
def test_probes_change_nothing(norm: str, probes: str) -> None:
    """Weights, statistics, curves, recording and random state are bit for bit those of a run without probes."""
    plain, epochs = trained(CONFIG, norm, dropout=0.3)
    network = seeding.build(lambda: make_network(norm, dropout=0.3), 0)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    other = Trainer(network, DATA, replace(PROBED, probes=probes))
    probed_epochs = list(other.epochs())
    other.measure_landscape()
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in plain._network.state_dict().items():
        assert torch.equal(value, network.state_dict()[name]), name
    assert [timeless(epoch) for epoch in probed_epochs] == [timeless(epoch) for epoch in epochs]
    for name, values in plain.curves().items():
        np.testing.assert_array_equal(values, other.curves()[name])
    assert all(module.training for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    mine, theirs = other.recording(), plain.recording()
    assert (mine is None) == (theirs is None) == (norm == "none")
    if mine is not None and theirs is not None:
        for path, layer in theirs.layers.items():
            for quantity, values in layer.items():
                np.testing.assert_array_equal(mine.layers[path][quantity], values)


def test_nothing_is_probed_unless_asked_for() -> None:
    assert trained(CONFIG)[0].probes() is None
    one_of_two = (replace(PROBED, probe_every=0), replace(PROBED, landscape=0))
    found = [trained(config)[0].probes() for config in one_of_two]
    assert [type(part) for one in found if one for part in (one.smoothness, one.landscape)] == (
        [type(None), Landscape, Smoothness, type(None)]
    )


@pytest.mark.parametrize(("every", "steps"), [(1, range(9)), (3, (0, 3, 6)), (8, (0, 8)), (100, (0,))])
def test_looks_come_every_so_many_steps(every: int, steps: Sequence[int]) -> None:
    smoothness, _ = probed(trained(replace(PROBED, probe_every=every))[0])  # 2 epochs of 4 steps
    assert smoothness.steps == tuple(steps)
    assert smoothness.losses.shape == smoothness.changes.shape == (len(steps), len(RATES))


def test_time_of_probes_is_no_training_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(Trainer, "_now", lambda _: clock[0])
    monkeypatch.setattr(
        "archlab.training.probes.smoothness.SmoothnessProbe.look", lambda *_: clock.__setitem__(0, clock[0] + 100)
    )
    trainer = Trainer(make_network(), DATA, PROBED)
    epochs = list(trainer.epochs(lambda step: clock.__setitem__(0, clock[0] + 1)))
    assert [epoch.seconds for epoch in epochs] == [4, 8]  # a second per step


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_surface_is_the_loss_of_the_same_images_in_training_mode(norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "PROBED_IMAGES", 10)
    smoothness, around = probed(trained(PROBED, norm)[0])
    assert smoothness.images == around.images == 10
    images, labels = DATA.train.batch(seeding.order(0, 0, 50)[:10])
    network = seeding.build(lambda: make_network(norm), 0).train()
    assert smoothness.loss[0] == F.cross_entropy(network(images), labels).item()
    weights = trained(CONFIG, norm)[0]._network
    after = F.cross_entropy(weights(images), labels).item()
    assert smoothness.loss[-1] == around.losses[1, 1] == np.float32(after)


class Linear(nn.Linear):
    """Weights 1, 1, 1; the loss |Xw|² / 2 has the gradient Hw and the Hessian H = XᵀX."""

    def __init__(self, inputs: Tensor) -> None:
        super().__init__(inputs.shape[1], 1, bias=False)
        nn.init.ones_(self.weight)
        self.inputs = inputs

    def loss(self) -> Tensor:
        result: Tensor = self(self.inputs).square().sum() / 2
        return result


def test_quadratic_loss_is_a_parabola_along_its_gradient() -> None:
    network = Linear(torch.diag(torch.tensor([1.0, 2.0, 3.0])))  # H = diag(1, 4, 9)
    row = along_gradient(Surface(network, network.loss, 3), RATES).tolist()
    # L = (1 + 4 + 9) / 2 = 7; g = (1, 4, 9), |g|² = 1 + 16 + 81 = 98
    assert row[:2] == pytest.approx([7, math.sqrt(98)])
    # L(w - eta g) = L - eta |g|² + eta² gᵀHg / 2, where gᵀHg = 1 + 4 * 16 + 9 * 81 = 794
    assert row[2:10] == pytest.approx([7 - 98 * eta + 794 / 2 * eta**2 for eta in RATES], rel=1e-5)
    # eta |Hg|, where |Hg|² = 1 + 16² + 81² = 6818
    assert row[10:] == pytest.approx([eta * math.sqrt(6818) for eta in RATES], rel=1e-5)
    assert network.weight.tolist() == [[1, 1, 1]]


@given(st.lists(st.integers(-4, 4), min_size=9, max_size=9).filter(any))
@settings(max_examples=30, deadline=None)
def test_gradient_of_a_quadratic_changes_by_no_more_than_its_largest_curvature(numbers: list[int]) -> None:
    inputs = torch.tensor(numbers, dtype=torch.float32).view(3, 3)
    network = Linear(inputs)
    row = along_gradient(Surface(network, network.loss, 3), RATES)
    largest = torch.linalg.eigvalsh((inputs.T @ inputs).to(torch.float64))[-1].item()
    for rate, change in zip(RATES, row[10:].tolist(), strict=True):
        assert change <= largest * rate * row[1].item() * 1.001 + 1e-3


def test_diverging_loss_is_data() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 3.0)
    surface = Surface(network, lambda: torch.exp(network.weight**4).sum(), 1)  # exp(81); then exp of infinity
    row = along_gradient(surface, (1e-40, 1.0))
    assert torch.isfinite(row[:3]).all()
    assert not torch.isfinite(row[3])
    assert network.weight.item() == 3


def test_probes_of_a_run_that_fails_are_kept() -> None:
    network = Poisoned(healthy_steps=2 * (1 + len(RATES)) + 2)  # looks at steps 0 and 2, and the steps 1 and 2
    trainer = Trainer(network, DATA, PROBED)
    with pytest.raises(RunError, match="diverged: the loss at step 3"):
        list(trainer.epochs())
    found = trainer.probes()
    assert found is not None
    assert found.smoothness is not None
    assert found.smoothness.steps == (0, 2, 4)
    assert np.isfinite(found.smoothness.losses).all(axis=1).tolist() == [True, True, False]


class Replacing(nn.Module):
    """Puts a new tensor in its buffer's place in each pass, and fails in the third."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1, 1)
        self.register_buffer("seen", torch.zeros(()))

    def loss(self) -> Tensor:
        self.seen = self.seen + 1
        if self.seen == 3:
            raise ArithmeticError("no luck today")
        result: Tensor = self.head.weight.sum() ** 2
        return result


def test_everything_is_put_back_also_after_a_failure() -> None:
    network = Replacing()
    buffer, weight = network.seen, network.head.weight.detach().clone()
    with pytest.raises(ArithmeticError):
        along_gradient(Surface(network, network.loss, 1), RATES)
    assert network.seen is buffer
    assert buffer == 0
    assert torch.equal(network.head.weight, weight)


def surface_of(network: nn.Module) -> Surface:
    return Surface(network, lambda: torch.zeros(()), 1)


def test_filters_of_a_direction_have_the_norms_of_the_networks() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3, groups=3), nn.Linear(12, 1), nn.LayerNorm([4, 5])
    )
    network.register_parameter("scale", nn.Parameter(torch.ones(1, 3, 1, 1)))
    network.register_parameter("matrix", nn.Parameter(torch.ones(2, 8)))
    found = landscape.direction(surface_of(network), 0, 1)
    assert sorted(found) == ["0.weight", "2.weight", "3.weight", "matrix"]
    for name, along in found.items():
        ours, theirs = (tensor.detach().flatten(1).norm(dim=1) for tensor in (along, network.get_parameter(name)))
        torch.testing.assert_close(ours, theirs)


def test_directions_depend_on_seed_number_and_name_alone() -> None:
    def found(norm: str, seed: int, number: int) -> dict[str, Tensor]:
        return landscape.direction(surface_of(seeding.build(lambda: make_network(norm), 0)), seed, number)

    ours, theirs = found("batch", 0, 1), found("none", 0, 1)
    assert sorted(ours) == sorted(theirs) == ["conv.weight", "head.weight", "linear.weight"]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for other in (found("batch", 1, 1), found("batch", 0, 2)):
        assert not any(torch.equal(ours[name], other[name]) for name in ours)


def test_grid_is_the_loss_at_the_weights_and_around_them() -> None:
    network = Linear(torch.diag(torch.tensor([1.0, 2.0, 3.0])))
    surface = Surface(network, network.loss, 3)
    points: list[int] = []
    found = landscape.measure(surface, 7, 5, points.append)
    assert points == list(range(1, 26))
    assert found.coordinates.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert found.losses[2, 2] == 7
    first, second = (landscape.direction(surface, 7, number)["weight"].double() for number in (1, 2))
    for row, y in enumerate(found.coordinates.tolist()):
        for column, x in enumerate(found.coordinates.tolist()):
            weights = 1 + x * first + y * second
            loss = (weights.square() * torch.tensor([1, 4, 9])).sum().item() / 2
            assert found.losses[row, column] == pytest.approx(loss, rel=1e-5)
    assert network.weight.tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("points", [3, 15, 21, 49, 101])
def test_weights_are_exactly_the_middle(points: int) -> None:
    network = Linear(torch.eye(3))
    found = landscape.measure(Surface(network, network.loss, 3), 0, points)
    assert found.coordinates[points // 2] == 0
    assert (found.coordinates[0], found.coordinates[-1]) == (-1, 1)
