from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from archlab.networks.batchnorm import BatchNorm
from archlab.training import population
from archlab.training.norms import NormLayer, evaluating, norm_layers
from tests.training.tiny import make_data, make_network


def trained(norm: str) -> nn.Module:
    """A network whose running statistics, weights and counters are no longer what they were at first."""
    torch.manual_seed(0)
    network = make_network(norm)
    images, _ = make_data().train.batch(torch.arange(20))
    for _ in range(3):
        network(images)
    for parameter in network.parameters():
        nn.init.normal_(parameter)
    return network


def batches(sizes: list[int]) -> list[Tensor]:
    data = make_data(sum(sizes)).train
    edges = [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    return [data.batch(torch.arange(start, end))[0] for start, end in pairwise(edges)]


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_first_layer_equals_brute_force_over_all_values(norm: str) -> None:
    """Uneven batches: the moments are those of all values at once, since nothing before the layer sees batches."""
    network = trained(norm)
    parts = batches([16, 16, 7])
    moments = population.measure(network, norm_layers(network), iter(parts))["norm_1"]
    with torch.no_grad():
        values = network.get_submodule("conv")(torch.cat(parts)).transpose(0, 1).flatten(1).to(torch.float64)
    torch.testing.assert_close(moments.mean, values.mean(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moments.variance, values.var(1, correction=0), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_later_layer_equals_brute_force_behind_normalised_batches(norm: str) -> None:
    network = trained(norm)
    parts = batches([16, 16, 7])
    moments = population.measure(network, norm_layers(network), iter(parts))["norm_2"]
    seen: list[Tensor] = []
    handle = network.get_submodule("norm_2").register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        for part in parts:
            network(part)  # in training mode
    handle.remove()
    values = torch.cat(seen).to(torch.float64)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moments.variance, values.var(0, correction=0), rtol=1e-5, atol=1e-7)


def test_one_batch_gives_what_training_normalises_by() -> None:
    """With the whole data as one batch, evaluation by population statistics is training by the batch's."""
    network = trained("batch")
    (part,) = batches([32])
    layers = norm_layers(network)
    moments = population.measure(network, layers, iter([part]))
    with torch.no_grad(), population.applied(layers, moments):
        expected = network(part)
    with torch.no_grad(), population.applied(layers, moments), evaluating(network):
        torch.testing.assert_close(network(part), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["batch", "scratch"])
def test_network_is_left_bit_for_bit(norm: str) -> None:
    network = trained(norm)
    network.get_submodule("dropout").eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    momenta = [layer.module.momentum for layer in norm_layers(network)]
    layers = norm_layers(network)
    moments = population.measure(network, layers, iter(batches([16, 7])))
    with population.applied(layers, moments):
        assert not torch.equal(network.state_dict()["norm_1.running_mean"], state["norm_1.running_mean"])
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert [module.training for module in network.modules()] == modes
    assert [layer.module.momentum for layer in layers] == momenta
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_network_is_left_after_an_exception() -> None:
    network = trained("batch")
    state = {name: value.clone() for name, value in network.state_dict().items()}

    def broken() -> Iterator[Tensor]:
        yield from batches([16])
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        population.measure(network, norm_layers(network), broken())
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name
    assert all(module.training for module in network.modules())
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_dropout_is_off() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(4)).train()
    x = torch.randn(100, 4)
    moments = population.measure(network, norm_layers(network), iter([x]))["1"]
    torch.testing.assert_close(moments.variance, x.to(torch.float64).var(0, correction=0), rtol=1e-5, atol=1e-7)


def test_layer_that_is_not_called_keeps_its_own() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used = nn.BatchNorm1d(4)
            self.auxiliary = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            used: Tensor = self.used(x)
            return used + self.auxiliary(x) if self.training else used

    network = Branches().train()
    moments = population.measure(network, norm_layers(network), iter([torch.randn(5, 4)]))
    assert list(moments) == ["used"]


def test_layer_that_is_called_twice_counts_with_all_its_values() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            first, second = self.norm(x), self.norm(10 * x + 30)
            return first + second  # type: ignore[no-any-return]

    network, x = Twice().train(), torch.randn(50, 4)
    moments = population.measure(network, norm_layers(network), iter([x[:20], x[20:]]))["norm"]
    values = torch.cat([x, 10 * x + 30]).to(torch.float64)
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(moments.variance, values.var(0, correction=0), rtol=1e-5, atol=1e-5)


def test_infinite_running_statistics_leave_no_trace() -> None:
    network = nn.Sequential(nn.BatchNorm1d(4)).train()
    clean = population.measure(network, norm_layers(network), iter([x := torch.randn(50, 4)]))["0"]
    held = norm_layers(network)[0].statistics()
    held[0][1], held[1][2] = torch.inf, torch.nan
    moments = population.measure(network, norm_layers(network), iter([x]))["0"]
    assert torch.equal(moments.mean, clean.mean)
    assert torch.equal(moments.variance, clean.variance)
    assert held[0].isinf().tolist() == [False, True, False, False]  # as it was


def test_an_infinite_batch_is_left_out_and_counted() -> None:
    network, x = nn.Sequential(nn.BatchNorm1d(4)).train(), torch.randn(60, 4)
    x[25, 1] = torch.inf
    moments = population.measure(network, norm_layers(network), iter(torch.split(x, 20)))["0"]
    values = torch.cat([x[:20], x[40:]]).to(torch.float64)
    assert moments.left_out == 1
    torch.testing.assert_close(moments.mean, values.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(moments.variance, values.var(0, correction=0), rtol=1e-5, atol=1e-6)
    assert population.measure(network, norm_layers(network), iter([x[20:40]])) == {}


def test_layer_that_its_network_freezes_keeps_its_own() -> None:
    class Freezing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            self[0].eval()
            return super().forward(x)  # type: ignore[no-any-return, no-untyped-call]

    network = Freezing(nn.BatchNorm1d(4), nn.BatchNorm1d(4)).train()
    assert list(population.measure(network, norm_layers(network), iter([torch.randn(5, 4)]))) == ["1"]


def test_norm_layers_are_found_where_they_track() -> None:
    network = nn.Sequential(
        nn.BatchNorm2d(2),
        nn.BatchNorm1d(3, track_running_stats=False),
        nn.InstanceNorm2d(4, track_running_stats=True),
        nn.GroupNorm(1, 5),
        nn.BatchNorm3d(6, affine=False),
        nn.BatchNorm1d(7).eval(),
    )
    assert [(layer.path, layer.channels) for layer in norm_layers(network)] == [("0", 2), ("4", 6), ("5", 7)]
    assert [layer.is_frozen for layer in norm_layers(network)] == [False, False, True]
    gamma, beta = norm_layers(network)[1].affine()
    assert gamma.tolist() == [1] * 6
    assert beta.tolist() == [0] * 6


@pytest.mark.parametrize(
    ("module", "before", "updates", "share"),
    [
        (nn.BatchNorm1d(2), 4, 1, 0.1),
        (nn.BatchNorm1d(2, momentum=0.3), 4, 1, 0.3),
        (nn.BatchNorm1d(2, momentum=None), 4, 1, 0.2),  # 1 / 5
        (nn.BatchNorm1d(2), 4, 2, 0.19),  # 1 - 0.9 * 0.9
        (nn.BatchNorm1d(2, momentum=None), 4, 2, 1 / 3),  # 2 / 6
        (nn.BatchNorm1d(2), 4, 0, 0.0),
        (BatchNorm(2), 4, 2, 0.19),
    ],
)
def test_share(module: nn.Module, before: int, updates: int, share: float) -> None:
    assert NormLayer("", module, 2).share(before, updates) == pytest.approx(share)
