"""Layers that can't earn their keep: each rule finds its planted fault and is silent on the healthy twin."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import archlab
from archlab.analysis.lint import lint, taps
from archlab.records import ReceptiveField, Shape
from tests.traces import layer, trace


def convolution(inner: int, outer: int, size: int = 3, stride: int = 1, *, bias: bool = False) -> nn.Conv2d:
    return nn.Conv2d(inner, outer, size, stride, padding=size // 2, bias=bias)


class Forgetful(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(8, 8), nn.Linear(8, 16)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.used(x)
        return result


class Both(nn.Module):
    """The biased convolution's result is taken by BatchNorm and by a sum: the bias isn't lost."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = convolution(3, 8, bias=True), nn.BatchNorm2d(8)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.norm(y)  # type: ignore[no-any-return]


IMAGE = (1, 3, 32, 32)
FAULTS: list[tuple[str, Callable[[], nn.Module], Shape, str, str]] = [
    (
        "bias",
        lambda: nn.Sequential(convolution(3, 8, bias=True), nn.BatchNorm2d(8)),
        IMAGE,
        "0",
        "a bias per channel in front of 1, which subtracts the mean",
    ),
    (
        "bias of a linear layer",
        lambda: nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16)),
        (4, 8),
        "0",
        "a bias per channel in front of 1",
    ),
    (
        "dropout",
        lambda: nn.Sequential(nn.Dropout(0.5), convolution(3, 8), nn.ReLU(), nn.BatchNorm2d(8)),
        IMAGE,
        "0",
        "dropout in front of 3",
    ),
    (
        "pixels",
        lambda: nn.Sequential(convolution(3, 8), convolution(8, 8, 1, stride=2)),
        IMAGE,
        "1",
        "kernel 1x1, stride 2x2: 75% of its input's positions are read by nobody",
    ),
    (
        "coverage",  # fields of 9, 17, 33, 65 with jumps 4, 16, 64
        lambda: nn.Sequential(nn.Conv2d(3, 8, 9, 4, 4), nn.Conv2d(8, 8, 9, 4, 4), convolution(8, 8)),
        IMAGE,
        "2",
        "its input sees 41x41 positions, and the image has 32x32",
    ),
    (
        "taps",  # the outer positions of the kernel lie 33 beside the middle one
        lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=33, dilation=33)),
        (1, 8, 33, 33),
        "0",
        "its kernel spans 67x67 positions, and the outermost of it never meet the 33x33 of its input",
    ),
    (
        "taps along one axis, with a stride",  # places 0 and 2 of a length of 3: from the first the last is 4 away
        lambda: nn.Sequential(nn.Conv1d(8, 8, 9, stride=2, padding=4)),
        (1, 8, 3),
        "0",
        "its kernel spans 9 positions",
    ),
    (
        "channels",
        lambda: nn.Sequential(convolution(3, 12), nn.ReLU(), convolution(12, 16), nn.ReLU(), convolution(16, 10)),
        IMAGE,
        "0",
        "12 channels, with",
    ),
    ("unused", Forgetful, (2, 8), "idle", "144 parameters that the forward pass never takes"),  # 8 * 16 + 16
]


@pytest.mark.parametrize(("make", "shape", "path", "text"), [fault[1:] for fault in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_planted_fault_is_found(make: Callable[[], nn.Module], shape: Shape, path: str, text: str) -> None:
    findings = lint(archlab.trace(make(), [shape], columns=("receptive-field",)))
    assert text in {finding.subject: finding.text for finding in findings}[path]
    assert all("What to do: " in finding.text and not finding.passed for finding in findings)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Sequential(convolution(3, 8), nn.BatchNorm2d(8), nn.ReLU(), convolution(8, 16, 3, 2)), IMAGE),
        (lambda: nn.Sequential(convolution(3, 8, bias=True), nn.ReLU(), nn.BatchNorm2d(8)), IMAGE),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5), convolution(3, 8)), IMAGE),
        (lambda: nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3)), (2, 8)),
        (Both, IMAGE),
        (lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=32, dilation=32)), (1, 8, 33, 33)),  # meets the far corner
        (lambda: nn.Sequential(nn.Conv1d(8, 8, 3, padding=16, dilation=8)), (1, 8, 10)),  # causal, once it is cut
        (lambda: nn.Sequential(nn.Conv1d(8, 8, 3, stride=2, padding=1)), (1, 8, 2)),
        (lambda: nn.Sequential(nn.ZeroPad2d(36), nn.Conv2d(8, 8, 3, dilation=36)), (1, 8, 33, 33)),  # whose padding?
    ],
)
def test_a_healthy_network_is_left_in_peace(make: Callable[[], nn.Module], shape: Shape) -> None:
    assert lint(archlab.trace(make(), [shape], columns=("receptive-field",))) == []


@pytest.mark.parametrize("name", ["mobilenet_v2", "densenet121", "squeezenet1_0", "vit_b_16"])
def test_torchvision_networks_without_such_layers(name: str) -> None:
    assert lint(archlab.trace(f"torchvision:{name}", columns=("receptive-field",))) == []


def test_shortcuts_of_a_resnet_drop_pixels() -> None:
    findings = lint(archlab.trace("torchvision:resnet18", columns=("receptive-field",)))
    assert [finding.subject for finding in findings] == [f"layer{stage}.0.downsample.0" for stage in (2, 3, 4)]


def test_a_segmentation_head_whose_dilation_is_made_for_larger_images() -> None:
    """Its map is an eighth of the image: 65 at 520, 28 at 224, where a dilation of 36 meets nothing."""

    def subjects(size: int) -> set[str]:
        found = archlab.trace("torchvision:deeplabv3_resnet50", [(1, 3, size, size)], columns=("receptive-field",))
        return {finding.subject for finding in lint(found) if "padding alone" in finding.text}

    assert subjects(520) == set()
    assert subjects(224) == {"classifier.0.convs.3.0"}


@settings(max_examples=200, deadline=None)
@given(
    size=st.integers(1, 12),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 3),
    padding=st.integers(0, 14),
    dilation=st.integers(1, 6),
)
def test_what_is_said_of_a_kernel_is_so(size: int, kernel: int, stride: int, padding: int, dilation: int) -> None:
    """Position t of the kernel reads i * stride - padding + t * dilation at place i; said only where it must be."""
    span = dilation * (kernel - 1) + 1
    places = (size + 2 * padding - span) // stride + 1
    if places < 1:
        return
    reads = [
        any(0 <= place * stride - padding + tap * dilation < size for place in range(places)) for tap in range(kernel)
    ]
    found = trace(
        layer("input", "ReLU", input_shapes=((1, 8, size),), output_shapes=((1, 8, size),), inputs=(-1,),
              receptive_field=ReceptiveField((1,), (1,), "exact")),
        layer("conv", "Conv1d", input_shapes=((1, 8, size),), output_shapes=((1, 8, places),), inputs=(0,),
              receptive_field=ReceptiveField((span,), (stride,), "exact")),
    )  # fmt: skip
    if list(taps(found)):
        assert not (reads[0] and reads[-1])
    elif stride == 1:
        assert reads[0]
        assert reads[-1]
