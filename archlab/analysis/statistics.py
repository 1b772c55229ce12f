"""Means and paired differences over seeds, with intervals that hold at the few seeds people can afford.

*What the numbers are.* A mean's interval is Student's: mean +- t * sd / sqrt(n). A paired difference has

- an interval whose two bounds are each the outer one of two: BCa bootstrap (Efron 1987, Better Bootstrap Confidence
  Intervals) of the mean difference, its level widened for small n (Hesterberg 2015, What Teachers Should Know about the
  Bootstrap, section 5.3), and Student's t. Pairs stay together: differences are resampled, never single runs;
- a p value by sign flips (Fisher 1935, The Design of Experiments): if the variant made no difference, each difference
  could as well have had the other sign. Exact up to 16 pairs. The smallest that n pairs can give is 2 / 2**n: 0.25 for
  3, 0.0625 for 5, 0.03125 for 6.

*Why not BCa alone.* A bootstrap of n values never leaves their range, and misses the truth whenever all of them lie on
one side of it: one time in four for n = 3. Measured at n = 6 (`benchmarks/coverage.py`), plain BCa at a nominal 95 %
holds the truth 85 % of the time where differences are normal and 83 % where their tails are heavy; at the widened level
93 % and 91 %. Student's t alone keeps 95 % there, but falls to 88 % for skewed differences, where BCa is ahead. The
outer bounds of both hold it 96 %, 97 % and 92 % of the time: honest where the differences are symmetric, as those of a
variant against itself are, and closest to it where they are not.

*What is called different.* `distinguishes`: p < 0.05 and an interval without 0. For a variant against itself the first
holds in at most 5 % of comparisons whatever the distribution, since the test is exact; asking for both keeps a
sentence from contradicting the interval beside it.
"""

from __future__ import annotations

import itertools
import math
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING

from archlab.errors import InputError
from archlab.records import Difference, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CONFIDENCE = 0.95
SIGNIFICANT = 0.05

_ENUMERATED_RESAMPLES = 8
"""Up to so many pairs all resamples are listed: 6,435 multisets for 8."""
_RESAMPLES = 20_000
_ENUMERATED_FLIPS = 16
_FLIPS = 20_000
_ROUNDING = 1e-12
"""Differences below this share of the values are rounding errors: .3 - .1 is not quite .2."""


def estimate(values: ArrayLike) -> Estimate:
    """Mean over seeds and its 95 % interval by Student's t; no bounds for a single value.

    Args:
        values: one number per seed.

    Raises:
        InputError: there is no value, or one is no finite number.

    >>> estimate([0.88, 0.90, 0.89]).n
    3
    """
    numbers = _vector(values, "values")
    low, high = _student(numbers)
    return Estimate(len(numbers), float(numbers.mean()), low, high, tuple(numbers.tolist()))


def paired_difference(baseline: ArrayLike, variant: ArrayLike) -> Difference:
    """Mean of variant - baseline over seeds, with 95 % interval, p value and the correlation that pairing achieved.

    A single pair has neither interval nor p value. Where all differences are equal the interval has no width: the
    seeds showed no spread, which is all that can be said. A correlation needs three pairs, and spread on both sides.
    Deterministic: the same values give the same result, in any order of the pairs.

    Args:
        baseline: one number per seed.
        variant: one number per seed, in the same order.

    Raises:
        InputError: the sides differ in length, are empty, or hold a value that is no finite number.

    >>> paired_difference([0.80, 0.82, 0.81, 0.79, 0.83, 0.80], [0.85, 0.88, 0.84, 0.84, 0.86, 0.87]).p_value
    0.03125
    """
    import numpy as np

    before, after = _vector(baseline, "baseline"), _vector(variant, "variant")
    if len(before) != len(after):
        raise InputError(
            f"baseline has {len(before)} values and variant {len(after)}, expected as many on both sides: "
            "give one value per seed, and leave out the seeds that one side lacks"
        )
    differences = after - before
    # Below this, a difference of differences is rounding: it must neither give an interval width nor decide a tie.
    rounding = _ROUNDING * float(np.abs([before, after]).max())
    low: float | None
    high: float | None
    if len(differences) > 1 and np.ptp(differences) <= rounding:
        low = high = float(differences.mean())
    else:
        low, high = _interval(differences, rounding)
    return Difference(
        n=len(differences),
        mean=float(differences.mean()),
        low=low,
        high=high,
        p_value=_sign_flips(differences, rounding) if len(differences) > 1 else None,
        correlation=_correlation(before, after),
        values=tuple(differences.tolist()),
    )


