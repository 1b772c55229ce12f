"""Small traces made by hand, for tests that need no torch."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies

from archlab.records import Layer, Totals, Trace


def layer(path: str, kind: str = "Linear", depth: int = 0, **fields: Any) -> Layer:
    """A layer of shape 1x8 -> 1x8, at the depth that its dotted path has."""
    shapes = {"input_shapes": ((1, 8),), "output_shapes": ((1, 8),)}
    parameters = fields.get("parameters", 0)
    return Layer(
        path=path,
        kind=kind,
        depth=depth or path.count(".") + 1,
        **(shapes | {"trainable_parameters": parameters} | fields),
    )


def trace(*layers: Layer, network: str = "net", **fields: Any) -> Trace:
    """A trace whose totals are the sums over the layers at depth 1."""
    top = [item for item in layers if item.depth == 1]
    sums = {
        name: sum(getattr(item, name) for item in top)
        for name in ("parameters", "trainable_parameters", "buffers", "macs", "elementwise", "output_bytes")
    }
    totals = Totals(flops=2 * sums["macs"], uncounted_operations=fields.pop("uncounted", {}), **sums)
    return Trace(network, fields.pop("inputs", ((1, 8),)), layers, totals, **fields)


def block(path: str, parameters: int = 72) -> tuple[Layer, ...]:
    """A block of a linear layer and a ReLU: 8 x 8 + 8 = 72 parameters, 8 x 8 = 64 MACs."""
    return (
        layer(path, "Block", parameters=parameters, macs=64, elementwise=8),
        layer(f"{path}.fc", parameters=parameters, macs=64, own_parameters=parameters),
        layer(f"{path}.relu", "ReLU", elementwise=8),
    )


@strategies.composite
def traces(draw: strategies.DrawFn) -> Trace:
    """Random trees in which a container's counts are the sums over what is inside it."""
    layers: list[Layer] = []

    def grow(path: str, depth: int) -> tuple[int, int]:
        children = draw(strategies.integers(0, 4)) if depth < 4 else 0
        place = len(layers)
        layers.append(layer(path, depth=depth))
        if not children:
            parameters, macs = draw(strategies.sampled_from([(0, 0), (72, 64), (9, 8)]))
        else:
            inner = [grow(f"{path}.{number}", depth + 1) for number in range(children)]
            parameters, macs = sum(p for p, _ in inner), sum(m for _, m in inner)
        layers[place] = layer(path, "Block" if children else "Linear", depth, parameters=parameters, macs=macs)
        return parameters, macs

    for number in range(draw(strategies.integers(1, 4))):
        grow(f"stage_{number}", 1)
    return trace(*layers)
