"""The BCa bootstrap of a mean (Efron 1987, Better Bootstrap Confidence Intervals).

Bounds are quantiles of the resampled means, at levels that two numbers shift: the bias says how far the observed mean
lies from the median of the resampled ones (0 where half of them lie below it), the acceleration how skewed the values
are. For symmetric values both are 0, and the levels are those of a normal mean, 0.025 and 0.975 at +- 1.96; a long tail
to the right raises both.

`scipy.stats.bootstrap` only draws resamples at random. Up to 8 values, which is what people can afford, all of them can
be listed: the bounds are then exact, and the same whichever side is called the baseline.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

_ENUMERATED = 8
"""Up to so many values all resamples are listed: 6,435 multisets for 8."""
_DRAWN = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """The distribution of a mean over resamples of the values, in ascending order, with what corrects it."""

    means: Array
    levels: Array
    """The share of resamples below each of the means, half of its own included."""
    bias: float
    acceleration: float
    mean: float
    """The observed one."""

    @classmethod
    def of(cls, values: Array, rounding: float = 0.0) -> Resamples:
        """The resamples of some values, not all equal.

        Args:
            values: (n,).
            rounding: means that are no farther apart are one: which of them comes first is up to the processor.
        """
        import numpy as np

        # Their order is no information, and neither is the sign of what is called the baseline: sorted by size,
        # resamples drawn at random are the same for both.
        values = values[np.lexsort((values, np.abs(values)))]
        mean = values.mean()
        means, weights = _merged(*_resampled_means(values), rounding)
        below = weights[means < mean - rounding].sum() + weights[np.abs(means - mean) <= rounding].sum() / 2
        deviations = values - mean
        return cls(
            means=means,
            levels=np.cumsum(weights) - weights / 2,
            bias=NormalDist().inv_cdf(float(below)),
            acceleration=float((deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)),  # the jackknife's, eq. 7.3
            mean=float(mean),
        )

    def bounds(self, quantile: float) -> tuple[float, float]:
        """The bounds at the level whose bounds a normal mean has at +- quantile (equation 2.3)."""
        import numpy as np

        normal = NormalDist()
        levels = [
            # The denominator stays above 0: the acceleration of a mean is at most 1/6, far less for few values.
            normal.cdf(self.bias + (self.bias + z) / (1 - self.acceleration * (self.bias + z)))
            for z in (-quantile, quantile)
        ]
        low, high = np.interp(levels, self.levels, self.means)
        return float(low), float(high)

    def quantile_at_zero(self) -> float:
        """The quantile at which a bound just reaches 0: `bounds` solved for it; infinite where none ever does."""
        import numpy as np

        if self.mean == 0:
            return 0.0
        if not self.means[0] < 0 < self.means[-1]:
            return math.inf
        level = float(np.interp(0.0, self.means, self.levels))
        shifted = NormalDist().inv_cdf(level) - self.bias
        quantile = shifted / (1 + self.acceleration * shifted) - self.bias
        return max(0.0, -math.copysign(quantile, quantile * self.mean))


def _merged(means: Array, weights: Array, rounding: float) -> tuple[Array, Array]:
    """Means in order, those that differ by rounding alone as one."""
    import numpy as np

    order = np.argsort(means)
    means, weights = means[order], weights[order]
    first = np.flatnonzero(np.diff(means, prepend=-np.inf) > rounding)
    return means[first], np.add.reduceat(weights, first)


def _resampled_means(values: Array) -> tuple[Array, Array]:
    """Means of resamples and their weights: all multisets of few values, random ones of many."""
    import numpy as np

    n = len(values)
    if n <= _ENUMERATED:
        shares, weights = _multisets(n)
        return shares @ values, weights
    random = np.random.default_rng(0)
    means = np.empty(_DRAWN)
    for rows in chunks(_DRAWN, n):
        means[rows] = values[random.integers(n, size=(rows.stop - rows.start, n))].mean(axis=1)
    return means, np.full(_DRAWN, 1 / _DRAWN)


@cache
def _multisets(n: int) -> tuple[Array, Array]:
    """Every way to draw n of n with replacement: the share of each value (ways, n), and the probability of the way."""
    import numpy as np

    drawn = np.array(list(itertools.combinations_with_replacement(range(n), n)))
    counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1)
    factorials = np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)
    return counts / n, factorials[n] / factorials[counts].prod(axis=1) / float(n) ** n


def chunks(rows: int, columns: int) -> list[slice]:
    """Slices of so many rows, each of some million numbers at most."""
    step = max(1, 2_000_000 // columns)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]
