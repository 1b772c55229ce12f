"""The BatchNorm layers of a network that keep running statistics, torch's and archlab's own alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks.batchnorm import BatchNorm


@dataclass(frozen=True, slots=True)
class NormLayer:
    """A BatchNorm layer that keeps running statistics."""

    path: str
    module: Any
    """An `nn.BatchNorm*` or `archlab.networks.batchnorm.BatchNorm`."""
    channels: int

    @property
    def unbiased(self) -> bool:
        """Whether the running variance averages the unbiased variance, as torch's does."""
        return not isinstance(self.module, BatchNorm)

    def share(self, batches: int, last: int = 1) -> float:
        """How much of the running statistics after so many batches is the last one's, or the last ones' together.

        Of a single batch it is torch's `momentum`.
        """
        if self.module.momentum is None:
            return last / batches if batches else 0.0
        newest = float(1.0 - self.module.momentum if isinstance(self.module, BatchNorm) else self.module.momentum)
        return newest if last == 1 else 1.0 - (1.0 - newest) ** last

    def set_share(self, share: float) -> None:
        """Give the newest batch this weight in the running statistics, whichever way round the layer keeps it."""
        self.module.momentum = 1.0 - share if isinstance(self.module, BatchNorm) else share

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Running mean and variance, (channels,) each: the buffers themselves."""
        return self.module.running_mean, self.module.running_var

    def affine(self) -> tuple[Tensor, Tensor]:
        """Gamma and beta, (channels,) each; ones and zeros where the layer has none."""
        mean, variance = self.statistics()
        weight, bias = self.module.weight, self.module.bias
        return (
            torch.ones_like(variance) if weight is None else weight.detach(),
            torch.zeros_like(mean) if bias is None else bias.detach(),
        )


def norm_layers(network: nn.Module, *, frozen: bool = False) -> list[NormLayer]:
    """The layers that are in training mode, in the order of `named_modules()`.

    So a layer that its network keeps frozen, in evaluation mode, is among them only if those are asked for.
    """
    layers = []
    for path, module in network.named_modules():
        known = isinstance(module, (nn.modules.batchnorm._BatchNorm, BatchNorm))
        mean = getattr(module, "running_mean", None)
        if known and (module.training or frozen) and isinstance(mean, Tensor):
            layers.append(NormLayer(path, module, len(mean)))
    return layers


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """A context in evaluation mode, after which every submodule has the mode that it had."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
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