def distinguishes(difference: Difference) -> bool:
    """Whether the sides may be called different: p < 0.05, and an interval that leaves out 0."""
    return difference.p_value is not None and difference.p_value < SIGNIFICANT and excludes_zero(difference)


def excludes_zero(difference: Difference) -> bool:
    """Whether the interval lies on one side of 0; False where there is none."""
    if difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0


def smallest_p_value(pairs: int) -> float:
    """The smallest two-sided p value that so many pairs can give: all differences of one sign, 2 of 2**n flips."""
    return min(1.0, 2.0 ** (1 - pairs))


def _vector(values: ArrayLike, name: str) -> Array:
    import numpy as np

    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} holds something that is no number ({error}), expected one number per seed") from error
    if numbers.ndim != 1 or len(numbers) == 0:
        raise InputError(
            f"{name} has shape {numbers.shape}, expected one number per seed in one dimension, at least one"
        )
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(f"{name}[{place}] is {numbers[place]}, expected finite numbers: leave out runs that diverged")
    return numbers


def _interval(differences: Array, rounding: float) -> tuple[float, float] | tuple[None, None]:
    """The outer bounds of Student's t and of widened BCa."""
    low, high = _student(differences)
    if low is None or high is None:
        return None, None
    n = len(differences)
    widened = math.sqrt(n / (n - 1)) * student_quantile(n - 1)
    resampled_low, resampled_high = _bca(differences, widened, rounding)
    return min(low, resampled_low), max(high, resampled_high)


