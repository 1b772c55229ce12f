"""BatchNorm folded into the layers beside it: the outputs stay, and what can't be folded is said."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import densenet121, mobilenet_v3_small, resnet18

from archlab.errors import InputError
from archlab.networks.batchnorm import BatchNorm
from archlab.networks.surgery import fold
from archlab.training.datasets import prepare
from archlab.training.images import load_images


def perturbed(network: nn.Module) -> nn.Module:
    """The network in evaluation mode, every BatchNorm of which shifts and scales."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, BatchNorm)):
            for name, least in (("running_mean", -0.5), ("running_var", 0.5), ("weight", 0.5), ("bias", -0.5)):
                tensor = getattr(module, name)
                if isinstance(tensor, Tensor):
                    tensor.detach().copy_(torch.rand(len(tensor), generator=generator) + least)
    return network.eval()


def sequence(*layers: nn.Module) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(*layers)


class Functional(nn.Module):
    """A convolution and BatchNorm with something between them, or with a second use of the convolution's result."""

    def __init__(self, between: Callable[[Tensor], Tensor] | None = None, *, twice: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.between = between
        self.twice = twice

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        z = self.bn(self.between(y) if self.between else y)
        return cast(Tensor, z + y if self.twice else z)


class Standardised(nn.Conv2d):
    """A convolution whose weight is standardised when it is called."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(input, (self.weight - self.weight.mean()) / self.weight.std(), self.bias)


class Padded(nn.Conv2d):
    """A convolution with a forward of its own that multiplies by its weight as it is."""

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, (1, 1, 1, 1)), self.weight, self.bias)


FOLDED = {
    "convolution": (
        sequence(nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
        (3, 2, 6, 6),
        "0",
    ),
    "with bias": (sequence(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)), (3, 2, 6, 6), "0"),
    "groups": (sequence(nn.Conv2d(4, 8, 3, groups=2), nn.BatchNorm2d(8)), (3, 4, 6, 6), "0"),
    "transposed, groups": (
        sequence(nn.ConvTranspose2d(4, 6, 3, groups=2, stride=2), nn.BatchNorm2d(6)),
        (3, 4, 6, 6),
        "0",
    ),
    "signal": (sequence(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4)), (3, 2, 9), "0"),
    "volume": (sequence(nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)), (2, 1, 5, 5, 5), "0"),
    "linear": (sequence(nn.Linear(5, 4), nn.BatchNorm1d(4)), (3, 5), "0"),
    "scratch": (sequence(nn.Conv2d(2, 4, 3), BatchNorm(4)), (3, 2, 6, 6), "0"),
    "not affine": (sequence(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False)), (3, 2, 6, 6), "0"),
    "synchronised": (sequence(nn.Conv2d(2, 4, 3), nn.SyncBatchNorm(4)), (3, 2, 6, 6), "0"),
    "before a 3x3 without padding": (sequence(nn.BatchNorm2d(4), nn.Conv2d(4, 8, 3, groups=2)), (3, 4, 6, 6), "1"),
    "before a linear layer": (sequence(nn.BatchNorm1d(4), nn.Linear(4, 2, bias=False)), (3, 4), "1"),
    "a forward of its own": (sequence(Padded(2, 4, 3), nn.BatchNorm2d(4)), (3, 2, 6, 6), "0"),
}
LEFT = {
    "relu before": (sequence(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), "ReLU comes before it"),
    "functional before": (lambda: Functional(F.relu), "relu comes before it"),
    "in place before": (lambda: Functional(F.relu_), "relu_ comes before it"),
    "taken twice": (lambda: Functional(twice=True), "what the Conv2d before it gives is taken 2 times"),
    "padded behind": (sequence(nn.BatchNorm2d(1), nn.Conv2d(1, 4, 3, padding=1)), "the Conv2d behind it pads"),
    "relu behind": (sequence(nn.BatchNorm2d(1), nn.ReLU(), nn.Conv2d(1, 4, 3)), "ReLU comes behind it"),
    "no statistics": (
        sequence(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        "it keeps no running statistics",
    ),
    "standardised": (sequence(Standardised(1, 4, 3), nn.BatchNorm2d(4)), "does not multiply by its weight as it is"),
    "parametrised": (
        sequence(nn.utils.parametrizations.weight_norm(nn.Conv2d(1, 4, 3)), nn.BatchNorm2d(4)),
        "computes its weight from others",
    ),
}


@pytest.mark.parametrize("runs", [False, True], ids=["fx", "run"])
@pytest.mark.parametrize("case", FOLDED)
def test_folding_keeps_the_outputs(case: str, runs: bool) -> None:
    make, shape, into = FOLDED[case]
    network = perturbed(make())
    folded, record = fold(network, shape if runs else None)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    assert [cut.into for cut in record.cuts] == [into]
    assert not [
        module for module in folded.modules() if isinstance(module, (nn.modules.batchnorm._BatchNorm, BatchNorm))
    ]
    torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("runs", [False, True], ids=["fx", "run"])
@pytest.mark.parametrize("case", LEFT)
def test_what_cannot_be_folded_is_left_and_said(case: str, runs: bool) -> None:
    make, reason = LEFT[case]
    network = perturbed(make())
    folded, record = fold(network, (2, 1, 6, 6) if runs else None)
    x = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    assert [cut.into for cut in record.cuts] == [""]
    assert reason in record.cuts[0].reason
    torch.testing.assert_close(folded(x), network(x))


def test_the_network_given_stays_as_it_was() -> None:
    network = perturbed(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4))).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folded, record = fold(network)
    assert record.biases == ("0",)
    assert record.parameters == (4 * 9 + 2 * 4, 4 * 9 + 4)
    assert network.training
    assert not folded.training
    assert {name: tensor.equal(before[name]) for name, tensor in network.state_dict().items()} == dict.fromkeys(
        before, True
    )


def test_one_layer_under_two_names_and_one_called_twice() -> None:
    shared = nn.Conv2d(1, 1, 3, padding=1)
    network = perturbed(nn.Sequential(shared, nn.BatchNorm2d(1), shared, nn.BatchNorm2d(1)))
    _, record = fold(network, (2, 1, 6, 6))
    assert [cut.reason for cut in record.cuts] == [
        "the Conv2d before it is called 2 times, and the Conv2d behind it is called 2 times",
        "the Conv2d before it is called 2 times, and nothing comes behind it",
    ]


class Branching(nn.Module):
    """What it runs depends on the values of its input, so that torch.fx can't read it."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.body(x if x.sum() > 0 else -x))


def test_what_fx_cannot_read_is_run_on_inputs() -> None:
    network = perturbed(Branching())
    with pytest.raises(InputError, match=r"torch.fx can't read.*Branching.*give inputs to run it on"):
        fold(network)
    folded, record = fold(network, (2, 1, 6, 6))
    x = torch.ones(2, 1, 6, 6)
    assert [cut.into for cut in record.cuts] == ["body.0"]
    torch.testing.assert_close(folded(x), network(x), rtol=1e-4, atol=1e-5)


def test_inputs_that_the_network_does_not_take_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(InputError, match="Sequential can't be run on the inputs given"):
        fold(network, (2, 3, 6, 6))
    with pytest.raises(InputError, match="inputs is 'x', expected a tensor, a shape"):
        fold(network, "x")


def test_a_network_without_batchnorm_says_so() -> None:
    _, record = fold(nn.Sequential(nn.Linear(2, 2)))
    assert record.cuts == ()
    assert record.notes == ("Sequential has no BatchNorm layer.",)


@pytest.mark.parametrize(
    ("make", "layers", "reasons"),
    [
        (resnet18, 20, set()),
        (mobilenet_v3_small, 34, set()),
        # The first layer, and the second BatchNorm of each of 58 dense layers; the others come behind a concatenation.
        (densenet121, 59, {f"cat comes before it, and {name} comes behind it" for name in ("relu", "ReLU")}),
    ],
)
def test_networks_of_torchvision_answer_the_same_on_real_images(
    make: Callable[..., nn.Module], layers: int, reasons: set[str]
) -> None:
    digits = prepare(load_images("digits"), 32, train_samples=64, test_samples=2, channels=3)
    images, _ = digits.train.batch(torch.arange(64))
    torch.manual_seed(0)
    network = make(num_classes=10)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # so that one pass leaves the images' own statistics, off which the outputs spread
            nn.init.uniform_(module.weight, 0.75, 1.25)
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        network.train()(images)
        expected = network.eval()(images)
        folded, record = fold(network)
        answers = folded(images)
    assert len(record.done) == layers
    assert {cut.reason for cut in record.left} == reasons
    assert len(expected.argmax(1).unique()) > 1
    assert torch.equal(answers.argmax(1), expected.argmax(1))
    assert (answers - expected).abs().max() < 1e-4 * expected.abs().max()
