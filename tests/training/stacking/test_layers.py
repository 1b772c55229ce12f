"""Each layer that can be stacked gives what the layers of the networks give; what can't be is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from archlab.networks import members
from archlab.networks.batchnorm import BatchNorm
from archlab.networks.blocks import DenseBlock, FlatLinear, Residual, Transition
from archlab.networks.surgery.norms import BatchNormAnyRank, FrozenBatchNorm
from archlab.training import kernels
from archlab.training.precision import computing_in
from archlab.training.stacking.layers import UnstackableError, check_stackable, stacked_network

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolution": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 7, 7)),
    "convolution in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False), (4, 7, 7)),
    "padded by reflection": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (4, 7, 7)),
    "convolution of signals": (lambda: nn.Conv1d(4, 6, 3, dilation=2), (4, 9)),
    "convolution of volumes": (lambda: nn.Conv3d(2, 3, 2), (2, 3, 3, 3)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (4, 5, 5)),
    "transposed in groups": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (4, 5, 5)),
    "linear": (lambda: nn.Linear(5, 3), (5,)),
    "linear without bias": (lambda: nn.Linear(5, 3, bias=False), (5,)),
    "linear on sequences": (lambda: nn.Linear(5, 3), (7, 2, 5)),
    "flat linear": (lambda: FlatLinear(12, 3), (3, 2, 2)),
    "batchnorm": (lambda: nn.BatchNorm2d(4), (4, 5, 5)),
    "batchnorm of vectors": (lambda: nn.BatchNorm1d(4), (4,)),
    "batchnorm of signals": (lambda: nn.BatchNorm1d(4), (4, 6)),
    "without gamma and beta": (lambda: nn.BatchNorm2d(4, affine=False), (4, 5, 5)),
    "without statistics": (lambda: nn.BatchNorm2d(4, track_running_stats=False), (4, 5, 5)),
    "in evaluation mode": (lambda: nn.BatchNorm2d(4).eval(), (4, 5, 5)),
    "from scratch": (lambda: BatchNorm(4), (4, 5, 5)),
    "from scratch, of vectors": (lambda: BatchNorm(4), (4,)),
    "from scratch, of signals": (lambda: BatchNormAnyRank(4), (4, 6)),
    "frozen": (lambda: FrozenBatchNorm(4), (4, 5, 5)),
    "group": (lambda: nn.GroupNorm(2, 4), (4, 5, 5)),
    "group of vectors": (lambda: nn.GroupNorm(2, 8), (8,)),
    "instance": (lambda: nn.InstanceNorm2d(4, affine=True), (4, 5, 5)),
    "instance with statistics": (lambda: nn.InstanceNorm2d(4, track_running_stats=True), (4, 5, 5)),
    "layer": (lambda: nn.LayerNorm(4), (4,)),
    "layer of maps": (lambda: nn.LayerNorm((4, 3, 3)), (4, 3, 3)),
    "layer without bias": (lambda: nn.LayerNorm(4, bias=False), (6, 4)),
    "layer without gamma": (lambda: nn.LayerNorm(4, elementwise_affine=False), (4,)),
    "residual": (lambda: Residual(4, 6, stride=2), (4, 6, 6)),
    "residual, padded": (lambda: Residual(4, 6, stride=2, shortcut="pad"), (4, 6, 6)),
    "dense block": (lambda: DenseBlock(2, 4, 3), (4, 6, 6)),
    "transition": (lambda: Transition(4, 3, norm="scratch"), (4, 6, 6)),
}


def networks_of(make: Callable[[], nn.Module], count: int = 3) -> list[nn.Module]:
    """Networks of different weights and statistics, in double precision."""
    made = [make().double() for _ in range(count)]
    with torch.no_grad():
        for network in made:
            for tensor in (*members.parameters(network), *members.buffers(network)):
                if tensor.is_floating_point():
                    tensor.copy_(torch.rand_like(tensor) + 0.5)
    return made


def side_by_side(networks: list[nn.Module]) -> dict[str, Tensor]:
    tables = [{**dict(members.named_parameters(one)), **dict(members.named_buffers(one))} for one in networks]
    stacked = {name: torch.stack([table[name].detach() for table in tables]) for name in tables[0]}
    return {name: value.requires_grad_(tables[0][name].requires_grad) for name, value in stacked.items()}


@pytest.mark.parametrize("name", LAYERS)
def test_gives_what_each_gives_with_its_gradients_and_statistics(name: str) -> None:
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    networks = networks_of(make)
    check_stackable(networks)
    held = side_by_side(networks)
    stacked = stacked_network(networks, held)
    x = torch.rand(4, 3, *shape, dtype=torch.float64, requires_grad=True)  # 4 images of each of 3 networks
    found = stacked(x.flatten(0, 1)).unflatten(0, (4, 3))
    weights = torch.rand_like(found)
    (found * weights).sum().backward()
    assert x.grad is not None
    for place, network in enumerate(networks):
        own = x[:, place].detach().requires_grad_()
        given = network(own)
        torch.testing.assert_close(found[:, place], given, rtol=1e-9, atol=1e-9)
        (given * weights[:, place]).sum().backward()
        torch.testing.assert_close(x.grad[:, place], own.grad, rtol=1e-9, atol=1e-9)
        for path, parameter in network.named_parameters():
            gradient = held[path].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[place], parameter.grad, rtol=1e-9, atol=1e-9)
        for path, buffer in network.named_buffers():
            torch.testing.assert_close(held[path][place], buffer, rtol=1e-9, atol=1e-9)


class Held(nn.Module):
    """Holds a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


