"""Which edges are skip connections: by hand, one network each."""

from __future__ import annotations

import pytest

from archlab.analysis.skips import skip_edges
from archlab.records import Layer, Shape, Window
from tests.traces import layer, trace

ONE = (1, 1)


def conv(path: str, *inputs: int, kernel: int = 3) -> Layer:
    window = Window((kernel, kernel), ONE, (ONE, ONE), ONE, 1)
    return layer(path, "Conv2d", inputs=inputs, macs=64, parameters=8, window=window)


def join(kind: str, *inputs: int, shape: Shape = (1, 8)) -> Layer:
    return layer(kind, kind, inputs=inputs, operation=True, output_shapes=(shape,))


def linear(path: str, *inputs: int) -> Layer:
    return layer(path, "Linear", inputs=inputs, macs=64, parameters=72)


def norm(path: str, *inputs: int) -> Layer:
    return layer(path, "BatchNorm2d", inputs=inputs, parameters=16)


CASES: dict[str, tuple[list[Layer], set[tuple[int, int]]]] = {
    "residual": ([conv("a", -1), conv("b", 0), join("add", 1, -1)], {(-1, 2)}),
    "in place": ([conv("a", -1), join("__iadd__", 0, -1)], {(-1, 1)}),
    "dense": ([conv("a", -1), join("cat", -1, 0), conv("b", 1), join("cat", -1, 0, 2)], {(-1, 1), (-1, 3), (0, 3)}),
    "gate": ([linear("gate", -1), join("sigmoid", 0), join("mul", -1, 1)], set()),
    "attention": (
        [linear("q", -1), linear("k", -1), linear("v", -1), join("scaled_dot_product_attention", 0, 1, 2)],
        set(),
    ),
    "mask": ([linear("a", -1), join("add", 0, -1, shape=(4, 8))], set()),  # the input is broadcast: 1x8 to 4x8
    "arithmetic": ([join("pow", -1), join("add", -1, 0)], set()),  # x + x^2 bypasses no layer
    "projection": (
        [conv("a", -1), conv("b", 0), conv("c", -1, kernel=1), norm("n", 2), join("add", 1, 3)],
        {(-1, 2), (2, 3), (3, 4)},
    ),
    "branches": ([conv("a", -1), conv("b", -1, kernel=1), join("add", 0, 1)], set()),  # one convolution each
    "inception": ([conv("a", -1), conv("b", 0), conv("c", -1, kernel=1), join("cat", 1, 2)], set()),
    "a 3x3 beside": ([conv("a", -1), conv("b", 0), conv("c", -1), join("add", 1, 2)], set()),
}


@pytest.mark.parametrize("name", CASES)
def test_skip_connections(name: str) -> None:
    layers, expected = CASES[name]
    assert skip_edges(trace(*layers)) == expected


def test_encoder_and_decoder() -> None:
    layers = [conv("down", -1), layer("pool", "MaxPool2d", inputs=(0,)), conv("deep", 1), conv("up", 2)]
    assert skip_edges(trace(*layers, join("cat", 3, 0))) == {(0, 4)}
