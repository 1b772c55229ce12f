"""Precise statistics: the mean and variance that each BatchNorm layer sees over training data with frozen weights.

"Precise BN", those of the population (Wu and Johnson 2021, Rethinking "Batch" in BatchNorm, section 3).

Measuring semantics: all BatchNorm layers normalise by the batch at once, as in training, so that a layer sees what its
predecessors give in training mode; everything else is in evaluation mode (no dropout). Over batches b of n_b values per
channel, with batch means m_b and biased batch variances v_b,

    mean = sum(n_b m_b) / sum(n_b)        variance = sum(n_b (v_b + (m_b - mean)^2)) / sum(n_b)

in float64: exactly the mean and the biased variance of all values, whatever the sizes of the batches. What it is not:
a layer behind another BatchNorm layer would see slightly other values if that one already normalised by its precise
statistics; the difference falls with the batch size. A layer that is called several times in a pass gives its last
call's values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archlab.training.norms import NormLayer, evaluating, kept_statistics, showing_batches


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and biased variance, float64 (channels,) on the CPU."""

    mean: Tensor
    variance: Tensor


def measure(network: nn.Module, layers: Sequence[NormLayer], batches: Iterator[Tensor]) -> dict[str, Moments]:
    """The moments of each layer's input over the batches, by path; layers that are never called are left out.

    Weights, running statistics, counters and modes are afterwards what they were.
    """
    counts: list[list[int]] = []
    rows: list[Tensor] = []

    def count(index: int, channels: int, inputs: tuple[Tensor, ...]) -> None:
        counts[-1][index] = inputs[0].numel() // channels

    def hook(index: int, layer: NormLayer) -> torch.utils.hooks.RemovableHandle:
        return layer.module.register_forward_pre_hook(  # type: ignore[no-any-return]
            lambda _module, inputs: count(index, layer.channels, inputs)
        )

    handles = [hook(index, layer) for index, layer in enumerate(layers)]
    try:
        with torch.no_grad(), evaluating(network), kept_statistics(layers), showing_batches(layers):
            for images in batches:
                counts.append([0] * len(layers))
                network(images)
                rows.append(torch.cat([tensor for layer in layers for tensor in layer.statistics()]))
    finally:
        for handle in handles:
            handle.remove()

    values = torch.stack(rows).cpu().to(torch.float64)
    sizes = torch.tensor(counts, dtype=torch.float64)
    moments = {}
    columns = torch.split(values, [layer.channels for layer in layers for _ in range(2)], dim=1)
    for layer, means, variances, size in zip(layers, columns[::2], columns[1::2], sizes.T, strict=True):
        called = size > 0
        if called.any():
            moments[layer.path] = _merge(size[called, None], means[called], variances[called], layer.unbiased)
    return moments


def _merge(sizes: Tensor, means: Tensor, variances: Tensor, unbiased: bool) -> Moments:
    """The moments of all values from those of each batch; the arguments have one row per batch."""
    shares = sizes / sizes.sum()
    biased = variances * ((sizes - 1) / sizes) if unbiased else variances
    mean = (shares * means).sum(0)
    return Moments(mean, (shares * (biased + (means - mean).square())).sum(0))


@contextmanager
def applied(layers: Sequence[NormLayer], moments: Mapping[str, Moments]) -> Iterator[None]:
    """A context in which the running statistics are the precise ones; afterwards they are what they were."""
    with kept_statistics(layers):
        with torch.no_grad():
            for layer in layers:
                if layer.path in moments:
                    running_mean, running_var = layer.statistics()
                    running_mean.copy_(moments[layer.path].mean.to(running_mean.dtype))
                    running_var.copy_(moments[layer.path].variance.to(running_var.dtype))
        yield
