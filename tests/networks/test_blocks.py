import pytest
import torch
from torch import nn

from archlab.networks.batchnorm import BatchNorm
from archlab.networks.blocks import (
    ACTIVATIONS,
    Chain,
    DenseBlock,
    FlatLinear,
    Residual,
    Transition,
    make_activation,
    make_norm,
)
from tests.networks.counting import parameters


@pytest.mark.parametrize(
    ("block", "given", "expected"),
    [
        (Residual(3, 3), (4, 3, 6, 6), (4, 3, 6, 6)),
        (Residual(3, 6, stride=2), (4, 3, 6, 6), (4, 6, 3, 3)),
        (Residual(3, 6, stride=2, shortcut="pad"), (4, 3, 6, 6), (4, 6, 3, 3)),
        (Residual(3, 6, stride=2, shortcut="pad"), (4, 3, 7, 7), (4, 6, 4, 4)),
        (Residual(3, 6, stride=2, shortcut="conv-norm"), (4, 3, 6, 6), (4, 6, 3, 3)),
        (Residual(3, 6, stride=2, bottleneck=True), (4, 3, 6, 6), (4, 24, 3, 3)),
        (Residual(3, 6, stride=2, skip=False), (4, 3, 6, 6), (4, 6, 3, 3)),
        (DenseBlock(2, 3, 10), (4, 3, 8, 8), (4, 23, 8, 8)),  # 3 + 2 * 10
        (DenseBlock(2, 3, 10, skip=False), (4, 3, 8, 8), (4, 10, 8, 8)),
        (DenseBlock(2, 3, 10, bottleneck=True), (4, 3, 8, 8), (4, 23, 8, 8)),
        (Transition(23, 10), (4, 23, 8, 8), (4, 10, 4, 4)),
        (FlatLinear(24, 5), (4, 6, 2, 2), (4, 5)),
    ],
)
def test_shapes(block: nn.Module, given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert block(torch.randn(given)).shape == expected


@pytest.mark.parametrize(
    ("block", "count"),
    [
        (Residual(3, 3), 180),  # 2 * (3 * 3 * 9 + 3 + 2 * 3)
        (Residual(3, 6), 546),  # 3 * 6 * 9 + 6 * 6 * 9 + 2 * (6 + 2 * 6) + 1x1: 3 * 6 + 6
        (Residual(3, 6, shortcut="conv-norm"), 558),  # 546 + 2 * 6
        (Residual(3, 6, shortcut="conv-norm", norm="none"), 522),  # 546 - 2 * 2 * 6
        (Residual(3, 6, shortcut="pad"), 522),  # 546 - (3 * 6 + 6)
        (Residual(3, 6, skip=False), 522),
        (Residual(3, 6, bias=False), 528),  # 546 - 3 * 6
    ],
)
def test_parameters_of_residual_blocks(block: nn.Module, count: int) -> None:
    assert parameters(block) == count


def test_the_branch_is_added_to_what_the_shortcut_carries() -> None:
    block = Residual(2, 3, stride=2, shortcut="pad", norm="none", bias=False)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.zero_()
    x = torch.rand(1, 2, 4, 4)
    y = block(x)
    assert torch.equal(y[:, :2], x[:, :, ::2, ::2])
    assert not y[:, 2].any()
    block.skip = False
    assert not block(x).any()


def test_a_dense_block_keeps_its_input_in_front() -> None:
    x = torch.rand(2, 3, 4, 4)
    block = DenseBlock(2, 3, 5)
    y = block(x)
    assert torch.equal(y[:, :3], x)
    assert torch.equal(y[:, 3:8], block[0](x))


@pytest.mark.parametrize("channels", [1, 6, 7, 16, 64, 84, 120, 512])
@pytest.mark.parametrize("kind", ["batch", "scratch", "group", "layer", "instance"])
def test_each_norm_normalises(kind: str, channels: int) -> None:
    layer = make_norm(kind, channels)  # type: ignore[arg-type]
    assert layer is not None
    y = layer(3 * torch.randn(8, channels, 9, 9) + 2)
    assert parameters(layer) == 2 * channels
    assert y.mean().item() == pytest.approx(0, abs=0.01)
    assert y.std(correction=0).item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("kind", "spatial", "expected"),
    [
        ("batch", True, nn.BatchNorm2d),
        ("batch", False, nn.BatchNorm1d),
        ("scratch", True, BatchNorm),
        ("scratch", False, BatchNorm),
        ("group", True, nn.GroupNorm),
        ("group", False, nn.GroupNorm),
        ("layer", True, nn.GroupNorm),
        ("layer", False, nn.LayerNorm),
        ("instance", True, nn.InstanceNorm2d),
        ("instance", False, type(None)),
        ("none", True, type(None)),
    ],
)
def test_norms_by_name(kind: str, spatial: bool, expected: type) -> None:
    assert type(make_norm(kind, 6, spatial=spatial)) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channels", "spatial", "groups"),
    [(64, True, 32), (512, True, 32), (16, True, 8), (6, True, 3), (7, True, 1), (1, True, 1), (120, False, 15)],
)
def test_groups_divide_the_channels(channels: int, spatial: bool, groups: int) -> None:
    layer = make_norm("group", channels, spatial=spatial)
    assert isinstance(layer, nn.GroupNorm)
    assert layer.num_groups == groups


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_each_activation_is_new(kind: str) -> None:
    first, second = make_activation(kind), make_activation(kind)  # type: ignore[arg-type]
    assert first is not second
    assert first(torch.randn(3)).shape == (3,)


def test_a_chain_leaves_out_what_is_none() -> None:
    chain = Chain({"one": nn.ReLU(), "two": None, "three": nn.Flatten()})
    assert [name for name, _ in chain.named_modules()] == ["", "one", "three"]
