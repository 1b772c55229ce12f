"""Residual networks: the course's, and those of He et al. 2015 for ImageNet and CIFAR-10."""

from __future__ import annotations

from typing import Literal

from torch import nn

from archlab.errors import InputError
from archlab.networks.blocks import (
    Activation,
    Chain,
    FlatLinear,
    Norm,
    Residual,
    Shortcut,
    Switch,
    check_positive,
    large_stem,
    make_activation,
    make_norm,
)
from archlab.networks.registry import register

PAPER = "He et al. 2015, Deep residual learning for image recognition"


@register(
    "resnet",
    input_shape=(1, 96, 96),
    summary="the course's ResNet-18: a bias in each convolution, a 1x1 convolution where the input doesn't fit",
    paper=PAPER,
)
class ResNet(Chain):
    """(batch, in_channels, height, width) -> (batch, classes), in stages of residual blocks.

    Stage i has width * 2^(i - 1) channels (four times as many with bottlenecks); every stage but the first halves
    height and width. The parameters are those of the plain network, plus the shortcuts' where these have any.

    Args:
        in_channels: channels of the images.
        classes: outputs.
        blocks: residual blocks of each stage.
        width: channels of the first stage.
        bottleneck: blocks of 1x1, 3x3 and 1x1 convolutions in place of two 3x3.
        stem: `7x7` with stride 2 and a pooling, for large images; or `3x3`, which keeps their size.
        shortcut: `conv` 1x1, `conv-norm` normalised too, or `pad` with zeros, where a block changes the shape.
        bias: whether the convolutions have one.
        activation: the nonlinearity.
        norm: what normalises each convolution's result (see `blocks.make_norm`).
        skip: off leaves out the shortcuts and their parameters: the plain network.

    Raises:
        InputError: a number is not above zero.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        width: int = 64,
        bottleneck: Switch = "off",
        stem: Literal["7x7", "3x3"] = "7x7",
        shortcut: Shortcut = "conv",
        bias: Switch = "on",
        activation: Activation = "relu",
        norm: Norm = "batch",
        skip: Switch = "on",
    ) -> None:
        check_positive("ResNet", in_channels=in_channels, classes=classes, blocks=blocks, width=width)
        has_bias = bias == "on"
        layers: dict[str, nn.Module | None]
        if stem == "7x7":
            layers = large_stem(in_channels, width, has_bias, activation, norm)
        else:
            layers = {
                "conv": nn.Conv2d(in_channels, width, 3, padding=1, bias=has_bias),
                "norm": make_norm(norm, width),
                activation: make_activation(activation),
            }
        reached = width
        for stage, count in enumerate(blocks):
            residuals = nn.Sequential()
            for block in range(count):
                residual = Residual(
                    reached,
                    width * 2**stage,
                    stride=2 if stage and not block else 1,
                    bottleneck=bottleneck == "on",
                    shortcut=shortcut,
                    bias=has_bias,
                    activation=activation,
                    norm=norm,
                    skip=skip == "on",
                )
                residuals.append(residual)
                reached = residual.out_channels
            layers[f"stage_{stage + 1}"] = residuals
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["linear"] = FlatLinear(reached, classes)
        super().__init__(layers)


def cifar_resnet(
    depth: int = 20,
    in_channels: int = 3,
    classes: int = 10,
    width: int = 16,
    shortcut: Shortcut = "pad",
    activation: Activation = "relu",
    norm: Norm = "batch",
    skip: Switch = "on",
) -> ResNet:
    """A `ResNet` for small images (He et al. 2015, section 4.2): three stages of (depth - 2) / 6 blocks, a 3x3 stem.

    Args:
        depth: layers with weights along the longest path, 6n + 2.
        in_channels: channels of the images.
        classes: outputs.
        width: channels of the first stage.
        shortcut: `pad` with zeros, `conv` 1x1, or `conv-norm` normalised too, where a block changes the shape.
        activation: the nonlinearity.
        norm: what normalises each convolution's result (see `blocks.make_norm`).
        skip: off leaves out the shortcuts: the plain network, with the same parameters where they pad.

    Raises:
        InputError: the depth is not 6n + 2, or a number is not above zero.
    """
    if depth < 8 or depth % 6 != 2:
        below = max(8, depth - (depth - 2) % 6)
        raise InputError(
            f"a residual network for small images was given depth={depth}, expected 6n + 2: try {below} or {below + 6}"
        )
    return ResNet(
        in_channels,
        classes,
        blocks=((depth - 2) // 6,) * 3,
        width=width,
        stem="3x3",
        shortcut=shortcut,
        bias="off",
        activation=activation,
        norm=norm,
        skip=skip,
    )


def _register_literature() -> None:
    large = {
        18: ((2, 2, 2, 2), "off"),
        34: ((3, 4, 6, 3), "off"),
        50: ((3, 4, 6, 3), "on"),
        101: ((3, 4, 23, 3), "on"),
        152: ((3, 8, 36, 3), "on"),
    }
    for depth, (blocks, bottleneck) in large.items():
        register(
            f"resnet{depth}",
            input_shape=(3, 224, 224),
            summary=f"the paper's {depth}-layer residual network for ImageNet",
            paper=PAPER,
            in_channels=3,
            classes=1000,
            blocks=blocks,
            bottleneck=bottleneck,
            shortcut="conv-norm",
            bias="off",
        )(ResNet)
    for depth in (20, 32, 44, 56, 110):
        register(
            f"resnet{depth}",
            input_shape=(3, 32, 32),
            summary=f"the paper's {depth}-layer residual network for CIFAR-10, shortcuts without parameters",
            paper=PAPER,
            depth=depth,
        )(cifar_resnet)
    for depth in (20, 56):
        register(
            f"plain{depth}",
            input_shape=(3, 32, 32),
            summary=f"resnet{depth} without its shortcuts, with the same parameters",
            paper=PAPER,
            depth=depth,
            skip="off",
        )(cifar_resnet)


_register_literature()
