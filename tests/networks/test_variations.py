from __future__ import annotations

import pytest
import torch

from archlab.networks import build
from archlab.training.seeding import build as seeded


def test_normalisation_stands_after_its_activation_with_the_same_parameters() -> None:
    before = build("lenet-position")
    after = build("lenet-position", position="after")
    kinds = [type(layer).__name__ for layer in after.children()]
    assert kinds[:4] == ["Conv2d", "ReLU", "BatchNorm2d", "MaxPool2d"]
    assert kinds[-7:] == ["Linear", "ReLU", "BatchNorm1d", "Linear", "ReLU", "BatchNorm1d", "Linear"]
    assert before.state_dict().keys() == after.state_dict().keys()
    assert [type(layer).__name__ for layer in before.children()][:3] == ["Conv2d", "BatchNorm2d", "ReLU"]


def test_before_is_the_course_s_lenet() -> None:
    ours = seeded(lambda: build("lenet-position", activation="sigmoid"), seed=1).eval()
    course = seeded(lambda: build("lenet"), seed=1).eval()
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(ours(images), course(images))


def test_a_branch_that_begins_at_0_leaves_its_block_the_identity_of_what_is_positive() -> None:
    network = build("resnet20-scaled", norm="none", scale=0.0)
    block = network.get_submodule("stage_1.0")
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(block(x), x)
    scales = [parameter for name, parameter in network.named_parameters() if "scale" in name]
    assert [parameter.item() for parameter in scales] == [0.0] * 9  # (20 - 2) / 2 blocks


def test_first_weights_have_he_s_variance() -> None:
    torch.manual_seed(0)
    network = build("resnet20-scaled", width=64)
    weight = network.get_parameter("stage_2.1.conv_1.weight")  # 128 channels to 128: 2 / (128 * 3 * 3)
    assert weight.var().item() == pytest.approx(2 / 1152, rel=0.02)
    assert weight.mean().item() == pytest.approx(0, abs=0.001)
