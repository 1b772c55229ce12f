"""Networks with one thing changed: where the normalisation stands, how large branches begin."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from archlab.networks.blocks import Activation, Chain, Norm, Residual, Shortcut
from archlab.networks.lenet import LeNet
from archlab.networks.registry import register
from archlab.networks.resnet import ResNet, cifar_resnet


@register(
    "lenet-position",
    input_shape=(1, 28, 28),
    summary="lenet, with each normalisation before or after its activation",
    paper="Mishkin, Sergievskiy and Matas 2017, Systematic evaluation of CNN advances on the ImageNet",
)
def positioned_lenet(
    in_channels: int = 1,
    classes: int = 10,
    size: int = 28,
    width: float = 1.0,
    activation: Activation = "relu",
    norm: Norm = "batch",
    position: Literal["before", "after"] = "before",
) -> Chain:
    """A `LeNet` whose normalisations stand before the activations, as in Ioffe and Szegedy 2015, or after them.

    Names and parameters are the same, so that both begin with the same weights.

    Args:
        in_channels: channels of the images.
        classes: outputs.
        size: height and width of the images.
        width: factor on the 6 and 16 channels and the 120 and 84 features.
        activation: the nonlinearity.
        norm: what normalises (see `blocks.make_norm`).
        position: of each normalisation: `before` its activation, or `after`.

    Raises:
        InputError: an argument leaves a layer without inputs or outputs.
    """
    network = LeNet(in_channels, classes, size, width, activation, norm)
    if position == "before":
        return network
    layers = dict(network.named_children())
    norms = {name.replace("norm", activation): name for name in layers if name.startswith("norm_")}
    order = [name for name in layers if name not in norms.values()]
    moved = [after for name in order for after in ((name, norms[name]) if name in norms else (name,))]
    return Chain({name: layers[name] for name in moved})


class Scale(nn.Module):
    """Its input times one learnt number, of any shape."""

    def __init__(self, first: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(float(first)))

    def forward(self, x: Tensor) -> Tensor:
        """The scaled input."""
        return x * self.weight


@register(
    "resnet20-scaled",
    input_shape=(3, 32, 32),
    summary="resnet20 with a learnt factor on each branch, which may begin at 0, and He et al.'s first weights",
    paper="De and Smith 2020, Batch Normalization Biases Residual Blocks Towards the Identity Function",
    depth=20,
)
def scaled_resnet(
    depth: int = 20,
    in_channels: int = 3,
    classes: int = 10,
    width: int = 16,
    shortcut: Shortcut = "pad",
    activation: Activation = "relu",
    norm: Norm = "batch",
    scale: float = 1.0,
) -> ResNet:
    """A `cifar_resnet` whose branches are multiplied by a learnt number before they are added to their skips.

    First weights of the convolutions are normal with variance 2 / fan-out (He et al. 2015, Delving deep into
    rectifiers, section 2.2), with which a branch without normalisation keeps the variance of its input. (torch's
    default is a sixth of that per convolution, so that its branches begin small by themselves.)

    Args:
        depth: layers with weights along the longest path, 6n + 2.
        in_channels: channels of the images.
        classes: outputs.
        width: channels of the first stage.
        shortcut: `pad` with zeros, `conv` 1x1, or `conv-norm` normalised too, where a block changes the shape.
        activation: the nonlinearity.
        norm: what normalises each convolution's result (see `blocks.make_norm`).
        scale: the factor at first; 0 makes every block the identity, but for its activation (SkipInit, De and Smith
            2020, section 4).

    Raises:
        InputError: the depth is not 6n + 2, or a number is not above zero.
    """
    network = cifar_resnet(depth, in_channels, classes, width, shortcut, activation, norm)
    for module in list(network.modules()):  # of which some get one more
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, Residual):
            module._append("scale", Scale(scale))
    return network
