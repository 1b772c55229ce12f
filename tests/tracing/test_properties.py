"""Laws that hold for any network: random small ones of chains, skips, concatenations and shared modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archlab.tracing import trace
from archlab.tracing.measurement import prepare
from tests.tracing.test_saved import really_saved

CHANNELS = 4


class Skip(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


class Concatenate(nn.Module):
    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.mix = nn.Conv2d(CHANNELS * len(branches), CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.mix(torch.cat([branch(x) for branch in self.branches], 1))
        return result


class Functional(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.randn(CHANNELS, CHANNELS, 1, 1))
        self.idle = nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "conv":
            return F.relu(F.conv2d(x, self.weight))
        if self.kind == "matmul":
            return (self.weight[:, :, 0, 0] @ x.flatten(2)).view_as(x)
        return x * self.weight[:, 0].sigmoid() - x.mean((2, 3), keepdim=True)


LAYERS = st.sampled_from(
    [
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=2, bias=False),
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=2, dilation=2),
        lambda: nn.BatchNorm2d(CHANNELS),
        lambda: nn.BatchNorm2d(CHANNELS).eval(),
        lambda: nn.GroupNorm(2, CHANNELS),
        lambda: nn.ReLU(),
        lambda: nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1), nn.ReLU(inplace=True)),
        lambda: nn.GELU(),
        lambda: nn.Identity(),
        lambda: nn.MaxPool2d(3, 1, 1),
        lambda: nn.ConvTranspose2d(CHANNELS, CHANNELS, 3, padding=1),
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 1).requires_grad_(False),
        lambda: Functional("conv"),
        lambda: Functional("matmul"),
        lambda: Functional("gate"),
    ]
)


@st.composite
def networks(draw: Any, depth: int = 2) -> nn.Module:
    """A network of (N, 4, H, W) -> (N, 4, H, W)."""
    made: list[nn.Module] = []
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["layer", "layer", "skip", "concatenate", "shared"]))
        if kind == "shared" and made:
            made.append(draw(st.sampled_from(made)))
        elif kind == "skip" and depth:
            made.append(Skip(draw(networks(depth - 1))))
        elif kind == "concatenate" and depth:
            made.append(Concatenate(draw(networks(depth - 1)), draw(networks(depth - 1))))
        else:
            made.append(draw(LAYERS)())
    return nn.Sequential(*made)


SHAPES = st.tuples(st.integers(2, 3), st.just(CHANNELS), st.integers(4, 7), st.integers(4, 7))


@settings(deadline=None, max_examples=40)
@given(networks(), SHAPES)
def test_laws(network: nn.Module, shape: tuple[int, ...]) -> None:
    found = trace(network, [shape])
    real = network(torch.zeros(shape))

    totals = found.totals
    assert totals.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert totals.buffers == sum(buffer.numel() for buffer in network.buffers())
    assert totals.trainable_parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert totals.uncounted_operations == {}
    assert found.layers[-1].output_shapes[0] == tuple(real.shape) or found.layers[-1].call == 0

    # Whatever is below a row sums to it, at every depth.
    for name in ("parameters", "trainable_parameters", "buffers", "macs", "elementwise"):
        assert sum(getattr(layer, name) for layer in found.rows(1)) == getattr(totals, name)
        for place, layer in enumerate(found.layers):
            inside = []
            for inner in found.layers[place + 1 :]:
                if inner.depth <= layer.depth:
                    break
                inside += [getattr(inner, name)] if inner.depth == layer.depth + 1 else []
            assert not inside or sum(inside) == getattr(layer, name)
    assert sum(layer.own_parameters for layer in found.layers) == totals.parameters

    # Every edge comes from an earlier row, or from an input.
    assert all(-1 <= origin < place for place, layer in enumerate(found.layers) for origin in layer.inputs)


@settings(deadline=None, max_examples=20)
@given(networks(), SHAPES)
def test_quick_and_slow_and_real_agree(network: nn.Module, shape: tuple[int, ...]) -> None:
    measurement = prepare(network, [shape], None, {})
    quick = measurement.run("known", quick=True)
    assert quick == measurement.run("known")
    real = measurement.run("all")
    assert quick.layers == real.layers
    assert quick.totals == real.totals


@settings(deadline=None, max_examples=25)
@given(networks(), SHAPES)
def test_saved_bytes_are_autograds(network: nn.Module, shape: tuple[int, ...]) -> None:
    found = trace(network, [shape], columns=["saved"])
    assert found.totals.saved_bytes == really_saved(network, torch.zeros(shape))
    assert found.totals.saved_bytes == sum(layer.saved_bytes or 0 for layer in found.rows(1))
