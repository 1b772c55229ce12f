"""Faults of BatchNorm: its mode, its settings, how often it is called, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from benchmarks.faults.fault import Fault, lenet, resnet20

Norm = nn.modules.batchnorm._BatchNorm


def norms(network: nn.Module) -> list[tuple[str, Any]]:
    """The BatchNorm layers and their paths."""
    return [(path, module) for path, module in network.named_modules() if isinstance(module, Norm)]


def each(network: nn.Module, change: Callable[[Any], None]) -> nn.Module:
    """The network with every BatchNorm changed."""
    for _, norm in norms(network):
        change(norm)
    return network


def wrapped(network: nn.Module, wrap: Callable[[nn.Module], nn.Module], most: int | None = None) -> nn.Module:
    """The network with its first BatchNorm layers inside another module."""
    for path, norm in norms(network)[:most]:
        network.set_submodule(path, wrap(norm))
    return network


class Around(nn.Module):
    """A network or a layer, and what is wrong with how it is called."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        """What the inner module gives."""
        return self.inner(images)  # type: ignore[no-any-return]


class AlwaysTraining(Around):
    """Puts BatchNorm into training mode at each call, in an evaluation too."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        each(self.inner, lambda norm: norm.train())
        return super().forward(images)


class NeverTraining(Around):
    """Keeps BatchNorm in evaluation mode, though gamma and beta are trained."""

    def train(self, mode: bool = True) -> NeverTraining:
        """All but BatchNorm."""
        super().train(mode)
        each(self.inner, lambda norm: norm.eval())
        return self


class Looking(Around):
    """Has the network look at other images in training mode before each step, as a metric or a mean teacher may."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        if self.training:
            with torch.no_grad():
                self.inner(3 * images + 1)
        return super().forward(images)


class Twice(Around):
    """One BatchNorm for two branches that have other means and deviations."""

    def forward(self, images: Tensor) -> Tensor:
        """The mean of both."""
        return (self.inner(images) + self.inner(10 * images.flip(0) + 30)) / 2  # type: ignore[no-any-return]


class Recomputed(Around):
    """Computed once more in the backward pass."""

    def forward(self, images: Tensor) -> Tensor:
        """What the layer gives."""
        return checkpoint(self.inner, images, use_reentrant=False)  # type: ignore[no-any-return]


class Poisoned(Around):
    """A BatchNorm beside the network whose input once held an infinity; the loss never sees it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__(inner)
        self.side = nn.BatchNorm2d(1)
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits; in an evaluation the side's mean is added."""
        if not self.training:
            shift: Tensor = self.side(images).mean()
            return super().forward(images) + shift
        self.calls += 1
        hurt = images.detach().clone()
        if self.calls == 5:
            hurt[0, 0, 0, 0] = torch.inf
        self.side(hurt)
        return super().forward(images)


def without_statistics(norm: Any) -> None:
    """As `track_running_stats=False` makes a layer."""
    norm.track_running_stats = False
    norm.running_mean = norm.running_var = norm.num_batches_tracked = None


FAULTS: dict[str, tuple[Callable[[nn.Module], nn.Module], tuple[str, ...], dict[str, Any]]] = {
    "training mode in evaluation": (AlwaysTraining, ("evaluation-mode",), {}),
    "evaluation mode in training": (NeverTraining, ("half-frozen",), {}),
    "gamma and beta frozen, statistics not": (
        lambda network: each(network, lambda norm: norm.requires_grad_(False)),
        ("half-frozen",),
        {},
    ),
    "track_running_stats=False": (lambda network: each(network, without_statistics), ("no-running-statistics",), {}),
    "momentum 0": (lambda network: each(network, lambda norm: setattr(norm, "momentum", 0.0)), ("norm-momentum",), {}),
    "momentum 1": (lambda network: each(network, lambda norm: setattr(norm, "momentum", 1.0)), ("norm-momentum",), {}),
    "momentum None": (
        lambda network: each(network, lambda norm: setattr(norm, "momentum", None)),
        ("norm-momentum",),
        {},
    ),
    "one BatchNorm for two inputs": (lambda network: wrapped(network, Twice, 1), ("shared-layer",), {}),
    "updated twice by checkpointing": (lambda network: wrapped(network, Recomputed), ("recomputed-layers",), {}),
    "further forward passes in training mode": (Looking, ("extra-passes",), {}),
    "an infinity in one batch": (Poisoned, ("statistics-not-finite",), {}),
}
"""What is done -> how, the checks of which one should say so, and settings."""


def faults() -> list[Fault]:
    """All of them, on both networks."""
    networks: dict[str, Callable[[], nn.Module]] = {"LeNet": lambda: lenet(activation="relu"), "ResNet-20": resnet20}
    found = [
        Fault(name, network, lambda change=change, build=build: change(build()), checks, settings=settings)  # type: ignore[misc]
        for network, build in networks.items()
        for name, (change, checks, settings) in FAULTS.items()
    ]
    # A last batch of one gives a feature of LeNet one value, which archlab refuses before the training.
    odd = {"LeNet": ("last batch of two images", 642), "ResNet-20": ("last batch of one image", 641)}
    return found + [
        Fault(name, network, networks[network], ("small-batch",), settings={"train_samples": images})
        for network, (name, images) in odd.items()
    ]
