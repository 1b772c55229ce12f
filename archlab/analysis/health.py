"""What a table and a picture of a trained network's BatchNorm show: each layer in a few numbers, the worst first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

from archlab.analysis.verdicts.channels import NEGLIGIBLE_WEIGHT
from archlab.analysis.verdicts.health import scale_spread
from archlab.analysis.verdicts.norms import off_by
from archlab.analysis.verdicts.trained import end_of
from archlab.records.norm_health import NormHealth, NormLayerHealth


@dataclass(frozen=True, slots=True)
class LayerState:
    """One layer in numbers; None for what was not measured."""

    layer: NormLayerHealth
    not_finite: int
    """Channels that hold an infinity or NaN."""
    off: int | None
    """Channels whose running statistics are off, as the verdict on them counts."""
    shift: float | None
    """The largest distance of a running mean from the precise one, in standard deviations."""
    factor: float | None
    """The largest factor between running and precise variance, either way."""
    noise: float | None
    """Of batch means, in standard deviations: median over the channels."""
    dead: int
    """Channels with |gamma| and |beta| next to nothing."""
    always_off: int | None
    """Channels that are 0 on every image behind the activation."""
    collapsed: int | None
    """Channels whose precise variance is at most eps."""
    least_variance: float | None
    """The smallest running variance."""
    scale_range: float | None
    """Largest over smallest scale, of channels that are not dead."""

    @property
    def rank(self) -> tuple[float, float]:
        """The larger, the worse: shares of channels with something wrong, then how far off the worst is."""
        counts = (self.not_finite, self.off, self.dead, self.always_off, self.collapsed)
        distance = max(self.shift or 0.0, math.log(self.factor or 1.0))
        return max(count or 0 for count in counts) / self.layer.channels, distance


@dataclass(frozen=True, slots=True)
class ChannelState:
    """One channel, with how far its running statistics are off: 1 and more counts as off."""

    layer: str
    channel: int
    distance: float | None
    gamma: float | None
    beta: float | None
    running_mean: float | None
    mean: float | None
    running_var: float | None
    variance: float | None
    zeros: float | None


def layer_states(health: NormHealth) -> list[LayerState]:
    """All layers, in the order of the network."""
    return [_state(layer) for layer in health.layers]


def worst_layers(health: NormHealth, count: int) -> list[LayerState]:
    """So many layers, the worst first."""
    return sorted(layer_states(health), key=lambda state: state.rank, reverse=True)[:count]


def worst_channels(health: NormHealth, count: int) -> list[ChannelState]:
    """So many channels whose running statistics are the furthest off; none where no layer has precise ones."""
    found = []
    for layer in health.layers:
        distances = _distances(layer)
        found += [(distance, layer, place) for place, distance in enumerate(distances)]
    found.sort(key=lambda item: -item[0])
    return [channel_state(layer, place, distance) for distance, layer, place in found[:count]]


def channel_state(layer: NormLayerHealth, place: int, distance: float) -> ChannelState:
    """What a channel holds."""

    def at(values: tuple[float | None, ...]) -> float | None:
        return values[place] if values else None

    return ChannelState(
        layer.path,
        place,
        distance if math.isfinite(distance) else None,
        *map(
            at,
            (layer.gamma, layer.beta, layer.running_mean, layer.mean, layer.running_var, layer.variance, layer.zeros),
        ),
    )


def shifts_and_factors(layer: NormLayerHealth) -> list[tuple[float, float]]:
    """Per channel that has both statistics: running minus precise mean in deviations, running over precise variance.

    Channels that have collapsed are left out, and those that are not finite.
    """
    return [
        ((running - mean) / variance**0.5, spread / variance)
        for running, mean, spread, variance in zip(
            layer.running_mean, layer.mean, layer.running_var, layer.variance, strict=False
        )
        if running is not None
        and mean is not None
        and spread is not None
        and variance is not None
        and variance > layer.epsilon
        and spread >= 0
    ]


def _distances(layer: NormLayerHealth) -> list[float]:
    found = off_by(end_of(layer)) if layer.running_mean and layer.mean else None
    return [] if found is None else [float(distance) for distance in found]


def _state(layer: NormLayerHealth) -> LayerState:
    pairs, distances = shifts_and_factors(layer), _distances(layer)
    held = [values for values in (layer.running_mean, layer.running_var, layer.gamma, layer.beta) if values]
    variances = [value for value in layer.running_var if value is not None]
    noises = [value for value in layer.mean_noise if value is not None]
    precise = [value for value in layer.variance if value is not None]
    return LayerState(
        layer=layer,
        not_finite=sum(None in values for values in zip(*held, strict=True)),
        off=sum(distance >= 1 for distance in distances) if distances else None,
        shift=max((abs(shift) for shift, _ in pairs), default=None),
        factor=max((max(factor, 1 / factor) if factor else math.inf for _, factor in pairs), default=None),
        noise=median(noises) if noises else None,
        dead=sum(_is_small(gamma) and _is_small(beta) for gamma, beta in zip(layer.gamma, layer.beta, strict=True)),
        always_off=sum(share == 1 for share in layer.zeros) if layer.zeros else None,
        collapsed=sum(value <= layer.epsilon for value in precise) if precise else None,
        least_variance=min(variances, default=None),
        scale_range=scale_spread(layer),
    )


def _is_small(value: float | None) -> bool:
    return value is not None and abs(value) < NEGLIGIBLE_WEIGHT
