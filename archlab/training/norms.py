"""The BatchNorm layers of a network that keep running statistics, torch's and archlab's own alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from archlab.networks import members
from archlab.networks.batchnorm import BATCH_NORMS, BatchNorm


@dataclass(frozen=True, slots=True)
class NormLayer:
    """A BatchNorm layer that keeps running statistics."""

    path: str
    module: Any
    """An `nn.BatchNorm*` or `archlab.networks.batchnorm.BatchNorm`."""
    channels: int

    @property
    def is_frozen(self) -> bool:
        """Whether the layer stands in evaluation mode, in which its running statistics stay."""
        return not self.module.training

    @property
    def unbiased(self) -> bool:
        """Whether the running variance averages the unbiased variance, as torch's does."""
        return not isinstance(self.module, BatchNorm)

    def share(self, before: int, updates: int = 1) -> float:
        """How much of the running statistics is the last updates', after so many before: torch's `momentum` for one.

        For example: two updates with a momentum of 0.1 leave 0.9 x 0.9 of what was there, so that theirs is 0.19.
        """
        if isinstance(self.module, BatchNorm):
            kept = float(self.module.momentum)
        elif self.module.momentum is None:
            return updates / max(1, before + updates)
        else:
            kept = 1.0 - float(self.module.momentum)
        return float(1.0 - kept**updates)

    def counter(self) -> Tensor:
        """How many batches it has averaged, int64 (); 0 where it does not count them."""
        counter = self.module.num_batches_tracked
        if isinstance(counter, Tensor):
            return counter
        return torch.zeros((), dtype=torch.int64, device=self.module.running_mean.device)

    def set_share(self, share: float) -> None:
        """Give the newest batch this weight in the running statistics, whichever way round the layer keeps it."""
        self.module.momentum = 1.0 - share if isinstance(self.module, BatchNorm) else share

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Running mean and variance, (channels,) each: the buffers themselves."""
        return self.module.running_mean, self.module.running_var

    @property
    def is_finite(self) -> bool:
        """Whether the running statistics are numbers throughout; waits for the device."""
        return all(bool(part.isfinite().all()) for part in self.statistics())

    def affine(self) -> tuple[Tensor, Tensor]:
        """Gamma and beta, (channels,) each; ones and zeros where the layer has none."""
        mean, variance = self.statistics()
        weight, bias = self.module.weight, self.module.bias
        return (
            torch.ones_like(variance) if weight is None else weight.detach(),
            torch.zeros_like(mean) if bias is None else bias.detach(),
        )


def norm_layers(network: nn.Module) -> list[NormLayer]:
    """The layers in the order of `named_modules()`, also those that the network keeps frozen, in evaluation mode."""
    layers = []
    for path, module in members.named_modules(network):
        known = isinstance(module, BATCH_NORMS)
        mean = getattr(module, "running_mean", None)
        if known and isinstance(mean, Tensor) and not is_lazy(mean):
            layers.append(NormLayer(path, module, len(mean)))
    return layers


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A context in evaluation mode, after which every submodule has the mode that it had."""
    modes = [(module, module.training) for module in members.modules(network)]
    members.set_training(network, False)
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def kept_statistics(layers: Sequence[NormLayer]) -> Iterator[None]:
    """A context after which running statistics and batch counters are what they were, bit for bit."""
    kept = [(buffer, buffer.clone()) for layer in layers for buffer in layer.module.buffers(recurse=False)]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


@contextmanager
def showing_batches(layers: Sequence[NormLayer]) -> Iterator[None]:
    """A context in which the layers normalise by the batch, and their running statistics are the last batch's alone."""
    kept = [(layer.module, layer.module.training, layer.module.momentum) for layer in layers]
    try:
        for module, _, _ in kept:
            module.training = True
            module.momentum = 0.0 if isinstance(module, BatchNorm) else 1.0
        yield
    finally:
        for module, mode, momentum in kept:
            module.training = mode
            module.momentum = momentum
