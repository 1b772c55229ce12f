"""What the networks are made of: normalisation and activation by name, and the blocks of ResNet and DenseNet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import InputError
from archlab.networks.batchnorm import BatchNorm

Switch = Literal["on", "off"]
Norm = Literal["batch", "scratch", "none", "group", "layer", "instance"]
Activation = Literal["relu", "sigmoid", "tanh", "gelu", "silu", "elu", "leaky_relu"]
Shortcut = Literal["conv", "conv-norm", "pad"]
Layers = Mapping[str, nn.Module | None]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "leaky_relu": nn.LeakyReLU,
}


def make_norm(kind: Norm, channels: int, *, spatial: bool = True) -> nn.Module | None:
    """A normalisation layer for (batch, channels, height, width), or (batch, channels) if not `spatial`; or None.

    - `batch` is torch's batch normalisation, `scratch` is archlab's own, `none` is no layer at all.
    - `group` (Wu and He 2018) has 32 groups, or as many below as divide the channels and leave two channels to a group,
      eight to a group of a vector.
    - `layer` takes all channels and positions of a sample together, with a weight and a bias for each channel.
    - `instance` takes each channel of each sample by itself. A vector has one value there, so it gets no layer.
    """
    match kind:
        case "batch":
            return nn.BatchNorm2d(channels) if spatial else nn.BatchNorm1d(channels)
        case "scratch":
            return BatchNorm(channels)
        case "group":
            most = min(32, channels // (2 if spatial else 8))
            groups = max((count for count in range(1, most + 1) if channels % count == 0), default=1)
            return nn.GroupNorm(groups, channels)
        case "layer":
            return nn.GroupNorm(1, channels) if spatial else nn.LayerNorm(channels)
        case "instance":
            return nn.InstanceNorm2d(channels, affine=True) if spatial else None
        case "none":
            return None


def make_activation(kind: Activation) -> nn.Module:
    """A new activation layer of the named kind."""
    return ACTIVATIONS[kind]()


def check_positive(owner: str, **values: int | float | tuple[int, ...]) -> None:
    """Nothing, if all values are above zero and no tuple is empty.

    Raises:
        InputError: for the first value that is not.
    """
    for name, value in values.items():
        numbers = value if isinstance(value, tuple) else (value,)
        if not numbers or min(numbers) <= 0:
            raise InputError(f"{owner} was given {name}={value}, expected above 0")


class Chain(nn.Sequential):
    """Layers that run one after the other, each under its own name. None is left out, without a trace."""

    def __init__(self, layers: Layers) -> None:
        super().__init__()
        for name, layer in layers.items():
            if layer is not None:
                self.add_module(name, layer)

    def __getitem__(self, index: int | slice) -> nn.Module:  # type: ignore[override]
        """One layer, or an `nn.Sequential` of some: a slice of a network is not a network of its class."""
        part: nn.Module = nn.Sequential(OrderedDict(self.named_children()))[index]
        return part


class FlatLinear(nn.Linear):
    """A linear layer that takes (batch, ...) and flattens all but the batch itself; returns (batch, out_features)."""

    def forward(self, x: Tensor) -> Tensor:
        """The affine map of the flattened input."""
        return super().forward(x.flatten(1))


def large_stem(
    in_channels: int, width: int, bias: bool, activation: Activation, norm: Norm
) -> dict[str, nn.Module | None]:
    """The layers before the first stage for large images, which shrink them to a quarter: height, width -> / 4."""
    return {
        "conv": nn.Conv2d(in_channels, width, 7, stride=2, padding=3, bias=bias),
        "norm": make_norm(norm, width),
        activation: make_activation(activation),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }


class Residual(nn.Module):
    """Two or three convolutions with their input added to what they give (He et al. 2015, figures 2 and 5).

    (batch, in_channels, height, width) -> (batch, out_channels, height / stride, width / stride), rounded up.

    Args:
        in_channels: channels of the input.
        channels: channels inside; `out_channels` is the same, or four times as many with a bottleneck.
        stride: of the first 3x3 convolution. (In the paper a bottleneck's stride is in its first 1x1 convolution;
            everyone has since moved it, which costs nothing in parameters and keeps what the 1x1 would throw away.)
        bottleneck: 1x1 down, 3x3, 1x1 up in place of two 3x3 convolutions.
        shortcut: how the input is made to fit where the channels or the stride change it: `conv`, a 1x1 convolution;
            `conv-norm`, normalised as well (the paper's option B); `pad`, every stride-th position and zeros for the
            new channels (option A, without parameters).
        bias: whether the convolutions have one.
        activation: the nonlinearity after each convolution, the last one after the sum.
        norm: what normalises each convolution's result.
        skip: False leaves the input out of the sum, and with it the shortcut: the paper's plain network.

    >>> Residual(3, 6, stride=2)(torch.zeros(4, 3, 6, 6)).shape
    torch.Size([4, 6, 3, 3])
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        *,
        bottleneck: bool = False,
        shortcut: Shortcut = "conv",
        bias: bool = True,
        activation: Activation = "relu",
        norm: Norm = "batch",
        skip: bool = True,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.skip = skip
        self.out_channels = 4 * channels if bottleneck else channels
        self.added_channels = self.out_channels - in_channels
        #        output channels     kernel stride
        plan = [(channels, 3, stride), (channels, 3, 1)]
        if bottleneck:
            plan = [(channels, 1, 1), (channels, 3, stride), (self.out_channels, 1, 1)]
        reached = in_channels
        self.branch: list[str] = []
        for number, (planned, kernel, step) in enumerate(plan, start=1):
            convolution = nn.Conv2d(reached, planned, kernel, stride=step, padding=kernel // 2, bias=bias)
            self._append(f"conv_{number}", convolution)
            self._append(f"norm_{number}", make_norm(norm, planned))
            if number < len(plan):
                self._append(f"{activation}_{number}", make_activation(activation))
            reached = planned
        if skip and shortcut != "pad" and (stride != 1 or self.added_channels):
            projection = nn.Conv2d(in_channels, reached, 1, stride=stride, bias=bias)
            normed = shortcut == "conv-norm" and norm != "none"
            layers = {"conv": projection, "norm": make_norm(norm, reached)}
            self.shortcut = Chain(layers) if normed else projection
        self.last = f"{activation}_{len(plan)}"
        self.add_module(self.last, make_activation(activation))

    def _append(self, name: str, layer: nn.Module | None) -> None:
        if layer is not None:
            self.add_module(name, layer)
            self.branch.append(name)

    def forward(self, x: Tensor) -> Tensor:
        """The activated sum of the branch and the shortcut."""
        y = x
        for name in self.branch:
            y = getattr(self, name)(y)
        if self.skip:
            y = y + self._carry(x)
        last: Tensor = getattr(self, self.last)(y)
        return last

    def _carry(self, x: Tensor) -> Tensor:
        if "shortcut" in self._modules:
            return self.shortcut(x)  # type: ignore[no-any-return]
        if self.stride != 1:
            x = x[:, :, :: self.stride, :: self.stride]
        if self.added_channels:
            x = F.pad(x, (0, 0, 0, 0, 0, self.added_channels))
        return x


def dense_layer(
    in_channels: int, growth_rate: int, *, bottleneck: bool, bias: bool, activation: Activation, norm: Norm
) -> Chain:
    """Normalisation, activation and a 3x3 convolution to `growth_rate` channels, of unchanged height and width.

    With a bottleneck, a 1x1 convolution to 4 * growth_rate channels goes before it, normalised and activated too.
    """
    if not bottleneck:
        return Chain(
            {
                "norm": make_norm(norm, in_channels),
                activation: make_activation(activation),
                "conv": nn.Conv2d(in_channels, growth_rate, 3, padding=1, bias=bias),
            }
        )
    narrow = 4 * growth_rate
    return Chain(
        {
            "norm_1": make_norm(norm, in_channels),
            f"{activation}_1": make_activation(activation),
            "conv_1": nn.Conv2d(in_channels, narrow, 1, bias=bias),
            "norm_2": make_norm(norm, narrow),
            f"{activation}_2": make_activation(activation),
            "conv_2": nn.Conv2d(narrow, growth_rate, 3, padding=1, bias=bias),
        }
    )


class DenseBlock(nn.Sequential):
    """Layers of which each is given the results of all before it (Huang et al. 2017, section 3).

    (batch, in_channels, height, width) -> (batch, out_channels, height, width), where `out_channels` is
    in_channels + layers * growth_rate. Without `skip` each layer is given the last one's result alone: then its first
    layer takes in_channels, the others growth_rate, and `out_channels` is growth_rate.

    >>> DenseBlock(2, 3, 10)(torch.zeros(4, 3, 8, 8)).shape
    torch.Size([4, 23, 8, 8])
    """

    def __init__(
        self,
        layers: int,
        in_channels: int,
        growth_rate: int,
        *,
        bottleneck: bool = False,
        bias: bool = True,
        activation: Activation = "relu",
        norm: Norm = "batch",
        skip: bool = True,
    ) -> None:
        super().__init__()
        self.skip = skip
        channels = in_channels
        for _ in range(layers):
            self.append(
                dense_layer(channels, growth_rate, bottleneck=bottleneck, bias=bias, activation=activation, norm=norm)
            )
            channels = channels + growth_rate if skip else growth_rate
        self.out_channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """The input with every layer's result concatenated to it; without `skip` the last layer's result."""
        for layer in self:
            x = torch.cat((x, layer(x)), dim=1) if self.skip else layer(x)
        return x


class Transition(Chain):
    """Normalisation, activation, a 1x1 convolution to fewer channels, and average pooling (Huang et al. 2017).

    (batch, in_channels, height, width) -> (batch, out_channels, height / 2, width / 2), rounded down.

    >>> Transition(23, 10)(torch.zeros(4, 23, 8, 8)).shape
    torch.Size([4, 10, 4, 4])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        bias: bool = True,
        activation: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__(
            {
                "norm": make_norm(norm, in_channels),
                activation: make_activation(activation),
                "conv": nn.Conv2d(in_channels, out_channels, 1, bias=bias),
                "pool": nn.AvgPool2d(2),
            }
        )
