"""Densely connected networks: the course's, and those of Huang et al. 2017 for ImageNet and CIFAR-10."""

from __future__ import annotations

from typing import Literal

from torch import nn

from archlab.errors import InputError
from archlab.networks.blocks import (
    Activation,
    Chain,
    DenseBlock,
    FlatLinear,
    Norm,
    Switch,
    Transition,
    check_positive,
    large_stem,
    make_activation,
    make_norm,
)
from archlab.networks.registry import register

PAPER = "Huang et al. 2017, Densely connected convolutional networks"


@register(
    "densenet",
    input_shape=(1, 96, 96),
    summary="the course's: four dense blocks of four layers, growth rate 32, a bias in each convolution",
    paper=PAPER,
)
class DenseNet(Chain):
    """(batch, in_channels, height, width) -> (batch, classes), in dense blocks with transitions between them.

    A block of n layers turns c channels into c + n * growth_rate, a transition c into c * compression, rounded down,
    and halves height and width. The course's: 64 + 4 * 32 = 192, / 2 = 96; 224, 112; 240, 120; 248.

    With `skip` off nothing is concatenated. Each layer is given the last one's result alone, so every block ends at
    growth_rate channels, whatever it began with. The course's: 64 -> 32, / 2 = 16; 32, 16; 32, 16; 32.

    Args:
        in_channels: channels of the images.
        classes: outputs.
        blocks: layers of each dense block.
        width: channels of the first convolution.
        growth_rate: channels that each layer adds (or, with skip off, has).
        bottleneck: a 1x1 convolution to 4 * growth_rate channels before each 3x3.
        compression: share of the channels that a transition keeps.
        stem: `7x7` with stride 2 and a pooling, for large images; or a `3x3` convolution alone, which keeps their size.
        bias: whether the convolutions have one.
        activation: the nonlinearity.
        norm: what normalises each convolution's input (see `blocks.make_norm`).
        skip: off concatenates nothing: blocks then end at growth_rate channels, and the linear layer takes those.

    Raises:
        InputError: a number is not above zero, or a transition would keep no channel or add some.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        blocks: tuple[int, ...] = (4, 4, 4, 4),
        width: int = 64,
        growth_rate: int = 32,
        bottleneck: Switch = "off",
        compression: float = 0.5,
        stem: Literal["7x7", "3x3"] = "7x7",
        bias: Switch = "on",
        activation: Activation = "relu",
        norm: Norm = "batch",
        skip: Switch = "on",
    ) -> None:
        numbers = {"in_channels": in_channels, "classes": classes, "width": width, "growth_rate": growth_rate}
        check_positive("DenseNet", **numbers, blocks=blocks)
        if not 0 < compression <= 1:
            raise InputError(f"DenseNet was given compression={compression}, expected above 0 and up to 1")
        has_bias = bias == "on"
        layers: dict[str, nn.Module | None]
        if stem == "7x7":
            layers = large_stem(in_channels, width, has_bias, activation, norm)
        else:
            layers = {"conv": nn.Conv2d(in_channels, width, 3, padding=1, bias=has_bias)}
        reached = width
        for number, count in enumerate(blocks):
            block = DenseBlock(
                count,
                reached,
                growth_rate,
                bottleneck=bottleneck == "on",
                bias=has_bias,
                activation=activation,
                norm=norm,
                skip=skip == "on",
            )
            layers[f"dense_block_{number}"] = block
            reached = block.out_channels
            if number < len(blocks) - 1:
                kept = int(reached * compression)
                check_positive("a transition", out_channels=kept)
                layers[f"transition_{number}"] = Transition(
                    reached, kept, bias=has_bias, activation=activation, norm=norm
                )
                reached = kept
        layers["final_norm"] = make_norm(norm, reached)
        layers[f"final_{activation}"] = make_activation(activation)
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
        layers["linear"] = FlatLinear(reached, classes)
        super().__init__(layers)


def cifar_densenet(
    depth: int = 100,
    growth_rate: int = 12,
    bottleneck: Switch = "on",
    in_channels: int = 3,
    classes: int = 10,
    activation: Activation = "relu",
    norm: Norm = "batch",
    skip: Switch = "on",
) -> DenseNet:
    """A `DenseNet` for small images (Huang et al. 2017, section 3): three equal dense blocks, a 3x3 stem.

    Args:
        depth: layers with weights: 3n + 4, or with bottlenecks 6n + 4, for n layers a block.
        growth_rate: channels that each layer adds (or, with skip off, has).
        bottleneck: on for DenseNet-BC: bottlenecks, transitions that keep half the channels, 2 * growth_rate channels
            to begin with; off keeps all channels and begins with 16.
        in_channels: channels of the images.
        classes: outputs.
        activation: the nonlinearity.
        norm: what normalises each convolution's input (see `blocks.make_norm`).
        skip: off concatenates nothing: blocks then end at growth_rate channels, and the linear layer takes those.

    Raises:
        InputError: the depth is none of those, or a number is not above zero.
    """
    is_narrow = bottleneck == "on"
    step = 6 if is_narrow else 3
    if depth < step + 4 or (depth - 4) % step:
        below = max(step + 4, depth - (depth - 4) % step)
        raise InputError(
            f"a densely connected network for small images, bottleneck={bottleneck}, was given depth={depth}, "
            f"expected {step}n + 4: try {below} or {below + step}"
        )
    return DenseNet(
        in_channels,
        classes,
        blocks=((depth - 4) // step,) * 3,
        width=2 * growth_rate if is_narrow else 16,
        growth_rate=growth_rate,
        bottleneck=bottleneck,
        compression=0.5 if is_narrow else 1.0,
        stem="3x3",
        bias="off",
        activation=activation,
        norm=norm,
        skip=skip,
    )


def _register_literature() -> None:
    large = {
        121: ((6, 12, 24, 16), 64, 32),
        161: ((6, 12, 36, 24), 96, 48),
        169: ((6, 12, 32, 32), 64, 32),
        201: ((6, 12, 48, 32), 64, 32),
    }
    for depth, (blocks, width, growth_rate) in large.items():
        register(
            f"densenet{depth}",
            input_shape=(3, 224, 224),
            summary=f"the paper's {depth}-layer densely connected network for ImageNet, growth rate {growth_rate}",
            paper=PAPER,
            in_channels=3,
            classes=1000,
            blocks=blocks,
            width=width,
            growth_rate=growth_rate,
            bottleneck="on",
            bias="off",
        )(DenseNet)
    for depth, growth_rate, bottleneck in ((40, 12, "off"), (100, 12, "off"), (100, 12, "on"), (190, 40, "on")):
        letters = "-bc" if bottleneck == "on" else ""
        register(
            f"densenet{letters}-{depth}-{growth_rate}",
            input_shape=(3, 32, 32),
            summary=f"the paper's DenseNet{letters.upper()} for CIFAR-10, {depth} layers, growth rate {growth_rate}",
            paper=PAPER,
            depth=depth,
            growth_rate=growth_rate,
            bottleneck=bottleneck,
        )(cifar_densenet)


_register_literature()
