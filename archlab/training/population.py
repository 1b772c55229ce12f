"""Precise statistics: the mean and variance that each BatchNorm layer sees over training data with frozen weights.

"Precise BN", those of the population (Wu and Johnson 2021, Rethinking "Batch" in BatchNorm, section 3).

Measuring semantics: all BatchNorm layers normalise by the batch at once, as in training, so that a layer sees what its
predecessors give in training mode; everything else is in evaluation mode (no dropout). Over batches b of n_b values per
channel, with batch means m_b and biased batch variances v_b,

    mean = sum(n_b m_b) / sum(n_b)        variance = sum(n_b (v_b + (m_b - mean)^2)) / sum(n_b)

in float64: exactly the mean and the biased variance of all values, whatever the sizes of the batches. What it is not:
a layer behind another BatchNorm layer would see slightly other values if that one already normalised by its precise
statistics; the difference falls with the batch size. A layer that is called several times in a pass counts with all its
calls. A call whose mean or variance is not finite is left out, and counted: one infinity would make the whole NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks.strangers import contained, settings_kept
from archlab.training.norms import NormLayer, evaluating, kept_statistics, showing_batches


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and biased variance, float64 (channels,) on the CPU."""

    mean: Tensor
    variance: Tensor
    left_out: int = 0
    """Calls that they are without, since the batch's mean or variance was not finite."""


def measure(network: nn.Module, layers: Sequence[NormLayer], batches: Iterator[Tensor]) -> dict[str, Moments]:
    """The moments of each layer's input over the batches, by path; layers without a finite batch are left out.

    Layers that are not given keep their mode in an evaluation: so frozen ones normalise as they do in training.

    Weights, running statistics, counters and modes are afterwards what they were.
    """
    sizes: list[list[int]] = [[] for _ in layers]  # of each call: values per channel
    rows: list[list[Tensor]] = [[] for _ in layers]  # of each call: its batch's mean and variance, one behind the other

    def hook(place: int, layer: NormLayer) -> torch.utils.hooks.RemovableHandle:
        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> None:
            if layer.is_frozen:  # by the network's own forward
                return
            given = args[0] if args else next(iter(kwargs.values()))
            sizes[place].append(given.numel() // layer.channels)
            rows[place].append(torch.cat(layer.statistics()))
            _clear(layer)

        return layer.module.register_forward_hook(after, with_kwargs=True)  # type: ignore[no-any-return]

    handles = [hook(place, layer) for place, layer in enumerate(layers)]
    try:
        with torch.no_grad(), evaluating(network), kept_statistics(layers), showing_batches(layers):
            for layer in layers:
                _clear(layer)
            for images in batches:
                with settings_kept(), contained():
                    network(images)
    finally:
        for handle in handles:
            handle.remove()
    found = zip(layers, sizes, rows, strict=True)
    moments = {layer.path: _merge(layer, torch.tensor(size), torch.stack(row)) for layer, size, row in found if size}
    return {path: measured for path, measured in moments.items() if measured is not None}


def unknown(layers: Sequence[NormLayer]) -> dict[str, Moments]:
    """NaN for each layer, of an epoch after which nothing was measured."""
    return {layer.path: Moments(*torch.full((2, layer.channels), torch.nan, dtype=torch.float64)) for layer in layers}


def _clear(layer: NormLayer) -> None:
    """Forget the running statistics: the next batch replaces them with a weight of 1, but 0 x inf would be NaN."""
    for part in layer.statistics():
        part.zero_()


def _merge(layer: NormLayer, sizes: Tensor, rows: Tensor) -> Moments | None:
    """The moments of all values from those of each call; None where none is finite.

    Args:
        layer: whose they are.
        sizes: (calls,) values per channel.
        rows: (calls, 2 x channels) means and variances, as the layer's running statistics hold them.
    """
    rows, sizes = rows.cpu().to(torch.float64), sizes.to(torch.float64)[:, None]
    finite = rows.isfinite().all(1)
    (means, variances), sizes = rows[finite].chunk(2, dim=1), sizes[finite]
    if not len(sizes):
        return None
    shares = sizes / sizes.sum()
    biased = variances * ((sizes - 1) / sizes) if layer.unbiased else variances
    mean = (shares * means).sum(0)
    variance = (shares * (biased + (means - mean).square())).sum(0)
    return Moments(mean, variance, left_out=len(finite) - len(sizes))


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
