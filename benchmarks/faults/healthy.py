"""Networks with nothing wrong: what the checks may not complain of."""

from __future__ import annotations

from torch import Tensor, nn

import archlab
from benchmarks.faults.fault import HOUSES, Fault, lenet, resnet20


class InColour(nn.Module):
    """A network for images of three channels, given grey ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Logits of (images, 1, height, width)."""
        return self.network(images.expand(-1, 3, -1, -1))  # type: ignore[no-any-return]


def resnet18() -> nn.Module:
    """Torchvision's, of random weights."""
    from torchvision.models import resnet18 as make

    return InColour(make(num_classes=10))


def densenet() -> nn.Module:
    """The course's DenseNet."""
    return archlab.build("densenet", in_channels=1)


def faults() -> list[Fault]:
    """All of them; none is expected to be found anything in."""
    small = HOUSES["ResNet-20"]
    return [
        Fault("healthy: sigmoids, BatchNorm", "LeNet", lenet),
        Fault("healthy: ReLUs, BatchNorm", "LeNet", lambda: lenet(activation="relu")),
        Fault("healthy: ReLUs, no normalisation", "LeNet", lambda: lenet(activation="relu", norm="none")),
        Fault("healthy: tanh, no normalisation", "LeNet", lambda: lenet(activation="tanh", norm="none")),
        Fault("healthy: GroupNorm", "LeNet", lambda: lenet(activation="relu", norm="group")),
        Fault("healthy", "ResNet-20", resnet20),
        Fault("healthy: plain, 20 layers", "ResNet-20", lambda: resnet20(skip="off")),
        Fault("healthy", "DenseNet", densenet, settings={**small, "size": 32}),
        Fault("healthy", "torchvision ResNet-18", resnet18, settings={**small, "size": 32}),
    ]
