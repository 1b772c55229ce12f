from __future__ import annotations

import pytest
import torch
from torch import nn

from archlab.errors import InputError
from archlab.networks import build
from archlab.training.last_batch import check_last_batch
from tests.training.tiny import make_network

SHAPE = (1, 8, 8)


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (
            33,
            32,
            r"^33 training images in batches of 32 leave a last batch of 1, in which norm_2 .* batches of 33 .*, or 32",
        ),
        (7, 2, "take batches of 4"),  # 7 = 2 * 3 + 1 = 3 * 2 + 1, but 4 + 3
        (6, 1, r"take batches of 2 \(--batch-size, batch_size=\)$"),
        (1, 256, "take more training images"),
        (1_025, 256, "^1,025 training images .* take batches of 257 .*, or 1,024 training images"),
    ],
)
def test_a_single_image_is_refused(images: int, batch_size: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_last_batch(make_network(), SHAPE, images, batch_size)


@pytest.mark.parametrize(("images", "batch_size"), [(34, 32), (32, 32), (31, 32), (2, 256)])
def test_more_images_are_fine(images: int, batch_size: int) -> None:
    check_last_batch(make_network(), SHAPE, images, batch_size)


@pytest.mark.parametrize(
    "network",
    [
        make_network("none"),
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 10)),
        nn.Sequential(nn.Flatten(), nn.Linear(64, 5), nn.BatchNorm1d(5).eval(), nn.Linear(5, 10)),
        nn.Linear(1, 1),  # takes no such images: training says so
    ],
    ids=["no BatchNorm", "BatchNorm over maps", "frozen", "failing"],
)
def test_networks_that_take_a_single_image_are_left_alone(network: nn.Module) -> None:
    check_last_batch(network, SHAPE, 33, 32)


def test_the_network_and_the_random_state_stay_as_they_were() -> None:
    network = build("lenet")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    with pytest.raises(InputError, match="norm_3"):  # the first one behind a linear layer
        check_last_batch(network, (1, 28, 28), 33, 32)
    assert all(module.training and not module._forward_pre_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
