from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import DivergedError
from archlab.networks.batchnorm import BatchNorm
from archlab.records import LayerSeries, Probes, TrainingConfig
from archlab.training import seeding
from archlab.training.loop import Trainer
from archlab.training.probes import correlation, surface
from archlab.training.probes.features import alignment, centred_kernel, dimensions, spread
from archlab.training.probes.listening import has_weights, listening
from archlab.training.probes.shift import covariate_shift
from archlab.training.probes.signals import dead_share
from archlab.training.probes.surface import Surface
from tests.training.tiny import make_data, make_network

DATA = make_data(50, 20)
CONFIG = TrainingConfig(batch_size=25, epochs=2, learning_rate=0.1, optimizer="sgd", precise_images=48, probe_every=2)
Addition = Callable[[Any, Any], Any]
GENERATOR = torch.Generator().manual_seed(0)


def probed(network: nn.Module, probes: str = "signals", config: TrainingConfig = CONFIG) -> Probes:
    trainer = Trainer(network, DATA, replace(config, probes=probes))
    list(trainer.epochs())
    found = trainer.probes()
    assert found is not None
    return found


def series(network: nn.Module, probe: str, config: TrainingConfig = CONFIG) -> LayerSeries:
    found = getattr(probed(network, {"branches": "signals"}.get(probe, probe), config), probe)
    assert isinstance(found, LayerSeries)
    return found


class Residual(nn.Module):
    """Adds what its branch gives to what came in, in one of several ways."""

    def __init__(self, add: Addition, project: bool = False) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.shortcut = nn.Linear(64, 64) if project else nn.Identity()
        self.add = add

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.add(self.second(torch.relu(self.first(x))), self.shortcut(x))
        return result


class Doubling(nn.Module):
    """Adds what it was given to itself, a position to it, and two layers that stand side by side: no skip at all."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(64, 64), nn.Linear(64, 64)
        self.position = nn.Parameter(torch.ones(1, 64))

    def forward(self, x: Tensor) -> Tensor:
        here = x + x + self.position.expand(len(x), 64)
        result: Tensor = self.left(here) + self.right(here)
        return result


def flat(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *layers, nn.Linear(64, 10))


# --- signals ---------------------------------------------------------------------------------------------------------


def test_signals_are_those_of_a_plain_pass() -> None:
    """At each look: what layers give, gradients with respect to it, weights; all beside torch's own numbers."""
    found = series(seeding.build(make_network, 0), "signals")
    assert found.steps == (0, 2, 4)
    assert found.images == 50
    assert found.layers == ("conv", "norm_1", "relu", "pool", "linear", "norm_2", "dropout", "head")
    network = seeding.build(make_network, 0).train()
    assert isinstance(network, nn.Sequential)
    images, labels = DATA.train.batch(seeding.order(0, 0, 50))
    held = []
    x = images
    for layer in network:
        x = layer(x)
        x.retain_grad()
        held.append(x)
    F.cross_entropy(x, labels).backward()  # type: ignore[no-untyped-call]
    kept = [(layer, output) for layer, output in zip(network, held, strict=True) if not isinstance(layer, nn.Flatten)]
    for place, (layer, output) in enumerate(kept):
        row = {name: values[0, place] for name, values in found.quantities.items()}
        for name, tensor in (("activation", output.detach()), ("gradient", output.grad)):
            assert tensor is not None
            expected = [tensor.norm(), tensor.mean(), tensor.var(correction=0), (tensor == 0).float().mean()]
            got = [row[f"{name}_{part}"] for part in ("norm", "mean", "variance", "zeros")]
            assert got == pytest.approx([value.item() for value in expected], rel=1e-5, abs=1e-8)
        own = list(layer.parameters())
        parts = [held.detach() for held in own], [held.grad for held in own if held.grad is not None]
        norms = [torch.cat([part.flatten() for part in some]).norm().item() if own else math.nan for some in parts]
        assert [row["weight_norm"], row["weight_gradient_norm"]] == pytest.approx(norms, rel=1e-5, nan_ok=True)
        assert math.isnan(row["update_ratio"])  # no step yet


