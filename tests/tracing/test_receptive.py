from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archlab.records import ReceptiveField
from archlab.tracing import trace
from archlab.tracing.receptive.fields import ReceptiveFields, regions_of
from archlab.tracing.receptive.regions import Region, receptive_field

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
AVERAGES = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
SIZES = {1: 160, 2: 44, 3: 26}


class Residual(nn.Module):
    def __init__(self, *branches: nn.Module, join: Callable[[list[Tensor]], Tensor] = sum) -> None:  # type: ignore[assignment]
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        results = [branch(x) for branch in self.branches]
        smallest = [min(sizes) for sizes in zip(*(result.shape[2:] for result in results), strict=True)]
        return self.join([result[(..., *(slice(0, size) for size in smallest))] for result in results])


class Apply(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def mean_of_channels(parts: list[Tensor]) -> Tensor:
    return torch.cat(parts, 1).mean(1, keepdim=True)


@st.composite
def layers(draw: st.DrawFn, axes: int, nested: bool = True) -> nn.Module:
    """A layer with one channel: convolutions, pooling, resizing, cropping, and blocks of such."""
    kinds = ["convolution", "convolution", "dilated", "pool", "transposed", "resize", "crop", "pad", "step", "flip"]
    kind = draw(st.sampled_from([*kinds, "residual", "concatenation", "residual"] if nested else kinds))
    sizes = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, stride = draw(sizes), draw(sizes)
    settings: dict[str, Any] = {"in_channels": 1, "out_channels": 1, "kernel_size": kernel, "stride": stride}
    made: nn.Module
    if kind == "convolution":
        made = CONVOLUTIONS[axes](**settings | {"padding": tuple(size // 2 for size in kernel)})
        return made
    if kind == "dilated":
        odd = tuple(2 * (size // 2) + 1 for size in kernel)
        changed = {"kernel_size": odd, "stride": 1, "padding": "same", "dilation": stride}
        made = CONVOLUTIONS[axes](**settings | changed)
        return made
    if kind == "transposed":
        made = TRANSPOSED[axes](**settings, padding=draw(st.integers(0, min(kernel) - 1)))
        return made
    if kind == "pool":
        made = AVERAGES[axes](draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        return made
    if kind == "resize":
        mode = draw(st.sampled_from(["nearest", "nearest-exact", LINEAR[axes]]))
        return nn.Upsample(scale_factor=draw(st.sampled_from([2.0, 1.5, 0.5])), mode=mode)
    if kind == "crop":
        return Apply(lambda x: x.narrow(-1, 1, x.shape[-1] - 2))
    if kind == "pad":
        return Apply(lambda x: nn.functional.pad(x, (2, 1)))
    if kind == "step":
        return Apply(lambda x: x[..., 1::2])
    if kind == "flip":
        return Apply(lambda x: x.flip(-1))
    branches = draw(st.lists(layers(axes, nested=False), min_size=1, max_size=3))
    same = [branch for branch in branches if _keeps_size(branch, axes)]
    join = sum if kind == "residual" else mean_of_channels
    return Residual(nn.Identity(), *same, join=join) if same else Residual(*branches[:1], join=join)  # type: ignore[arg-type]


def _keeps_size(branch: nn.Module, axes: int) -> bool:
    shape = (1, 1, *[SIZES[axes]] * axes)
    return tuple(branch(torch.zeros(shape)).shape) == shape


@st.composite
def networks(draw: st.DrawFn) -> tuple[nn.Module, int]:
    axes = draw(st.sampled_from([1, 1, 1, 2, 2, 3]))
    return nn.Sequential(*draw(st.lists(layers(axes), min_size=1, max_size=5))), axes


def made_positive(network: nn.Module) -> nn.Module:
    """The network with weights that can't cancel each other, in double precision."""
    network.double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(0.5, 1.0)
    return network.eval()


def reached(network: nn.Module, x: Tensor, position: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Input positions with a gradient, for one output position."""
    x = x.clone().requires_grad_()
    network(x)[(0, slice(None), *position)].sum().backward()
    assert x.grad is not None
    return {tuple(place) for place in x.grad[0].sum(0).nonzero().tolist()}


def followed(network: nn.Module, x: Tensor) -> tuple[tuple[Region, ...], ReceptiveField, tuple[int, ...]]:
    given = x.clone()
    with torch.no_grad(), ReceptiveFields([given]):
        out = network(given)
    field = receptive_field(regions_of(out))
    assert field is not None
    return regions_of(out), field, tuple(out.shape)


def box(region: Region, position: tuple[int, ...]) -> list[set[int]] | None:
    """The positions along each axis that a region says are seen; None near the border, where padding cuts them off."""
    sets = []
    for place, stencil in enumerate(region.stencils):
        size = region.sizes[place]
        if stencil is None:
            sets.append(set(range(size)))
            continue
        at = sum(position[axis - 2] * weight for axis, _, weight in region.steps(place))
        start, bits = stencil.at(at)
        if start < size // 3 or start + bits.bit_length() > size - size // 3:
            return None
        sets.append({start + bit for bit in range(bits.bit_length()) if bits >> bit & 1})
    return sets


@settings(deadline=None, max_examples=40)
@given(networks())
def test_the_field_is_what_gradients_reach(drawn: tuple[nn.Module, int]) -> None:
    network, axes = drawn
    made_positive(network)
    x = torch.rand(1, 1, *[SIZES[axes]] * axes, dtype=torch.float64)
    try:
        regions, field, shape = followed(network, x)
    except RuntimeError:
        return  # nothing left of the input
    if 0 in shape:
        return
    lengths: list[tuple[int, ...]] = []
    steps = [range(size // 2, min(size, size // 2 + (4 if axes == 1 else 2))) for size in shape[2:]]
    for position in itertools.product(*steps):
        boxes = [box(region, position) for region in regions]
        if any(sets is None for sets in boxes):
            continue
        together = {place for sets in boxes if sets is not None for place in itertools.product(*sets)}
        found = reached(network, x, position)
        assert found <= together
        if len(regions) == 1 and not regions[0].is_loose:
            assert found == together  # holes included
        if found:
            extent = [max(axis) - min(axis) + 1 for axis in zip(*found, strict=True)]
            assert all(length <= size for length, size in zip(extent, field.size, strict=True))
            lengths.append(tuple(extent))
            if field.kind == "exact":
                assert tuple(extent) == field.size
                assert len(found) == torch.Size(field.size).numel()  # no holes


def test_a_generated_network_is_checked_at_all() -> None:
    network = made_positive(nn.Sequential(nn.Conv1d(1, 1, 3), nn.AvgPool1d(2)))
    x = torch.rand(1, 1, 20, dtype=torch.float64)
    regions, field, _ = followed(network, x)
    assert reached(network, x, (4,)) == {(8,), (9,), (10,), (11,)}
    assert box(regions[0], (4,)) == [{8, 9, 10, 11}]
    assert field == ReceptiveField((4,), (2,), "exact")


def chain(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


def field_of(network: nn.Module, shape: tuple[int, ...]) -> ReceptiveField | None:
    return trace(network, [shape], columns=["receptive-field"]).layers[-1].receptive_field


CASES: dict[str, tuple[nn.Module, tuple[int, ...], tuple[Any, Any, Any]]] = {
    # 1 + (3 - 1) + (3 - 1) = 5
    "two convolutions": (chain(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)), (1, 1, 32, 32), ((5, 5), (1, 1), "exact")),
    # 7 + (3 - 1) 2 = 11
    "stem of ResNet": (
        chain(nn.Conv2d(3, 8, 7, 2, 3), nn.MaxPool2d(3, 2, 1)),
        (1, 3, 64, 64),
        ((11, 11), (4, 4), "exact"),
    ),
    "kernel that isn't square": (
        nn.Conv2d(1, 1, (1, 5), stride=(2, 3), dilation=(1, 2), padding=(0, 4)),
        (1, 1, 32, 32),
        ((1, 9), (2, 3), "upper bound"),  # dilation leaves every second position out
    ),
    # the first convolution fills the holes of the second: 3 + (3 - 1) 3 = 9
    "dilation that leaves no holes": (
        chain(nn.Conv1d(1, 1, 3), nn.Conv1d(1, 1, 3, dilation=3)),
        (1, 1, 64),
        ((9,), (1,), "exact"),
    ),
    "strided 1x1": (
        chain(nn.Conv1d(1, 1, 1, 2), nn.Conv1d(1, 1, 3)),
        (1, 1, 64),
        ((5,), (2,), "upper bound"),
    ),
    "plus sign": (
        Residual(nn.Conv2d(1, 1, (1, 5), padding="same"), nn.Conv2d(1, 1, (5, 1), padding="same")),
        (1, 1, 32, 32),
        ((5, 5), (1, 1), "upper bound"),
    ),
    # 3 | 3 beside it: from -1..1 and 0..2 together -1..2
    "branches with different centres": (
        Residual(nn.Conv1d(1, 1, 3, padding=1), chain(nn.ZeroPad1d((0, 2)), nn.Conv1d(1, 1, 3))),
        (1, 1, 32),
        ((4,), (1,), "exact"),
    ),
    "transposed": (nn.ConvTranspose1d(1, 1, 4, 2, 1), (1, 1, 16), ((2,), (0.5,), "exact")),
    "transposed with uneven overlap": (nn.ConvTranspose1d(1, 1, 3, 2, 1), (1, 1, 16), ((2,), (0.5,), "upper bound")),
    "nearest": (
        chain(nn.Upsample(scale_factor=2), nn.Conv1d(1, 1, 3, padding=1)),
        (1, 1, 16),
        ((2,), (0.5,), "exact"),
    ),
    "three axes": (
        chain(nn.Conv3d(1, 1, (3, 5, 7)), nn.AvgPool3d(2)),
        (1, 1, 16, 16, 16),
        ((4, 6, 8), (2, 2, 2), "exact"),
    ),
    "global average": (
        chain(nn.Conv2d(1, 1, 3, padding=1), nn.AdaptiveAvgPool2d(1)),
        (1, 1, 16, 16),
        ((16, 16), (0, 0), "whole input"),
    ),
    "regular bins": (nn.AdaptiveAvgPool2d(4), (1, 1, 16, 8), ((4, 2), (4, 2), "exact")),
    # bins of 10 in 4: [0, 3), [2, 5), [5, 8), [7, 10)
    "overlapping bins": (nn.AdaptiveAvgPool1d(4), (1, 1, 10), ((3,), (2.5,), "exact")),
    "linear behind flatten": (
        chain(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 10)),
        (1, 1, 8, 8),
        ((8, 8), (0, 0), "whole input"),
    ),
    "flatten alone": (chain(nn.Conv2d(1, 2, 3), nn.Flatten()), (1, 1, 8, 8), ((3, 3), (1, 1), "exact")),
    "linear over channels at the end": (
        Apply(lambda x: nn.functional.layer_norm(x.permute(0, 2, 3, 1), (8,)).permute(0, 3, 1, 2)),
        (1, 8, 16, 16),
        ((1, 1), (1, 1), "exact"),
    ),
    "squeeze and excitation": (
        chain(nn.Conv2d(4, 4, 3, padding=1), torchvision.ops.SqueezeExcitation(4, 2)),
        (1, 4, 16, 16),
        ((16, 16), (0, 0), "whole input"),
    ),
    "group normalisation": (nn.GroupNorm(1, 4), (1, 4, 8, 8), ((8, 8), (0, 0), "whole input")),
    "instance normalisation": (nn.InstanceNorm2d(4), (1, 4, 8, 8), ((8, 8), (0, 0), "whole input")),
    "batch normalisation": (nn.BatchNorm2d(4), (2, 4, 8, 8), ((1, 1), (1, 1), "exact")),
    "attention": (
        Apply(lambda x: nn.functional.scaled_dot_product_attention(y := x.transpose(1, 2), y, y)),
        (1, 4, 12),
        ((12,), (0,), "whole input"),
    ),
    # windows of 4: each position sees its own window
    "attention in windows": (
        Apply(lambda x: x.view(1, 4, 3, 4).softmax(-1).view(1, 4, 12)),
        (1, 4, 12),
        ((4,), (1,), "exact"),
    ),
    "pixel shuffle": (
        chain(nn.Conv2d(4, 4, 3, padding=1), nn.PixelShuffle(2)),
        (1, 4, 8, 8),
        ((3, 3), (0.5, 0.5), "exact"),
    ),
    "half of the rows pooled": (
        Apply(lambda x: x[:, :, :4].mean((2, 3))),
        (1, 1, 8, 8),
        ((4, 8), (0, 0), "exact"),
    ),
    "mean over one axis": (
        chain(nn.Conv2d(1, 1, 3, padding=1), Apply(lambda x: x.mean(2))),
        (1, 1, 8, 8),
        ((8, 3), (0, 1), "exact"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_known_fields(name: str) -> None:
    network, shape, (size, jump, kind) = CASES[name]
    assert field_of(network, shape) == ReceptiveField(size, jump, kind)


def fields_by_path(name: str) -> dict[str, ReceptiveField | None]:
    traced = trace(f"torchvision:{name}", columns=["receptive-field"])
    return {layer.path: layer.receptive_field for layer in traced.layers}


def test_resnet18() -> None:
    fields = fields_by_path("resnet18")
    # 11 at the stem; two blocks of two 3x3 each: + 4 * 2 * 4 = 43; the first convolution of a stage has half the jump:
    # 43 + 2 * 4 + 3 * 2 * 8 = 99; 99 + 2 * 8 + 3 * 2 * 16 = 211; 211 + 2 * 16 + 3 * 2 * 32 = 435
    assert fields["layer4.1.conv2"] == ReceptiveField((435, 435), (32, 32), "exact")
    assert fields["layer2.0.downsample.0"] == ReceptiveField((43, 43), (8, 8), "exact")
    assert fields["fc"] == ReceptiveField((224, 224), (0, 0), "whole input")


def test_densenet121() -> None:
    fields = fields_by_path("densenet121")
    # 11 + 6*2*4 = 59, +4 = 63; + 12*2*8 = 255, +8 = 263; + 24*2*16 = 1031, +16 = 1047; + 16*2*32 = 2071.
    # No position in it is left out, as the gradient below shows.
    last = fields["features.denseblock4.denselayer16.conv2"]
    assert last == ReceptiveField((2071, 2071), (32, 32), "exact")


class DenseLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv(x.mean(1, keepdim=True))], 1)


def test_a_gradient_reaches_every_position_of_densenet121() -> None:
    network = nn.Sequential(nn.Conv1d(1, 1, 7, 2, 3), nn.AvgPool1d(3, 2, 1))
    for count in (6, 12, 24):
        network.extend([*(DenseLayer() for _ in range(count)), nn.AvgPool1d(2, 2)])
    network.extend([DenseLayer() for _ in range(16)])
    made_positive(network)
    x = torch.ones(1, 1, 4096, dtype=torch.float64, requires_grad=True)
    network(x)[0, -1, 64].backward()
    assert x.grad is not None
    places = x.grad[0, 0].nonzero().squeeze()
    assert len(places) == 2071 == int(places.max() - places.min()) + 1


def test_swin() -> None:
    fields = fields_by_path("swin_t")
    # 7 patches of 4 in a window; the next block's windows lie across 2 of them
    assert fields["features.1.0"] == ReceptiveField((28, 28), (4, 4), "exact")
    assert fields["features.1.1"] == ReceptiveField((56, 56), (4, 4), "exact")
    assert fields["head"] == ReceptiveField((224, 224), (0, 0), "whole input")


def test_two_inputs_and_none() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv1d(1, 1, 3)
            self.two = nn.Conv1d(1, 1, 5)
            self.three = nn.Linear(4, 4)

        def forward(self, x: Tensor, y: Tensor, z: Tensor) -> Tensor:
            self.three(z)
            added: Tensor = self.one(x)[..., :8] + self.two(y)[..., :8]
            return added

    layers = trace(Two(), [(1, 1, 16), (1, 1, 16), (1, 4)], columns=["receptive-field"]).layers
    found = {layer.path: layer.receptive_field for layer in layers}
    assert found["two"] == ReceptiveField((5,), (1,), "exact")
    assert found["add"] == ReceptiveField((3,), (1,), "exact")  # of the first input
    assert found["three"] is None


def test_it_is_only_followed_when_asked_for() -> None:
    assert all(layer.receptive_field is None for layer in trace("lenet").layers)