def tied() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    return network


def hooked() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 3))
    network[0].register_forward_hook(lambda *_: None)
    return network


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.Sequential(Held()), r"^0 \(Held\) holds parameters or buffers, and is no layer that can be"),
        (lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)), r"^1 \(Dropout\) draws random numbers"),
        (lambda: nn.BatchNorm1d(3, momentum=None), r"^the network \(BatchNorm1d\) has a cumulative average"),
        (tied, r"^1 \(Linear\) shares its parameters with another layer"),
        (hooked, r"^0 \(Linear\) has hooks of its own"),
    ],
    ids=["parameters of its own", "dropout", "cumulative average", "tied weights", "hooks"],
)
def test_what_cannot_be_stacked_is_refused(make: Callable[[], nn.Module], reason: str) -> None:
    with pytest.raises(UnstackableError, match=reason):
        check_stackable([make(), make()])


def test_dropout_that_drops_nothing_can_be_stacked() -> None:
    check_stackable([nn.Sequential(nn.Dropout(0.0), nn.Linear(3, 3)) for _ in range(2)])
    check_stackable([nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3)).eval() for _ in range(2)])


@pytest.mark.parametrize(
    "other",
    [nn.Sequential(nn.Linear(3, 4)), nn.Sequential(nn.Linear(3, 3, bias=False)), nn.Sequential(nn.Conv1d(3, 3, 1))],
    ids=["shape", "bias", "class"],
)
def test_networks_of_other_structure_are_refused(other: nn.Module) -> None:
    with pytest.raises(UnstackableError, match="the networks differ in more than their weights"):
        check_stackable([nn.Sequential(nn.Linear(3, 3)), other])


def test_batchnorm_may_differ_in_momentum_alone() -> None:
    check_stackable([nn.BatchNorm1d(3, momentum=0.1), nn.BatchNorm1d(3, momentum=0.2)])
    with pytest.raises(UnstackableError, match="differ"):
        check_stackable([nn.BatchNorm1d(3, eps=1e-5), nn.BatchNorm1d(3, eps=1e-3)])


def test_computes_in_the_precision_of_its_networks() -> None:
    networks = [computing_in(nn.Sequential(nn.Linear(3, 2)), "bf16") for _ in range(2)]
    check_stackable(networks)
    x = torch.rand(4, 3)
    found = stacked_network(networks, side_by_side(networks), "bf16")(x.repeat_interleave(2, 0)).unflatten(0, (4, 2))
    for place, network in enumerate(networks):
        torch.testing.assert_close(found[:, place], network(x), rtol=0, atol=1e-2)
        assert not torch.equal(found[:, place], nn.functional.linear(x, *network.parameters()))


@pytest.mark.parametrize("padding", [0, 2])
def test_a_convolution_of_one_channel_takes_its_gradients_from_columns_too(padding: int) -> None:
    def make() -> nn.Module:
        layer = nn.Conv2d(1, 4, 3, padding=padding)
        layer.__class__ = kernels.Conv2d
        return layer

    networks = networks_of(make)
    check_stackable(networks)
    held = side_by_side(networks)
    x = torch.rand(5, 3, 1, 7, 8, dtype=torch.float64)
    found = stacked_network(networks, held)(x.flatten(0, 1))
    weights = torch.rand_like(found)
    (found * weights).sum().backward()
    for place, network in enumerate(networks):
        given = network(x[:, place])
        torch.testing.assert_close(found.view(5, 3, *given.shape[1:])[:, place], given, rtol=1e-9, atol=1e-9)
        (given * weights.view(5, 3, *given.shape[1:])[:, place]).sum().backward()
        for path, parameter in network.named_parameters():
            gradient = held[path].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[place], parameter.grad, rtol=1e-9, atol=1e-9)
