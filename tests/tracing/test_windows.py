"""Kernel, stride, padding, dilation, groups and weights, as modules and torch's functions have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import archlab
from archlab.analysis.wording import layer_text
from archlab.records import Trace, Weight, Window


class Functional(nn.Module):
    """A module whose forward is a function of its input and a weight."""

    def __init__(self, function: Any, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape or (1,)))
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.function(x, self.weight)
        return result


ONE, TWO = (1, 1), (2, 2)
STEM = Window((7, 7), TWO, ((3, 3), (3, 3)), ONE, 1)
CASES = {
    "conv": (nn.Conv2d(4, 8, 7, 2, 3), STEM, "7x7, 8, /2"),
    "function": (Functional(lambda x, w: F.conv2d(x, w, None, 2, padding=3), 8, 4, 7, 7), STEM, "7x7, 8, /2"),
    "grouped": (nn.Conv2d(4, 8, 3, padding=1, groups=4), Window((3, 3), ONE, (ONE, ONE), ONE, 4), "3x3, 8, groups 4"),
    "no padding": (nn.Conv2d(4, 8, 5), Window((5, 5), ONE, ((0, 0), (0, 0)), ONE, 1), "5x5, 8, padding 0"),
    "patches": (nn.Conv2d(4, 8, 4, 4), Window((4, 4), (4, 4), ((0, 0), (0, 0)), ONE, 1), "4x4, 8, /4"),
    "same": (
        nn.Conv2d(4, 8, (3, 4), padding="same", dilation=2),
        Window((3, 4), ONE, ((2, 2), (3, 3)), TWO, 1),  # 2 * (3 - 1) = 4, 2 * (4 - 1) = 6
        "3x4, 8, dilation 2",
    ),
    "transposed": (
        nn.ConvTranspose2d(4, 8, 2, 2),
        Window(TWO, TWO, ((0, 0), (0, 0)), ONE, 1, transposed=True),
        "2x2, 8, up 2",
    ),
    "pooling": (nn.MaxPool2d(3, 2, 1), Window((3, 3), TWO, (ONE, ONE), ONE), "3x3, /2"),
    "average": (nn.AvgPool2d(2), Window(TWO, TWO, ((0, 0), (0, 0)), ONE), "2x2, /2"),
    "pooling function": (
        Functional(lambda x, w: F.max_pool2d(x * w, 2)),
        Window(TWO, TWO, ((0, 0), (0, 0)), ONE),
        "2x2, /2",
    ),
    "other": (nn.BatchNorm2d(4), None, ""),
}


def traced(module: nn.Module) -> Trace:
    return archlab.trace(nn.Sequential(module), [(1, 4, 16, 16)])


@pytest.mark.parametrize("name", CASES)
def test_what_slides_over_a_map(name: str) -> None:
    module, window, text = CASES[name]
    layer = traced(module).layers[-1]
    assert (layer.window, layer_text(layer)) == (window, text)
    assert Trace.from_json(traced(module).to_json()).layers[-1] == layer


def test_a_module_says_what_it_holds_and_an_operation_what_it_takes() -> None:
    held = traced(nn.Conv2d(4, 8, 3)).layers[0]
    assert held.weights == (Weight("weight", (8, 4, 3, 3)), Weight("bias", (8,)))
    taken = traced(Functional(lambda x, w: x + w, 4, 1, 1)).layers[-1]
    assert (taken.kind, taken.weights) == ("add", (Weight("weight", (4, 1, 1)),))


def test_a_convolution_that_pads_by_itself_leaves_the_window_to_its_operation() -> None:
    class Padded(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, self.bias, self.stride)

    module, *_, operation = traced(Padded(4, 8, 3)).layers
    assert module.window is None
    assert operation.window == Window((3, 3), ONE, ((0, 0), (0, 0)), ONE, 1)