def test_update_ratio_is_that_of_the_step_before_the_look() -> None:
    network = seeding.build(make_network, 0)
    found = series(network, "signals", replace(CONFIG, epochs=1))  # looks after steps 0 and 2, the last
    other = seeding.build(make_network, 0)
    trainer = Trainer(other, DATA, replace(CONFIG, epochs=1, probe_every=0))
    before: list[Tensor] = []

    def keep(step: int) -> None:
        before.append(torch.cat([held.detach().flatten() for held in other.get_submodule("conv").parameters()]))

    list(trainer.epochs(keep))
    expected = (before[1] - before[0]).norm() / before[0].norm()
    assert found.quantities["update_ratio"][1, 0] == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("activation", "value", "saturated"),
    [  # of a sigmoid, 0.95 is ln 19 = 2.94; of a tanh, 0.9 is artanh 0.9 = 1.47
        (nn.Sigmoid(), 3.0, 1.0),
        (nn.Sigmoid(), -3.0, 1.0),
        (nn.Sigmoid(), 2.9, 0.0),
        (nn.Tanh(), 1.5, 1.0),
        (nn.Tanh(), -1.4, 0.0),
        (nn.ReLU(), 3.0, math.nan),
    ],
)
def test_saturation(activation: nn.Module, value: float, saturated: float) -> None:
    layer = nn.Linear(64, 64)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, value)
    found = series(flat(layer, activation), "signals").quantities["activation_saturated"]
    assert found[0].tolist() == pytest.approx([math.nan, saturated, math.nan], nan_ok=True)