def _student(values: Array) -> tuple[float, float] | tuple[None, None]:
    n = len(values)
    if n < 2:
        return None, None
    mean = float(values.mean())
    margin = student_quantile(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean - margin, mean + margin


def _bca(differences: Array, quantile: float, rounding: float = 0.0) -> tuple[float, float]:
    """Bounds of the mean by BCa bootstrap, at the level whose bounds a normal mean has at +- quantile.

    Efron 1987, equation 2.3, with the jackknife's acceleration, equation 7.3. The differences must not all be equal.
    Bounds are quantiles of the resampled means, at levels that two numbers shift: the bias says how far the observed
    mean lies from the median of the resampled ones (0 where half of them lie below it), the acceleration how skewed the
    differences are. For symmetric differences both are 0, and the levels are those of a normal mean, 0.025 and 0.975
    at +- 1.96; a long tail to the right raises both.

    `scipy.stats.bootstrap` only draws resamples at random. Up to 8 pairs, which is what people can afford, all of them
    can be listed: the bounds are then exact, and the same whichever side is called the baseline.
    """
    import numpy as np

    # Their order is no information, and neither is the sign of what is called the baseline: sorted by size, resamples
    # drawn at random are the same for both.
    differences = differences[np.lexsort((differences, np.abs(differences)))]
    mean = differences.mean()
    means, weights = _resampled_means(differences)
    means, weights = _merged(means, weights, rounding)
    share_below = weights[means < mean - rounding].sum() + weights[np.abs(means - mean) <= rounding].sum() / 2
    deviations = differences - mean
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    normal = NormalDist()
    bias = normal.inv_cdf(float(share_below))
    levels = [
        # The denominator stays above 0: the acceleration of a mean is at most 1/6, far less for few values.
        normal.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        for z in (-quantile, quantile)
    ]
    low, high = np.interp(levels, np.cumsum(weights) - weights / 2, means)
    return float(low), float(high)


def _merged(means: Array, weights: Array, rounding: float) -> tuple[Array, Array]:
    """Means in order, those that differ by rounding alone as one: which of them comes first is up to the processor."""
    import numpy as np

    order = np.argsort(means)
    means, weights = means[order], weights[order]
    first = np.flatnonzero(np.diff(means, prepend=-np.inf) > rounding)
    return means[first], np.add.reduceat(weights, first)


def _resampled_means(values: Array) -> tuple[Array, Array]:
    """Means of resamples and their weights: all multisets of few values, random ones of many."""
    import numpy as np

    n = len(values)
    if n <= _ENUMERATED_RESAMPLES:
        shares, weights = _multisets(n)
        return shares @ values, weights
    random = np.random.default_rng(0)
    means = np.empty(_RESAMPLES)
    for rows in _chunks(_RESAMPLES, n):
        means[rows] = values[random.integers(n, size=(rows.stop - rows.start, n))].mean(axis=1)
    return means, np.full(_RESAMPLES, 1 / _RESAMPLES)


@cache
def _multisets(n: int) -> tuple[Array, Array]:
    """Every way to draw n of n with replacement: the share of each value (ways, n), and the probability of the way."""
    import numpy as np

    drawn = np.array(list(itertools.combinations_with_replacement(range(n), n)))
    counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1)
    factorials = np.array([math.factorial(k) for k in range(n + 1)], dtype=np.float64)
    return counts / n, factorials[n] / factorials[counts].prod(axis=1) / float(n) ** n


def _sign_flips(differences: Array, rounding: float) -> float:
    """The share of sign patterns whose mean is at least as far from 0 as the one that was observed.

    `scipy.stats.permutation_test(permutation_type="samples")` takes as equal what differs by 2e-14 of the observed
    mean. That is too little where the mean is small beside the values: for the differences -.35, .88, -.09, .09, .72,
    -.39, -.06, -.11, -.38, -.3, whose mean is .001, sums that should tie differ by more, and p is .998 instead of 1.
    Here the tolerance comes from the values. Listing the 2**15 patterns of 16 pairs by doubling is quicker, too.
    """
    import numpy as np

    n = len(differences)
    observed = abs(differences.sum()) - n * rounding
    if n <= _ENUMERATED_FLIPS:
        sums = differences[:1]  # the first keeps its sign: flipping all changes no absolute value
        for value in differences[1:]:
            sums = np.concatenate([sums + value, sums - value])
        return float((np.abs(sums) >= observed).mean())
    random = np.random.default_rng(0)
    extreme = 0
    for rows in _chunks(_FLIPS, n):
        signs = random.integers(2, size=(rows.stop - rows.start, n)) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed).sum())
    # The observed pattern is one of them: without it, p could be 0 (Phipson and Smyth 2010).
    return (extreme + 1) / (_FLIPS + 1)


def _chunks(rows: int, columns: int) -> list[slice]:
    """Slices of so many rows, each of some million numbers at most."""
    step = max(1, 2_000_000 // columns)
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _correlation(before: Array, after: Array) -> float | None:
    import numpy as np

    sides = np.stack([before, after])
    if len(before) < 3 or (np.ptp(sides, axis=1) <= _ROUNDING * np.abs(sides).max(axis=1)).any():
        return None
    return float(np.asarray(np.corrcoef(before, after))[0, 1])


@cache
def student_quantile(freedom: int) -> float:
    """The t that a share `CONFIDENCE` of Student's distribution lies within, on both sides of 0.

    >>> round(student_quantile(5), 4)
    2.5706
    """
    from scipy.special import stdtrit  # scipy.stats has the same, and takes three times as long to import

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
