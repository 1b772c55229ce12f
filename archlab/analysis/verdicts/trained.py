"""A trained network's layers as the checks of trainings take them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from archlab.analysis.verdicts.group import Array, Group, LayerEnd
from archlab.records.norm_health import NormHealth, NormLayerHealth


def group_of(health: NormHealth, *, tracking: bool = False) -> Group:
    """The network's layers; with `tracking` those alone that keep running statistics."""
    layers = [layer for layer in health.layers if layer.running_var or not tracking]
    return Group("", (), {health.network: tuple(map(end_of, layers))})


def end_of(layer: NormLayerHealth) -> LayerEnd:
    """A layer as at the end of a training that nobody watched; what isn't finite is NaN."""
    import numpy as np

    def array(values: Iterable[float | None]) -> Array:
        return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

    none = np.empty((0, layer.channels))
    ones, zeros = np.ones(layer.channels), np.zeros(layer.channels)
    return LayerEnd(
        path=layer.path,
        steps=layer.batches or 0,
        running_mean=array(layer.running_mean),
        running_var=array(layer.running_var),
        gamma=array(layer.gamma),
        beta=array(layer.beta),
        first={"running_mean": zeros, "running_var": ones, "gamma": ones, "beta": zeros},
        momentum=layer.momentum,
        is_cumulative=layer.momentum is None,
        mean=array(layer.mean) if layer.mean else None,
        variance=array(layer.variance) if layer.variance else None,
        batch_mean=none,
        batch_var=none,
        epsilon=layer.epsilon,
    )