def test_the_look_at_the_end_leaves_the_network_and_random_states_as_they_were() -> None:
    network = seeding.build(lambda: make_network(dropout=0.5), 0)
    trainer = Trainer(network, DATA, replace(CONFIG, probe_every=0))
    list(trainer.epochs())
    held = {name: value.clone() for name, value in network.state_dict().items()}
    gradients = [None if one.grad is None else one.grad.clone() for one in network.parameters()]
    modes, random = [module.training for module in network.modules()], torch.get_rng_state()
    assert trainer.probes() is None
    trainer.look_at_end()
    found = trainer.probes()
    assert found is not None
    assert found.signals is not None
    assert (found.signals.steps, found.signals.images) == ((4,), 50)
    assert all(torch.equal(value, held[name]) for name, value in network.state_dict().items())
    after = [one.grad for one in network.parameters()]
    assert all(
        (one is None and other is None) or (one is not None and other is not None and torch.equal(one, other))
        for one, other in zip(gradients, after, strict=True)
    )
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(random, torch.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


def test_a_training_of_no_finite_loss_is_looked_at_in_its_first_weights() -> None:
    network = make_network()
    trainer = Trainer(network, DATA, replace(CONFIG, probe_every=0, learning_rate=1e30))
    with pytest.raises(DivergedError):
        list(trainer.epochs())
    trainer.look_at_start(make_network())
    found = trainer.probes()
    assert found is not None
    assert found.signals is not None
    assert found.signals.steps == (0,)
    assert np.isfinite(found.signals.quantities["gradient_norm"]).all()
    assert np.isnan(found.signals.quantities["update_ratio"]).all()


class Functional(nn.Module):
    """A layer of 64 units and a ReLU: three in four of them are never above 0, the others always."""

    def __init__(self, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 64)
        nn.init.constant_(self.linear.bias[:48].detach(), -5)
        nn.init.constant_(self.linear.bias[48:].detach(), 5)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.activation(self.linear(x))
        return hidden


@pytest.mark.parametrize(
    ("activation", "layers"),
    [
        (nn.ReLU(), ("1.linear", "1.activation", "2")),
        (nn.ReLU6(), ("1.linear", "1.activation", "2")),
        (torch.relu, ("1.linear", "1.relu()", "2")),
        (Tensor.relu, ("1.linear", "1.relu()", "2")),
        (F.relu, ("1.linear", "1.relu()", "2")),
        (lambda x: F.relu(x, inplace=True), ("1.linear", "1.relu()", "2")),
    ],
)
def test_dead_units_of_relus_that_are_modules_and_that_are_none(
    activation: Callable[[Tensor], Tensor], layers: tuple[str, ...]
) -> None:
    found = series(flat(Functional(activation)), "signals")
    assert found.layers == layers
    dead, gradients = (found.quantities[name][0].tolist() for name in ("activation_dead", "gradient_norm"))
    assert dead == pytest.approx([math.nan, 48 / 64, math.nan], nan_ok=True)
    assert all(gradient > 0 for gradient in gradients)


@pytest.mark.parametrize(
    ("shape", "silent", "dead"),
    [((2, 4), 1, 0.25), ((2, 4, 3, 3), 2, 0.5), ((2, 5, 4), 3, 0.75)],  # features; channels of a grid; of a sequence
)
def test_units_are_channels_of_grids_and_features_of_the_rest(shape: tuple[int, ...], silent: int, dead: float) -> None:
    units = torch.ones(shape)
    units.narrow(2 if len(shape) == 3 else 1, 0, silent).zero_()
    units[0, -1] = 0  # one image's is not silent for all
    assert dead_share(units).item() == dead


def test_in_place_activations_and_layers_called_twice() -> None:
    """What a layer gave is measured before another writes over it; its second call has a row without weights."""
    shared = nn.Linear(64, 64)
    found = series(flat(shared, nn.ReLU(inplace=True), shared), "signals")
    assert found.layers == ("1", "2", "1 #2", "4")
    zeros = found.quantities["activation_zeros"][0]
    assert zeros[0] == 0
    assert zeros[1] > 0.1
    assert np.isfinite(found.quantities["gradient_norm"][0]).all()
    assert np.isnan(found.quantities["weight_norm"][0]).tolist() == [False, True, True, False]


def test_frozen_layers_have_no_gradient() -> None:
    frozen = nn.Linear(64, 64).requires_grad_(False)
    found = series(flat(frozen), "signals")
    assert np.isnan(found.quantities["gradient_norm"][0]).tolist() == [True, False]
    assert np.isnan(found.quantities["weight_norm"][0]).tolist() == [True, False]


# --- branches --------------------------------------------------------------------------------------------------------

ADDITIONS = {
    "branch + skip": lambda branch, skip: branch + skip,
    "skip + branch": lambda branch, skip: skip + branch,
    "in place": lambda branch, skip: branch.add_(skip),
    "torch.add": torch.add,
}


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("add", ADDITIONS.values(), ids=ADDITIONS.keys())
def test_branch_and_skip(add: Addition, project: bool) -> None:
    def make() -> nn.Sequential:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return flat(nn.Linear(64, 64), Residual(add, project))

    found, plain = series(make(), "branches"), make()
    assert found.layers == ("2",)
    here = plain[1](DATA.train.batch(seeding.order(0, 0, 50))[0].flatten(1))
    block = plain[2]
    assert isinstance(block, Residual)
    sides = block.second(torch.relu(block.first(here))), block.shortcut(here)
    values = [found.quantities[name][0, 0] for name in Probes.BRANCHES]
    assert values == pytest.approx([side.var(correction=0).item() for side in sides], rel=1e-5)


@pytest.mark.parametrize(
    ("layers", "joins"),
    [
        ((Doubling(),), ()),
        ((nn.Unflatten(1, (8, 8)), nn.TransformerEncoderLayer(8, 2, 16), nn.Flatten()), ("2", "2 #2")),
        ((Residual(torch.add), Residual(torch.add)), ("1", "2")),
        ((nn.Linear(64, 64), nn.ReLU()), ()),
    ],
)
def test_what_joins(layers: tuple[nn.Module, ...], joins: tuple[str, ...]) -> None:
    """Sums of equally deep sides, of positions, of a tensor with itself are no skip connections."""
    found = probed(flat(*layers)).branches
    assert (() if found is None else found.layers) == joins


def test_a_failing_pass_leaves_no_hook() -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(4, 4))
    with pytest.raises(RuntimeError), listening(network, torch.ones(2, 3), []) as images:
        network(images)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())


# --- shift -----------------------------------------------------------------------------------------------------------


