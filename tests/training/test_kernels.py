"""Faster kernels: what they give, which network gets which, and what the record says of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import archlab
from archlab.records import TrainingConfig
from archlab.training import Execution, kernels, seeding, train
from archlab.training.kernels import Kernels, channels_last, chosen, fit
from archlab.training.loop import Trainer
from tests.training.tiny import make_data

DATA = make_data(50, 20)

CONFIG = TrainingConfig(batch_size=16, epochs=1, learning_rate=0.01, precise_images=48)
CPU = torch.device("cpu")


class Viewing(nn.Module):
    """Asks for `view` where channels_last images need `reshape`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 32, 3), nn.Linear(32 * 6 * 6, 10)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images)
        result: Tensor = self.head(maps.view(len(images), -1))
        return result


def layered(*widths: int, kernel: int = 3) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((1, *widths), widths, strict=False):
            layers += [nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), nn.LazyLinear(10))

    return build


@pytest.mark.parametrize(
    ("build", "batch_size", "expected"),
    [
        (lambda: archlab.build("lenet"), 256, Kernels(pooling=True, pooling_first=True, columns=True)),
        (lambda: archlab.build("lenet", activation="relu"), 256, Kernels(pooling=True, columns=True)),
        (lambda: archlab.build("lenet", width=4), 256, Kernels(pooling_first=True, tests_last=True, steps_last=True)),
        (layered(32, 32), 16, Kernels(tests_last=True, steps_last=True)),
        (layered(32, 1024, 32), 8, Kernels(tests_last=True)),  # 590 thousand weights, 8 x 70 thousand values
        (layered(32, 1024, 32), 256, Kernels(tests_last=True, steps_last=True, winograd=True)),
        (layered(8, 8), 16, Kernels(pooling=True, columns=True)),
        (Viewing, 16, Kernels()),
        (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 16, Kernels()),
    ],
    ids=["LeNet", "with ReLU", "wide LeNet", "wide", "many weights", "and a large batch", "narrow", "view", "linear"],
)
def test_the_layers_and_the_batch_decide(build: Callable[[], nn.Module], batch_size: int, expected: Kernels) -> None:
    network = build()
    shape = (1, 28, 28) if "Net" in type(network).__name__ else (1, 8, 8)
    if any(isinstance(layer, nn.LazyLinear) for layer in network.modules()):
        network(torch.zeros(2, *shape))
    config = replace(CONFIG, batch_size=batch_size)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    assert chosen(network, config, shape, CPU) == expected
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    for other in (replace(config, kernels="plain"), replace(config, precision="bf16")):
        assert chosen(network, other, shape, CPU) == Kernels()
    assert chosen(network, config, shape, torch.device("cuda")) == Kernels()


@pytest.mark.parametrize(
    ("build", "settings", "expected"),
    [
        (layered(32, 1024, 32), {"precision": "bf16"}, "channels_last"),
        (layered(32, 1024, 32), {"precision": "tf32"}, "channels_last"),
        (layered(32, 1024, 32), {"precision": "tf32", "kernels": "plain"}, ""),
        (layered(32, 1024, 32), {}, ""),
        (layered(8, 8), {"precision": "bf16"}, ""),
        (Viewing, {"precision": "bf16"}, ""),
    ],
)
def test_tensor_cores_get_channels_last(
    build: Callable[[], nn.Module], settings: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build()
    if any(isinstance(layer, nn.LazyLinear) for layer in network.modules()):
        network(torch.zeros(2, 1, 8, 8))
    tried = kernels._values_of_a_step
    monkeypatch.setattr(kernels, "_values_of_a_step", lambda network, shape, device: tried(network, shape, CPU))
    config = replace(CONFIG, batch_size=8, **settings)
    assert chosen(network, config, (1, 8, 8), torch.device("cuda")).name == expected


@settings(deadline=None)
@given(
    images=st.integers(1, 4),
    out=st.integers(1, 5),
    height=st.integers(5, 9),
    width=st.integers(5, 9),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    padding=st.integers(0, 2),
    bias=st.booleans(),
)
def test_a_convolution_of_one_channel_has_torchs_gradients(
    images: int, out: int, height: int, width: int, rows: int, columns: int, padding: int, bias: bool
) -> None:
    theirs = nn.Conv2d(1, out, (rows, columns), padding=padding, bias=bias)
    fast = kernels.Conv2d(1, out, (rows, columns), padding=padding, bias=bias)
    fast.load_state_dict(theirs.state_dict())
    given = torch.randn(images, 1, height, width)
    results = [layer(given) for layer in (theirs, fast)]
    assert torch.equal(*results)
    weights = torch.randn_like(results[0])
    for result in results:
        (result * weights).sum().backward()
    for one, other in zip(theirs.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(other.grad, one.grad, rtol=1e-4, atol=1e-4)


@settings(deadline=None)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(2, 9), st.integers(2, 9)),
    is_last=st.booleans(),
    values=st.sampled_from([(-1.0, 0.0, 1.0), (0.0, float("inf"), float("nan"))]),
)
def test_pooling_is_torchs_to_the_bit(
    shape: tuple[int, int, int, int], is_last: bool, values: tuple[float, ...]
) -> None:
    maps = torch.tensor(values)[torch.randint(len(values), shape)]
    maps = channels_last(maps) if is_last else maps
    expected = F.max_pool2d(maps, 2)
    with torch.inference_mode():
        torch.testing.assert_close(kernels.MaxPool2d(2)(maps), expected, rtol=0, atol=0, equal_nan=True)
    results, gradients = [], []
    weights = torch.randn_like(expected)
    for layer in (nn.MaxPool2d(2), kernels.MaxPool2d(2)):
        grown = maps.clone().requires_grad_()
        results.append(layer(grown))
        (results[-1] * weights).sum().backward()
        assert grown.grad is not None
        gradients.append(grown.grad)
    torch.testing.assert_close(*results, rtol=0, atol=0, equal_nan=True)
    if maps.isfinite().all():
        assert torch.equal(*gradients)


