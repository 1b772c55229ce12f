"""Traces to draw as volumes, made by hand: sums and sizes stand in the tests."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.records import Layer, Shape, Totals, Trace


def made(path: str, kind: str, shape: Shape, inputs: Sequence[int], taken: Sequence[Shape], **values: object) -> Layer:
    """A row at depth 1 with one result; what has weights says its axes."""
    macs = 1_000 if kind in ("Conv2d", "ConvTranspose2d", "Linear") else 0
    axes = {4: ("batch", "channels", "height", "width"), 2: ("batch", "features")} if macs else {}
    given = {"axes": axes.get(len(shape), ()), "macs": macs, "depth": 1, **values}
    return Layer(path=path, kind=kind, input_shapes=tuple(taken), output_shapes=(shape,), inputs=tuple(inputs), **given)  # type: ignore[arg-type]


def network(name: str, given: Shape, *rows: tuple[object, ...], **values: object) -> Trace:
    """A trace of (path, kind, shape, inputs) rows, the shapes of what they take looked up."""
    layers: list[Layer] = []
    for path, kind, shape, inputs, *more in rows:
        taken = [given if origin < 0 else layers[origin].output_shapes[0] for origin in inputs]  # type: ignore[attr-defined]
        layers.append(made(path, kind, shape, inputs, taken, **(more[0] if more else {})))  # type: ignore[arg-type]
    return Trace(name, (given,), tuple(layers), Totals(0, 0, 0, 0, 0), **values)  # type: ignore[arg-type]


def dense() -> Trace:
    """A stem of 64 channels, and three layers that each put 32 beside all that was there."""
    return network(
        "dense",
        (1, 3, 32, 32),
        ("stem", "Conv2d", (1, 64, 16, 16), [-1]),
        ("conv_0", "Conv2d", (1, 32, 16, 16), [0]),
        ("cat_0", "cat", (1, 96, 16, 16), [0, 1]),
        ("relu", "ReLU", (1, 96, 16, 16), [2]),
        ("conv_1", "Conv2d", (1, 32, 16, 16), [3]),
        ("cat_1", "cat", (1, 128, 16, 16), [2, 4]),
        ("conv_2", "Conv2d", (1, 32, 16, 16), [5]),
        ("norm", "BatchNorm2d", (1, 32, 16, 16), [6]),
        ("cat_2", "cat", (1, 160, 16, 16), [5, 7]),
    )


def residual(name: str = "residual") -> Trace:
    """Two convolutions past which the input goes, through one of its own: half the map, twice the channels."""
    return network(
        name,
        (1, 3, 32, 32),
        ("stem", "Conv2d", (1, 64, 16, 16), [-1]),
        ("conv_1", "Conv2d", (1, 128, 8, 8), [0]),
        ("norm_1", "BatchNorm2d", (1, 128, 8, 8), [1]),
        ("conv_2", "Conv2d", (1, 128, 8, 8), [2]),
        ("shortcut", "Conv2d", (1, 128, 8, 8), [0]),
        ("add", "add", (1, 128, 8, 8), [3, 4]),
        ("relu", "ReLU", (1, 128, 8, 8), [5]),
        ("pool", "AdaptiveAvgPool2d", (1, 128, 1, 1), [6]),
        ("flatten", "Flatten", (1, 128), [7]),
        ("head", "Linear", (1, 10), [8]),
    )


def u_net() -> Trace:
    """Two levels down and up again, with a concatenation across at each of the upper two."""
    return network(
        "u",
        (1, 1, 64, 64),
        ("down_0", "Conv2d", (1, 16, 64, 64), [-1]),
        ("pool_0", "MaxPool2d", (1, 16, 32, 32), [0]),
        ("down_1", "Conv2d", (1, 32, 32, 32), [1]),
        ("pool_1", "MaxPool2d", (1, 32, 16, 16), [2]),
        ("middle", "Conv2d", (1, 64, 16, 16), [3]),
        ("up_1", "ConvTranspose2d", (1, 32, 32, 32), [4]),
        ("cat_1", "cat", (1, 64, 32, 32), [2, 5]),
        ("join_1", "Conv2d", (1, 32, 32, 32), [6]),
        ("up_0", "ConvTranspose2d", (1, 16, 64, 64), [7]),
        ("cat_0", "cat", (1, 32, 64, 64), [0, 8]),
        ("join_0", "Conv2d", (1, 16, 64, 64), [9]),
    )


def transformer(blocks: int = 12) -> Trace:
    """Tokens of 48 features through equal blocks, each of an attention and two linear layers with their sums."""
    tokens, wide = (1, 10, 48), (1, 10, 192)
    names = {"axes": ("batch", "tokens", "features")}
    rows: list[tuple[object, ...]] = [("embed", "Embedding", tokens, [-1], names)]
    for number in range(blocks):
        path, start, before = f"blocks.{number}", len(rows), len(rows) - 1
        rows += [
            (path, "Block", tokens, [], {**names, "macs": 3_000}),
            (f"{path}.attention", "Attention", tokens, [before], {**names, "depth": 2, "macs": 1_000}),
            (f"{path}.add", "add", tokens, [start + 1, before], {"depth": 2, "operation": True}),
            (f"{path}.up", "Linear", wide, [start + 2], {**names, "depth": 2}),
            (f"{path}.down", "Linear", tokens, [start + 3], {**names, "depth": 2}),
            (f"{path}.add_1", "add", tokens, [start + 4, start + 2], {"depth": 2, "operation": True}),
        ]
    return network("transformer", (1, 10), *rows, input_dtypes=("int64",))


def gated() -> Trace:
    """Squeeze and excitation: a map times weights that are made from it, and two branches that are summed."""
    return network(
        "gated",
        (1, 3, 16, 16),
        ("conv", "Conv2d", (1, 8, 16, 16), [-1]),
        ("squeeze", "AdaptiveAvgPool2d", (1, 8, 1, 1), [0]),
        ("gate", "Conv2d", (1, 8, 1, 1), [1]),
        ("mul", "mul", (1, 8, 16, 16), [0, 2]),
        ("left", "Conv2d", (1, 8, 16, 16), [3]),
        ("right", "Conv2d", (1, 8, 16, 16), [3]),
        ("right_2", "Conv2d", (1, 8, 16, 16), [5]),
        ("split", "Linear", (1, 8), [4]),
        ("add", "add", (1, 8, 16, 16), [4, 6]),
    )