def test_shift_of_two_linear_layers() -> None:
    """The loss v w x with numbers: dL/dv = w x, before the step w = 2 and after it w = 5, at x = 3."""
    layers = {"w": nn.Linear(1, 1, bias=False), "v": nn.Linear(1, 1, bias=False)}
    network, (w, v) = nn.ModuleDict(layers), [layer.weight for layer in layers.values()]
    nn.init.constant_(w, 5.0)
    nn.init.constant_(v, 7.0)
    surface = Surface(network, lambda: (v * w * 3.0).sum(), 1)
    before = {"w.weight": torch.tensor([[2.0]]), "v.weight": torch.tensor([[1.0]])}
    ((shift, cosine),) = covariate_shift(surface, [["w.weight"], ["v.weight"]], [1], before)
    assert shift.item() == 9  # |2 * 3 - 5 * 3|
    assert cosine.item() == 1
    assert (w.item(), v.item()) == (5, 7)


def test_shift_is_measured_of_all_but_the_first_layer() -> None:
    found = series(seeding.build(make_network, 0), "shift")
    assert found.steps == (2, 4)  # before the first step nothing has moved
    assert found.layers == ("linear", "head")
    assert (found.quantities["shift"] > 0).all()
    assert (np.abs(found.quantities["shift_cosine"]) <= 1.0001).all()


# --- rank ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "rank", "saturation"),
    [
        ([1, 1, 1, 1], 4.0, 1.0),
        ([1, 0, 0, 0], 1.0, 0.25),
        ([1, 1, 0, 0], 2.0, 0.5),
        # p = 3/4, 1/4: exp(3/4 ln 4/3 + 1/4 ln 4); of the variance 9 of 10 parts are the first's, so both are needed
        ([3, 1, 0, 0], math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)), 0.5),
        ([100, 1, 0, 0], math.exp(-100 / 101 * math.log(100 / 101) + 1 / 101 * math.log(101)), 0.25),
    ],
)
@pytest.mark.parametrize("copies", [1, 50])
def test_dimensions_of_known_spectra(lengths: list[float], rank: float, saturation: float, copies: int) -> None:
    """Orthogonal directions of these lengths, each there and back, so that the mean is 0; in any rotation."""
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=GENERATOR)).Q
    samples = torch.diag(torch.tensor(lengths, dtype=torch.float32)) @ rotation
    found = dimensions(torch.cat([samples, -samples]).repeat(copies, 1))
    assert [value.item() for value in found] == pytest.approx([rank, saturation], rel=1e-3)


@pytest.mark.parametrize("value", [0.0, 3.0, math.nan])
def test_dimensions_of_equal_samples_are_none(value: float) -> None:
    assert [number.isnan().item() for number in dimensions(torch.full((6, 3), value))] == [True, True]


def test_rounding_is_no_feature() -> None:
    samples = 0.7 + 1e-8 * torch.randn(128, 40, generator=GENERATOR, dtype=torch.float64)
    assert dimensions(samples)[0].isnan()
    assert centred_kernel(samples).isnan().all()


