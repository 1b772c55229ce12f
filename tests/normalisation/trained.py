"""A small network that was trained, and what can be done to it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.training import datasets, images

State = dict[str, Tensor]
LAYERS = ("1", "4")
"""Paths of the two BatchNorm layers, of 16 and 32 channels, each with a ReLU behind."""
SOURCE = f"{__name__}:build"


def build(momentum: float = 0.1, classes: int = 10, tracks: bool = True) -> nn.Module:
    """A network for digits."""
    norms = [nn.BatchNorm2d(width, momentum=momentum, track_running_stats=tracks) for width in (16, 32)]
    return nn.Sequential(
        *(nn.Conv2d(1, 16, 3, padding=1, bias=False), norms[0], nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1, bias=False), norms[1], nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, classes)),
    )


class Forced(nn.Module):
    """The same, whose forward puts it into training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.net = build()

    def forward(self, x: Tensor) -> Tensor:
        """(images, 10)."""
        self.net.train()
        output: Tensor = self.net(x)
        return output


@functools.cache
def _trained() -> State:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build()
        digits = datasets.prepare(images.load_images("digits"), None)
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        for epoch in range(4):
            order = torch.randperm(len(digits.train), generator=torch.Generator().manual_seed(epoch))
            for indices in torch.split(order, 64):
                if epoch == 3:
                    optimizer.param_groups[0]["lr"] = 0.0005
                pixels, labels = digits.train.batch(indices)
                optimizer.zero_grad()
                torch.autograd.backward(F.cross_entropy(network(pixels), labels))
                optimizer.step()
    return network.state_dict()


def trained() -> State:
    """Its weights after four epochs on the digits: above 95 % of the test images are right."""
    return {name: value.clone() for name, value in _trained().items()}


def saved(folder: Path, change: Callable[[State], None] = lambda state: None, name: str = "net.pt") -> Path:
    """A checkpoint of the weights with something done to them."""
    state = trained()
    change(state)
    torch.save({"epoch": 4, "state_dict": {f"module.{key}": value for key, value in state.items()}}, folder / name)
    return folder / name
