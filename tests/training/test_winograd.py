"""Winograd's weight gradients: what they are in exact numbers, and beside torch's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archlab.records import TrainingConfig
from archlab.training import kernels, winograd
from archlab.training.winograd import FORMS, Form


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"F(3, {form.rows})")
@given(data=st.data())
def test_a_form_is_the_correlation_of_rows_exactly(form: Form, data: st.DataObject) -> None:
    whole = st.integers(-9, 9)
    image = data.draw(st.lists(whole, min_size=form.rows + 2, max_size=form.rows + 2))
    gradient = data.draw(st.lists(whole, min_size=form.rows, max_size=form.rows))

    def summed(factors: Sequence[float], values: Sequence[int | Fraction]) -> Fraction:
        exact = [Fraction(factor).limit_denominator(24) for factor in factors]
        return sum((factor * value for factor, value in zip(exact, values, strict=True)), Fraction(0))

    products = [
        summed(one, image) * summed(other, gradient) for one, other in zip(form.images, form.gradients, strict=True)
    ]
    expected = [sum(image[row + place] * gradient[place] for place in range(form.rows)) for row in range(3)]
    assert [summed(factors, products) for factors in form.weights] == expected


@settings(deadline=None)
@given(
    images=st.integers(1, 5),
    channels=st.integers(1, 4),
    out=st.integers(1, 4),
    height=st.integers(1, 14),
    width=st.integers(1, 7),
    reach=st.integers(1, 5),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 3)),
    is_last=st.booleans(),
    in_cache=st.sampled_from([1, 2**9, 2**20]),
)
def test_it_is_torchs_gradient(
    images: int,
    channels: int,
    out: int,
    height: int,
    width: int,
    reach: int,
    padding: tuple[int, int],
    is_last: bool,
    in_cache: int,
) -> None:
    assume(height + 2 * padding[0] >= 3 and width + 2 * padding[1] >= reach)
    layer = nn.Conv2d(channels, out, (3, reach), padding=padding)
    inputs = torch.randn(images, channels, height, width)
    inputs = inputs.contiguous(memory_format=torch.channels_last) if is_last else inputs
    gradients = []
    results = []
    for kind in (nn.Conv2d, winograd.Conv2d):
        layer.__class__ = kind
        layer.zero_grad()  # to None
        grown = inputs.clone().requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(winograd, "IN_CACHE", in_cache)
            results.append(layer(grown))
            (results[-1] * torch.arange(results[-1].numel()).view_as(results[-1]).sin()).sum().backward()
        gradients.append([grown.grad, *(parameter.grad for parameter in layer.parameters())])
    assert torch.equal(*results)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-4)


def test_it_is_as_close_to_the_exact_gradient_as_torchs() -> None:
    images, slopes = torch.randn(16, 64, 12, 12), torch.randn(16, 64, 12, 12)
    weight = torch.zeros(64, 64, 3, 3)

    def torchs(kind: torch.dtype) -> Tensor:
        layer = nn.Conv2d(64, 64, 3, padding=1, bias=False, dtype=kind)
        layer(images.to(kind)).backward(slopes.to(kind))
        assert layer.weight.grad is not None
        return layer.weight.grad.double()

    exact = torchs(torch.float64)
    ours = winograd.weight_gradient(images, slopes, weight, (1, 1)).double()
    assert (ours - exact).abs().max() < 2 * (torchs(torch.float32) - exact).abs().max() + 1e-5 * exact.abs().max()


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Conv2d(64, 32, 3, padding=1), True),
        (nn.Conv2d(32, 64, (3, 1)), True),
        (nn.Conv2d(32, 32, 3), False),
        (nn.Conv2d(128, 16, 3), False),
        (nn.Conv2d(64, 64, 1), False),
        (nn.Conv2d(64, 64, 3, stride=2), False),
        (nn.Conv2d(64, 64, 3, dilation=2), False),
        (nn.Conv2d(64, 64, 3, groups=2), False),
        (nn.Conv2d(64, 64, 3, padding="same"), False),
        (nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect"), False),
        (nn.Linear(64, 64), False),
    ],
    ids=str,
)
def test_layers_of_many_channels_take_it(layer: nn.Module, expected: bool) -> None:
    assert winograd.pays(layer) == expected


def test_a_network_of_many_channels_takes_it_and_says_so() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(64 * 4 * 4, 10)
    )
    config = TrainingConfig(batch_size=256)
    device = torch.device("cpu")
    assert kernels.chosen(network, config, (1, 8, 8), device).name == "channels_last, winograd"
    assert kernels.chosen(network, replace(config, kernels="plain"), (1, 8, 8), device).name == ""
    kernels.fit(network, config, (1, 8, 8), device)
    assert [type(layer) for layer in network[:3]] == [nn.Conv2d, nn.ReLU, winograd.Conv2d]