@given(st.integers(2, 9), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_rank_lies_between_one_and_what_there_can_be(samples: int, channels: int, seed: int) -> None:
    values = torch.randn(samples, channels, generator=torch.Generator().manual_seed(seed))
    rank, saturation = (value.item() for value in dimensions(values))
    assert 1 - 1e-4 <= rank <= min(samples - 1, channels) + 1e-3
    assert 0 < saturation <= 1


def test_features_are_those_of_layers_with_weights_and_of_sums() -> None:
    network = flat(nn.Linear(64, 64), nn.LayerNorm(64), Residual(torch.add))
    assert series(network, "rank").layers == ("1", "3.first", "3.second", "3 +", "4")


# --- similarity ------------------------------------------------------------------------------------------------------


def cka(one: Tensor, other: Tensor) -> float:
    return alignment(torch.stack([centred_kernel(one), centred_kernel(other)]))[0, 1].item()


def hsic(one: Tensor, other: Tensor) -> float:
    """The unbiased estimate as Song et al. write it (2012, Feature Selection via Dependence Maximization, eq. 5)."""
    n = len(one)
    k, h = (kernel.double().fill_diagonal_(0) for kernel in (one @ one.T, other @ other.T))
    ones = torch.ones(n, dtype=torch.float64)
    sums = (k @ h).trace() + (ones @ k @ ones) * (ones @ h @ ones) / ((n - 1) * (n - 2))
    return float((sums - 2 / (n - 2) * (ones @ k @ h @ ones)) / (n * (n - 3)))


@given(st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_alignment_is_that_of_the_unbiased_estimate(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, mixed = torch.randn(12, 5, generator=generator), torch.randn(5, 7, generator=generator)
    other = one @ mixed + torch.randn(12, 7, generator=generator)
    expected = hsic(one, other) / math.sqrt(hsic(one, one) * hsic(other, other))
    assert cka(one, other) == pytest.approx(expected, abs=1e-4)


def test_alignment_sees_no_rotation_scale_or_shift_and_nothing_in_noise() -> None:
    one = torch.randn(128, 40, generator=GENERATOR)
    rotation = torch.linalg.qr(torch.randn(40, 40, generator=GENERATOR)).Q
    assert cka(one, 3 * one @ rotation + 5) == pytest.approx(1, abs=1e-4)
    wide = [torch.randn(128, 1000, generator=GENERATOR) for _ in range(2)]
    assert abs(cka(*wide)) < 0.05  # the biased estimate is 0.89


def test_similarity_of_the_last_look_compares_networks() -> None:
    found = probed(seeding.build(make_network, 0), "similarity").similarity
    assert found is not None
    assert found.layers == ("conv", "linear", "head")
    assert found.alignment.shape == (3, 3, 3)
    assert found.images == 50
    assert np.diagonal(found.alignment, axis1=1, axis2=2) == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(2 * found.last @ found.last.T, found.alignment[-1], atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "weights"),
    [
        (nn.Linear(64, 1), True),  # a matrix of a single row
        (nn.Conv2d(1, 1, 1), True),
        (nn.Conv2d(8, 8, 3, groups=8), True),
        (nn.Embedding(9, 4), True),
        (nn.LayerNorm((8, 8)), False),  # scales and shifts, in a matrix
        (nn.BatchNorm2d(8), False),
        (BatchNorm(8), False),
        (nn.PReLU(8), False),
        (nn.Linear(64, 10).requires_grad_(False), False),
    ],
)
def test_which_layers_have_weights(layer: nn.Module, weights: bool) -> None:
    assert has_weights(layer) is weights


def test_more_things_than_fit_are_spread() -> None:
    assert spread(list("abcdefghi"), 3) == ["a", "e", "i"]
    assert spread(list("ab"), 3) == ["a", "b"]


# --- correlation -----------------------------------------------------------------------------------------------------


class Square(nn.Module):
    """Each logit is half the squared norm of the image: its gradient with respect to the image is the image."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(10))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).square().sum(1, keepdim=True) / 2 * self.scale


def test_gradients_of_a_linear_network_are_alike_everywhere() -> None:
    found = probed(flat(), "correlation").correlation
    assert found is not None
    assert found.steps == (0, 2, 4)
    assert found.lines == correlation.LINES
    assert found.distances[[0, -1]].tolist() == [0, 1]
    assert found.correlation == pytest.approx(1, abs=1e-5)


def test_gradients_of_a_square_are_as_alike_as_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surface, "PROBED_IMAGES", 2)
    network = Square()
    found = probed(network, "correlation").correlation
    assert found is not None
    start, end = DATA.train.batch(seeding.order(0, 0, 50)[:2])[0].flatten(1)
    assert found.lines == 1
    assert found.correlation[0, 0] == pytest.approx(1)
    assert found.correlation[0, -1] == pytest.approx(F.cosine_similarity(start, end, dim=0).item(), abs=1e-5)


def test_shattered_gradients_have_nothing_to_do_with_each_other() -> None:
    vectors = torch.randn(4, 32, 5000, generator=GENERATOR)
    cosines = correlation.mean_cosines(vectors)
    assert cosines[0] == pytest.approx(1)
    assert cosines[1:].abs().max() < 0.02
    vectors[0, 0] = 0  # a point without a gradient is left out
    assert correlation.mean_cosines(vectors).isfinite().all()
