"""Traces to draw: by hand, and at random."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from archlab.records import Failure, Layer, Shape, Totals, Trace


def layer(path: str, depth: int, inputs: Sequence[int] = (), kind: str = "Linear", **values: Any) -> Layer:
    shapes: dict[str, tuple[Shape, ...]] = {"input_shapes": ((1, 8),), "output_shapes": ((1, 8),)}
    return Layer(**{"path": path, "kind": kind, "depth": depth, "inputs": tuple(inputs), **shapes, **values})


def trace(*layers: Layer, inputs: int = 1, network: str = "net") -> Trace:
    parameters = sum(row.parameters for row in layers if row.depth == 1)
    return Trace(network, ((1, 8),) * inputs, tuple(layers), Totals(parameters, parameters, 0, 0, 0))


def residual(path: str, depth: int, first: int, source: int, parameters: int = 0) -> list[Layer]:
    """A block of five rows from row `first` on: conv, norm, relu, conv, and the sum with what came in."""
    names = ("conv_1", "norm", "relu", "conv_2")
    kinds = ("Conv2d", "BatchNorm2d", "ReLU", "Conv2d")
    rows = [layer(path, depth, kind="Residual", parameters=parameters)]
    for place, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        rows.append(layer(f"{path}.{name}", depth + 1, [first + place if place else source], kind))
    rows.append(layer(f"{path}.add", depth + 1, [first + 4, source], "add", operation=True))
    return rows


def stack(blocks: int) -> Trace:
    """Equal residual blocks, one after the other, between two layers."""
    rows = [layer("stem", 1, [-1], "Conv2d")]
    for number in range(blocks):
        rows += residual(f"blocks.{number}", 1, len(rows), len(rows) - 1)
    rows.append(layer("head", 1, [len(rows) - 1], "Linear", parameters=72))
    return trace(*rows, network="stack")


def dense(layers: int) -> Trace:
    """Layers that each take the results of all before them, and a concatenation of everything."""
    rows = [layer(f"layer_{number}", 1, [-1, *range(number)], "Conv2d") for number in range(layers)]
    rows.append(layer("cat", 1, [-1, *range(layers)], "cat", operation=True))
    return trace(*rows, network="dense")


def tall(blocks: int = 14) -> Trace:
    """Unequal residual blocks, one after the other, in a block that holds them all."""
    rows = [layer("stem", 1, [-1], "Conv2d"), layer("body", 1, kind="Body")]
    for number in range(blocks):
        rows += residual(f"body.{chr(97 + number)}", 2, len(rows), len(rows) - 1 if number else 0, parameters=number)
    rows.append(layer("head", 1, [len(rows) - 1], "Linear", parameters=72))
    return trace(*rows, network="tall")


def failed(path: str = "head.fc") -> Trace:
    """A stem, and a head whose last layer is given 8 features where it expects 5."""
    rows = [
        layer("stem", 1, [-1], "Conv2d"),
        layer("head", 1, kind="Head", output_shapes=()),
        layer("head.norm", 2, [0], "BatchNorm1d"),
        layer("head.fc", 2, [2], "Linear", output_shapes=()),
    ]
    failure = Failure(path, "Linear", "net.py:7", "8 features (1x8)", "5", "in_features=8 would fit", "boom")
    return replace(trace(*rows, network="bad"), failure=failure)


@st.composite
def nested(draw: st.DrawFn) -> Trace:
    """A random network: blocks in blocks, leaves that take any earlier results, some never called."""
    inputs = draw(st.integers(1, 3))
    rows: list[Layer] = []
    leaves: list[int] = []

    def grow(path: str, depth: int) -> None:
        for number in range(draw(st.integers(1, 5 if depth == 1 else 4))):
            name = f"{path}.{number}".lstrip(".")
            if depth < 4 and draw(st.integers(0, 2)) == 0:
                rows.append(layer(name, depth, kind="Block"))
                grow(name, depth + 1)
                continue
            known = [*range(-inputs, 0), *leaves]
            near = known[-6:] if draw(st.booleans()) else known
            taken = draw(st.lists(st.sampled_from(near), max_size=4, unique=True))
            kind = draw(st.sampled_from(["Conv2d", "ReLU", "add", "cat"]))
            leaves.append(len(rows))
            operation = kind in ("add", "cat")
            rows.append(layer(name, depth, taken, kind, operation=operation, call=int(bool(taken))))

    grow("", 1)
    return trace(*rows, inputs=inputs)
