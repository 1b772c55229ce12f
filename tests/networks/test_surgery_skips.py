"""Residual skip connections switched off: which additions, what is left, and that it trains."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import convnext_tiny, densenet121, mobilenet_v2, resnet18, vgg11, vit_b_16

from archlab.analysis.skips import skip_edges
from archlab.errors import InputError
from archlab.networks.surgery import skips_off
from archlab.tracing import trace


class Block(nn.Module):
    """x + f(x), in one of the ways that people write it."""

    def __init__(self, add: Callable[[Tensor, Tensor], Tensor], *, norm: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.add = add

    def branch(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.conv(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.add(self.branch(x), x)


def in_place(branch: Tensor, x: Tensor) -> Tensor:
    branch += x
    return branch


def method_in_place(branch: Tensor, x: Tensor) -> Tensor:
    x.add_(branch)
    return x


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "branch + x": lambda branch, x: branch + x,
    "x + branch": lambda branch, x: x + branch,
    "+=": in_place,
    "torch.add": torch.add,
    "keywords": lambda branch, x: torch.add(input=x, other=branch),
    "add_": method_in_place,
    "FloatFunctional": torch.ao.nn.quantized.FloatFunctional().add,
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_the_block_gives_its_branch_alone(way: str, training: bool) -> None:
    block = Block(WAYS[way]).train(training)
    off, record = skips_off(nn.Sequential(block), (2, 4, 5, 5))
    x = torch.randn(2, 4, 5, 5)
    assert [cut.path for cut in record.cuts] == ["0"]
    expected = copy.deepcopy(block).branch(x)
    with torch.no_grad():
        torch.testing.assert_close(off(x.clone()), expected)
        torch.testing.assert_close(block(x.clone()), expected + x)  # the one given has it still


def test_alpha_stays() -> None:
    block = Block(lambda branch, x: torch.add(x, branch, alpha=0.5)).eval()
    off, _ = skips_off(block, (2, 4, 5, 5))
    x = torch.randn(2, 4, 5, 5)
    torch.testing.assert_close(off(x), 0.5 * block.branch(x))


def test_other_additions_stay() -> None:
    """Of 1 + x (a constant), of two branches, and of x + f(x) the last alone is a residual one."""

    class Mixed(Block):
        def forward(self, x: Tensor) -> Tensor:
            x = x + torch.ones_like(x)
            two = self.conv(x) + self.conv(-x)
            return cast(Tensor, x + self.norm(two))

    network = Mixed(torch.add).eval()
    off, record = skips_off(network, (1, 4, 5, 5))
    x = torch.randn(1, 4, 5, 5)
    assert len(record.done) == 1
    torch.testing.assert_close(off(x), network.norm(network.conv(x + 1) + network.conv(-x - 1)))


@pytest.mark.parametrize(
    ("make", "size", "skips", "removed"),
    [
        (resnet18, 64, 8, 3),
        (mobilenet_v2, 64, 10, 0),
        (convnext_tiny, 64, 18, 0),
        (vit_b_16, 224, 24, 0),
    ],
)
def test_families_of_torchvision(make: Callable[[], nn.Module], size: int, skips: int, removed: int) -> None:
    with torch.device("meta"):
        network = make()
    off, record = skips_off(network, (1, 3, size, size))
    assert (len(record.done), len(record.removed), len(record.left)) == (skips, removed, 0)
    assert skip_edges(trace(network, [(1, 3, size, size)]))
    assert not skip_edges(trace(off, [(1, 3, size, size)]))


def test_gradient_reaches_every_parameter_in_training() -> None:
    network = resnet18()
    off, record = skips_off(network, (2, 3, 32, 32))
    again = copy.deepcopy(off).train()
    again(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in again.parameters())
    assert all(parameter.grad is None for parameter in off.parameters())  # a copy runs on its own
    assert record.removed == ("layer2.0.downsample", "layer3.0.downsample", "layer4.0.downsample")
    # 64 * 128 + 2 * 128, 128 * 256 + 2 * 256, 256 * 512 + 2 * 512: the projections and their BatchNorm.
    assert record.parameters[0] - record.parameters[1] == 8_448 + 33_280 + 132_096


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (densenet121, "no skip connection of DenseNet.*its 58 skip connections are concatenations"),
        (vgg11, "no skip connection of VGG can be switched off: it adds nothing to anything"),
        (
            lambda: Block(lambda branch, x: x - branch),
            "of the sub in Block, it is no sum of a branch and a skip connection alone",
        ),
        (
            lambda: Block(lambda branch, x: branch + branch.relu() * 0 + 1),
            "of its 1 additions none is one of a tensor and of what layers made of that tensor",
        ),
    ],
    ids=["concatenations", "no addition", "difference", "no layer between"],
)
def test_what_can_not_be_proven_is_refused(make: Callable[[], Any], says: str) -> None:
    shape = (1, 4, 5, 5) if isinstance(network := make(), Block) else (1, 3, 64, 64)
    with pytest.raises(InputError, match=says):
        skips_off(network, shape)


def test_a_network_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32
    )
    _, record = skips_off(transformers.BertModel(config), {"input_ids": "1x8:int64"})
    assert len(record.done) == 4  # behind attention and behind the feed-forward layers, in each of two layers