@pytest.mark.parametrize("build", [layered(4, 4), layered(32, 32), layered(32, 256, 32)], ids=["4", "32", "256"])
def test_a_training_is_a_plain_one_up_to_rounding(build: Callable[[], nn.Module]) -> None:
    def trained(kernels: str) -> tuple[list[float], dict[str, Tensor]]:
        def made() -> nn.Module:
            network = build()
            network(torch.zeros(2, 1, 8, 8))
            return network

        network = seeding.build(made, 0)
        epochs = list(Trainer(network, DATA, replace(CONFIG, optimizer="sgd", kernels=kernels)).epochs())
        return [epochs[0].train_loss or 0.0, epochs[0].test_loss or 0.0], network.state_dict()

    fast, plain = trained("fast"), trained("plain")
    assert fast[0] == pytest.approx(plain[0], abs=1e-5)
    for name, value in plain[1].items():
        torch.testing.assert_close(fast[1][name], value, rtol=1e-4, atol=1e-4)
    again = trained("fast")
    assert again[0] == fast[0]
    assert all(torch.equal(value, again[1][name]) for name, value in fast[1].items())


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Tanh])
@pytest.mark.parametrize("pooling", [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, padding=1), nn.MaxPool2d(3, ceil_mode=True)])
def test_pooling_goes_first_where_nobody_looks(activation: type[nn.Module], pooling: nn.Module) -> None:
    def made() -> nn.Sequential:
        convolution, norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        part = nn.Sequential(norm, activation(), copy.deepcopy(pooling))
        return nn.Sequential(convolution, part, nn.Flatten(), nn.LazyLinear(10))

    images = torch.randn(8, 1, 12, 12)
    theirs = made()
    theirs(images)
    ours = fit(copy.deepcopy(theirs), CONFIG, (1, 12, 12), CPU)
    gradients = []
    for network in (theirs, ours):
        network(images).square().sum().backward()
        gradients.append([value.grad for value in network.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    part: Any = ours[1]  # type: ignore[index]
    assert type(part).__name__ == "Sequential"
    seen: list[bool] = []
    part[2].register_forward_pre_hook(lambda module, given: seen.append(bool((given[0].abs() <= 1).all())))
    ours(images)
    watched = part[1].register_forward_hook(lambda module, given, result: seen.append(result.shape == (8, 4, 10, 10)))
    ours(images)
    watched.remove()
    assert seen == [True] * 3


def test_a_training_with_fast_pooling_alone_is_the_plain_one_to_the_bit() -> None:
    def made() -> nn.Module:
        convolution = nn.Conv2d(1, 8, 3, padding=1, padding_mode="reflect")  # whose gradients are torch's
        pool, head = nn.MaxPool2d(2), nn.Linear(8 * 4 * 4, 10)
        return nn.Sequential(convolution, nn.BatchNorm2d(8), nn.ReLU(), pool, nn.Flatten(), head)

    def trained(name: str) -> list[Tensor]:
        network = seeding.build(made, 0)
        assert len(list(Trainer(network, DATA, replace(CONFIG, epochs=2, kernels=name)).epochs())) == 2
        assert any(isinstance(layer, kernels.MaxPool2d) for layer in network.modules()) == (name == "fast")
        return [value.view(torch.int32) for value in network.state_dict().values() if value.is_floating_point()]

    assert all(map(torch.equal, trained("plain"), trained("fast")))


def test_channels_last_images_reach_the_layers_in_the_modes_that_ask_for_them() -> None:
    network = layered(32, 1024, 32)()
    network(torch.zeros(2, 1, 8, 8))
    seen = []
    list(network.modules())[4].register_forward_pre_hook(
        lambda module, given: seen.append(given[0].is_contiguous(memory_format=torch.channels_last))
    )
    fit(network, replace(CONFIG, batch_size=8), (1, 8, 8), CPU)
    seen.clear()  # of the try
    network(torch.zeros(2, 1, 8, 8))
    network.eval()(torch.zeros(2, 1, 8, 8))
    assert seen == [False, True]


def test_the_record_names_what_changes_the_last_bits(tmp_path: object) -> None:
    execution = Execution(store=str(tmp_path))
    asked: dict[str, Any] = {"epochs": 1, "train_samples": 32, "test_samples": 16, "size": 28}
    fast = train("lenet", execution=execution, **asked)
    plain = train("lenet", execution=execution, kernels="plain", **asked)
    assert fast.environment["kernels"] == "pooling first, columns"
    assert "kernels" not in plain.environment
    assert fast.key != plain.key
