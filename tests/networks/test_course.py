"""The course's own lines: its blocks by its argument names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.networks import BatchNorm, DenseBlock, Residual, Transition, blocks


@pytest.mark.parametrize(
    ("block", "given", "expected"),
    [
        (Residual(3, 3), (4, 3, 6, 6), (4, 3, 6, 6)),
        (Residual(3, 6, use_1x1conv=True, stride=2), (4, 3, 6, 6), (4, 6, 3, 3)),
        (Residual(3, 6, stride=2), (4, 3, 6, 6), (4, 6, 3, 3)),
        (Residual(in_channels=3, out_channels=6, use_1x1conv=True), (4, 3, 6, 6), (4, 6, 6, 6)),
        (DenseBlock(num_convs=2, in_channels=3, out_channels=10), (4, 3, 8, 8), (4, 23, 8, 8)),
        (Transition(in_channels=23, out_channels=10), (4, 23, 8, 8), (4, 10, 4, 4)),
        (BatchNorm(num_features=6, num_dims=4), (4, 6, 5, 5), (4, 6, 5, 5)),
        (BatchNorm(6, 2), (4, 6), (4, 6)),
    ],
)
def test_shapes_are_the_courses(block: nn.Module, given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    assert block(torch.rand(given)).shape == expected


@pytest.mark.parametrize(
    ("use_1x1conv", "parameters"),
    [
        (None, 2 * (3 * 3 * 9 + 3) + 2 * (3 + 3)),
        (False, 2 * (3 * 3 * 9 + 3) + 2 * (3 + 3)),
        (True, 2 * (3 * 3 * 9 + 3) + 2 * (3 + 3) + 3 * 3 + 3),  # and the 1x1 convolution with its bias
    ],
)
def test_the_1x1_convolution_is_there_when_it_is_asked_for(use_1x1conv: bool | None, parameters: int) -> None:
    assert sum(item.numel() for item in Residual(3, 3, use_1x1conv).parameters()) == parameters


def test_the_1x1_convolution_carries_the_input() -> None:
    block = Residual(3, 3, use_1x1conv=True, norm="none")
    with torch.no_grad():
        for item in block.parameters():
            item.zero_()
        block.get_parameter("shortcut.weight").copy_(2 * torch.eye(3).view(3, 3, 1, 1))
    x = torch.rand(2, 3, 4, 4)
    assert torch.equal(block(x), 2 * x)  # the branch gives 0


def test_the_block_is_the_one_that_networks_are_built_of() -> None:
    ours, theirs = Residual(3, 6, use_1x1conv=True, stride=2), blocks.Residual(3, 6, stride=2)
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 6, 6)
    assert torch.equal(ours(x), theirs(x))


def test_one_step_leaves_097_and_no_graph() -> None:
    layer = BatchNorm(1, num_dims=2)
    layer(torch.tensor([[-1.0], [0.0], [1.0]]))
    assert layer.moving_var.item() == pytest.approx(0.9 * 1 + 0.1 * 2 / 3)
    assert layer.moving_mean.item() == 0
    held: list[Tensor] = [layer.moving_mean, layer.moving_var]
    assert not any(item.requires_grad for item in held)
    assert layer.gamma is layer.weight
    assert layer.beta is layer.bias
    assert {"running_mean", "running_var"} <= set(layer.state_dict())


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Residual(3, 6, use_1x1conv=False), "use_1x1conv=True"),
        (lambda: Residual(3, 3, use_1x1conv=False, stride=2), "can't be added"),
        (lambda: Residual(3, 6, 2), "stride=2"),  # type: ignore[arg-type]
        (lambda: BatchNorm(6, 3), "expected 2"),
        (lambda: BatchNorm(6, num_dims=4)(torch.rand(4, 6)), "num_dims=2"),
    ],
)
def test_what_can_not_be_meant_is_refused(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # type: ignore[operator]
