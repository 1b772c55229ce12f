"""The BatchNorm layers of a network, in whatever mode they are, and what they hold."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from archlab.networks.batchnorm import BATCH_NORMS, newest_share
from archlab.records.norm_health import Channels, NormLayerHealth

DIGITS = 7
"""Significant digits of a number per channel, which is a float32."""


def normalisations(network: nn.Module) -> dict[str, Any]:
    """Path -> layer, of all BatchNorm layers, those without running statistics among them."""
    return {path: module for path, module in network.named_modules() if isinstance(module, BATCH_NORMS)}


def described(network: nn.Module, missing: frozenset[str] = frozenset()) -> list[NormLayerHealth]:
    """What the layers hold.

    Args:
        network: with its weights.
        missing: names of tensors that the weights file lacks.
    """
    return [_described(path, module, missing) for path, module in normalisations(network).items()]


def _described(path: str, module: Any, missing: frozenset[str]) -> NormLayerHealth:
    counter = getattr(module, "num_batches_tracked", None)
    channels = int(getattr(module, "num_features", 0) or getattr(module, "channels", 0))
    ones, zeros = torch.ones(channels), torch.zeros(channels)
    return NormLayerHealth(
        path=path,
        kind=type(module).__name__,
        epsilon=float(module.eps),
        momentum=newest_share(module),
        gamma=numbers(ones if module.weight is None else module.weight),
        beta=numbers(zeros if module.bias is None else module.bias),
        running_mean=_held(module, "running_mean"),
        running_var=_held(module, "running_var"),
        batches=int(counter) if isinstance(counter, Tensor) and f"{path}.num_batches_tracked" not in missing else None,
        loaded=not any(f"{path}.{name}" in missing for name in ("running_mean", "running_var")),
    )


def _held(module: Any, name: str) -> Channels:
    value = getattr(module, name, None)
    return numbers(value) if isinstance(value, Tensor) else ()


def numbers(values: Tensor | Any) -> Channels:
    """A number per channel as records hold it."""
    values = torch.as_tensor(values).detach().double().cpu()
    return tuple(
        float(f"{value:.{DIGITS}g}") if finite else None
        for value, finite in zip(values.tolist(), torch.isfinite(values).tolist(), strict=True)
    )
