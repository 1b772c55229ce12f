"""What the probes of runs say: how smooth the loss is along its gradient, and how its landscapes compare.

Losses and gradients that are not finite are left out here, and counted, so that a page can say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archlab.analysis import curves
from archlab.records import Landscape, Smoothness

Array = Any  # a NumPy array; naming its type would import NumPy

SMALLEST_LOSS = 1e-6
"""In nats. What is below is drawn as if it were this large: a logarithm has no place for 0."""
COLOUR_STEPS = 16
"""Steps of colour in a landscape."""
MOST_POWERS = 18
"""Powers of ten along a scale; of a longer one every second is written, or every third."""


def effective_smoothness(probed: Smoothness) -> Array:
    """(steps,) the effective beta: the largest |g(w - eta g) - g(w)| / (eta |g(w)|) over the rates.

    How fast the gradient changes at most along itself: a loss is beta-smooth if no two points give more than beta
    (Santurkar et al. 2018, How Does Batch Normalization Help Optimization?, section 3.2). NaN where the gradient is
    zero or nothing is finite.

    >>> import numpy as np
    >>> loss, losses, changes = np.ones(1), np.ones((1, 2)), np.array([[1.5, 8.0]])
    >>> rates, gradient = np.array([0.5, 1.0]), np.array([2.0])
    >>> effective_smoothness(Smoothness((0,), rates, loss, gradient, losses, changes, images=256))  # 8 / (1 * 2)
    array([4.])
    """
    import numpy as np

    moved = np.asarray(probed.rates, dtype=np.float64) * np.asarray(probed.gradient, dtype=np.float64)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return extent(probed.changes / moved)[1]


def extent(values: Array) -> tuple[Array, Array]:
    """The least and the greatest finite value of each row, both (rows,); NaN where none is finite."""
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values)
    some = finite.any(axis=1)
    low = np.where(finite, values, np.inf).min(axis=1)
    high = np.where(finite, values, -np.inf).max(axis=1)
    return np.where(some, low, np.nan), np.where(some, high, np.nan)


def unbounded(values: Array) -> int:
    """How many values are not finite."""
    import numpy as np

    return int((~np.isfinite(values)).sum())


def smoothness_band(runs: Sequence[Smoothness]) -> tuple[Array, curves.Band]:
    """The steps that some run probed, and the effective beta of all runs at them.

    The mean is the geometric one, and its 95 % interval is by Student's t on logarithms.

    Args:
        runs: of one variant, one or more.
    """
    import numpy as np

    steps = np.unique(np.concatenate([np.asarray(probed.steps, dtype=np.int64) for probed in runs]))
    logarithms = np.full((len(runs), len(steps)), np.nan)
    for row, probed in enumerate(runs):
        with np.errstate(divide="ignore"):
            logarithms[row, np.searchsorted(steps, probed.steps)] = np.log(effective_smoothness(probed))
    found = curves.band(logarithms)
    with np.errstate(over="ignore"):
        return steps, curves.Band(found.n, np.exp(found.mean), np.exp(found.low), np.exp(found.high))


def heights(landscape: Landscape) -> Array:
    """(points, points) log10 of the losses; NaN where one is not finite."""
    import numpy as np

    losses = np.asarray(landscape.losses, dtype=np.float64)
    return np.log10(np.where(np.isfinite(losses), np.maximum(losses, SMALLEST_LOSS), np.nan))


@dataclass(frozen=True, slots=True)
class LogScale:
    """What several pictures share of a logarithmic scale: where it starts and ends, and the numbers along it."""

    start: float
    """As log10, like the end."""
    end: float
    ticks: Mapping[float, float]
    """Round numbers between start and end -> their log10."""

    @property
    def level(self) -> float:
        """One of `COLOUR_STEPS` equal steps from start to end."""
        return (self.end - self.start) / COLOUR_STEPS


def log_scale(values: Iterable[Array], room: float = 0.0, least: float = SMALLEST_LOSS) -> LogScale:
    """The scale from the least to the greatest of some numbers; what is not finite or is below 0 has no place on it.

    Args:
        values: arrays of any shape.
        room: how far it goes on beyond both ends, as log10.
        least: what is drawn in place of 0 and of all that is below; 0 leaves zeros out.
    """
    import numpy as np

    found = np.concatenate([np.ravel(array) for array in values]).astype(np.float64)
    kept = np.isfinite(found) & ((found >= 0) if least else (found > 0))
    found = np.log10(np.maximum(found[kept], least))
    start, end = (float(found.min()) - room, float(found.max()) + room) if found.size else (-1.0, 1.0)
    if end - start < 0.05:  # nearly one number: noise shall not fill the picture
        start, end = start - 0.5, end + 0.5
    ticks = {number: math.log10(number) for number in _round_numbers(start, end)}
    return LogScale(start, end, {number: place for number, place in ticks.items() if start <= place <= end})


def _round_numbers(start: float, end: float) -> list[float]:
    """Numbers that are good to read, some of them between two logarithms."""
    if end - start > 1:
        factors = (1,) if end - start > 4 else (1, 2, 5)
        apart = max(1, math.ceil((end - start) / MOST_POWERS))
        powers = range(math.floor(start / apart) * apart, math.ceil(end) + 1, apart)
        return [factor * 10.0**power for power in powers for factor in factors]
    least, most = 10**start, 10**end
    room = (most - least) / 3
    unit = 10.0 ** math.floor(math.log10(room))
    step = max(factor * unit for factor in (1, 2, 5) if factor * unit <= room)
    return [number * step for number in range(max(1, math.ceil(least / step)), math.floor(most / step) + 1)]
