"""LeNet, with batch normalisation before each activation."""

from __future__ import annotations

from torch import nn

from archlab.errors import InputError
from archlab.networks.blocks import Activation, Chain, Norm, check_positive, make_activation, make_norm
from archlab.networks.registry import register

SMALLEST = 16
"""Below this height and width nothing is left after the second pooling."""


@register(
    "lenet",
    input_shape=(1, 28, 28),
    summary="two convolutions and three linear layers, the course's, with a normalisation after all but the last",
    paper="LeCun et al. 1998, Gradient-based learning applied to document recognition",
)
class LeNet(Chain):
    """(batch, in_channels, size, size) -> (batch, classes).

    Args:
        in_channels: channels of the images.
        classes: outputs.
        size: height and width of the images; the first linear layer's inputs follow from it (256 at 28).
        width: factor on the 6 and 16 channels and the 120 and 84 features.
        activation: the nonlinearity.
        norm: what normalises each layer's result (see `blocks.make_norm`).

    Raises:
        InputError: an argument leaves a layer without inputs or outputs.
    """

    def __init__(
        self,
        in_channels: int = 1,
        classes: int = 10,
        size: int = 28,
        width: float = 1.0,
        activation: Activation = "sigmoid",
        norm: Norm = "batch",
    ) -> None:
        check_positive("LeNet", in_channels=in_channels, classes=classes, width=width)
        if size < SMALLEST:
            raise InputError(f"LeNet was given size={size}, expected {SMALLEST} or more: enlarge the images")
        convolutions = [max(1, round(width * channels)) for channels in (6, 16)]
        features = [max(1, round(width * count)) for count in (120, 84)]
        layers: dict[str, nn.Module | None] = {}
        reached = in_channels
        for number, channels in enumerate(convolutions, start=1):
            layers[f"conv_{number}"] = nn.Conv2d(reached, channels, 5)
            layers[f"norm_{number}"] = make_norm(norm, channels)
            layers[f"{activation}_{number}"] = make_activation(activation)
            layers[f"pool_{number}"] = nn.MaxPool2d(2)
            size = (size - 4) // 2
            reached = channels
        layers["flatten"] = nn.Flatten()
        reached *= size * size
        for number, count in enumerate(features, start=1):
            layers[f"linear_{number}"] = nn.Linear(reached, count)
            layers[f"norm_{number + 2}"] = make_norm(norm, count, spatial=False)
            layers[f"{activation}_{number + 2}"] = make_activation(activation)
            reached = count
        layers["linear_3"] = nn.Linear(reached, classes)
        super().__init__(layers)
