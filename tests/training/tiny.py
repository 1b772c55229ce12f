"""Small networks and data for the tests of training; the networks are also sources: `PATH:make_network`."""

import contextlib
from pathlib import Path

import torch
from torch import Tensor, nn

from archlab.networks.batchnorm import BatchNorm
from archlab.training.datasets import Dataset, Split

SOURCE = str(Path(__file__))


def make_network(
    norm: str = "batch", in_channels: int = 1, classes: int = 10, dropout: float = 0.0, bias: bool = True
) -> nn.Module:
    """Convolution, norm, ReLU, pooling to 2x2, linear, norm, dropout, linear; `bias` is that in front of the norms."""
    layers: dict[str, nn.Module | None] = {
        "conv": nn.Conv2d(in_channels, 3, 3, bias=bias),
        "norm_1": {"batch": nn.BatchNorm2d(3), "scratch": BatchNorm(3), "none": None}[norm],
        "relu": nn.ReLU(),
        "pool": nn.AdaptiveAvgPool2d(2),
        "flatten": nn.Flatten(),
        "linear": nn.Linear(12, 5, bias=bias),
        "norm_2": {"batch": nn.BatchNorm1d(5), "scratch": BatchNorm(5), "none": None}[norm],
        "dropout": nn.Dropout(dropout),
        "head": nn.Linear(5, classes),
    }
    network = nn.Sequential()
    for name, layer in layers.items():
        if layer is not None:
            network.add_module(name, layer)
    return network


class Linear(nn.Sequential):
    """One linear layer."""

    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(64, 10))


def make_others(num_classes: int = 1000) -> nn.Module:
    """A linear layer with an option for its classes that others have."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))


class Failing(nn.Module):
    """Raises in its forward pass."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        raise ArithmeticError("no luck today")


class Poisoned(nn.Module):
    """Gives a loss that isn't finite from some step on."""

    def __init__(self, healthy_steps: int) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)
        self.left = healthy_steps

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(x.flatten(1))
        if self.training:
            self.left -= 1
        return logits if self.left >= 0 else logits * torch.nan


class Dying(nn.Module):
    """Takes its process with it."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGKILL)
        return x


class Crowded(nn.Module):
    """Takes its process with it where it is trained on 16 images at a time, as two runs of 8 are in a stack."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        import os
        import signal

        if self.training and len(x) == 16:
            os.kill(os.getpid(), signal.SIGKILL)
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Hanging(nn.Module):
    """Takes a tenth of a second for a step, and comes to no end in one of them."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)
        self.steps = 0

    def forward(self, x: Tensor) -> Tensor:
        import time

        self.steps += 1
        while True:
            time.sleep(0.11)
            if self.steps != 8:
                break
        logits: Tensor = self.head(x.flatten(1))
        return logits


class Noisy(Hanging):
    """Floods what it can: the standard error with text, and all pipes with what is no event."""

    def forward(self, x: Tensor) -> Tensor:
        import os
        import stat
        import sys

        sys.stderr.write("no end of words " * 10_000)
        if self.steps == 4:
            for descriptor in range(3, 16):
                with contextlib.suppress(OSError):
                    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                        os.write(descriptor, b"rubbish\n")
        return super().forward(x)


def make_data(train: int = 50, test: int = 20, size: int = 8, classes: int = 10) -> Dataset:
    """Random images whose class shows in their brightness."""
    generator = torch.Generator().manual_seed(1)

    def split(count: int) -> Split:
        labels = torch.randint(0, classes, (count,), generator=generator)
        noise = torch.randint(0, 100, (count, 1, size, size), generator=generator)
        return Split((noise + 15 * labels[:, None, None, None]).to(torch.uint8), labels)

    return Dataset(split(train), split(test), tuple(map(str, range(classes))), "random")
