"""Means and paired differences over seeds, with intervals that hold at the few seeds people can afford.

*What the numbers are.* A mean's interval is Student's: mean +- t * sd / sqrt(n). A paired difference has

- an interval whose two bounds are each the outer one of two: Student's t, and the BCa bootstrap of the mean difference
  (`resampling.py`), its level widened for small n. Pairs stay together: differences are resampled, never single runs;
- `interval_p_value`, the p value that belongs to the interval: below 0.05 exactly where the 95 % interval leaves out 0;
- `p_value`, by sign flips (Fisher 1935, The Design of Experiments): if the variant made no difference, each difference
  could as well have had the other sign. Exact up to 16 pairs. The smallest that n pairs can give is 2 / 2**n: 0.25 for
  3, 0.0625 for 5, 0.03125 for 6.

*What decides.* The interval. It assumes that differences spread about their mean as much to one side as to the other.
Those of a variant against itself do, whatever the distribution of a run's result. The sign-flip test assumes the same
and no shape, but can say nothing at 5 pairs, be the differences a hundred times their spread: its p value stands
beside. A long tail on one side breaks the assumption: where differences are log-normal, one interval in six misses the
truth at 3 to 6 pairs. `python -m benchmarks.coverage` has the figures for 2 to 20 pairs.

*Why not BCa alone.* A bootstrap of n values never leaves their range, and misses the truth whenever all of them lie on
one side of it: one time in four for n = 3. Student's t alone keeps its level for symmetric differences, but misses more
often than the outer bounds of both where they are skewed.

*Coarse values.* Two seeds with the same accuracy over 360 images don't show that accuracies have no spread: they were
counted in steps of 1/360. Rounding both sides to steps of size h adds h**2 / 6 to the variance of a difference, which
the interval includes. By default h is the smallest gap between two of the values, so that it grows wider where few
different values are all that was seen, and hardly changes where all differ.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

from archlab.analysis.resampling import Resamples, chunks
from archlab.errors import InputError
from archlab.records import Difference, Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

CONFIDENCE = 0.95
SIGNIFICANT = 0.05

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


def paired_difference(baseline: ArrayLike, variant: ArrayLike, *, step: float | None = None) -> Difference:
    """Mean of variant - baseline over seeds, with 95 % interval, p values and the correlation that pairing achieved.

    A single pair has neither interval nor p value. A correlation needs three pairs, and spread on both sides.
    Deterministic: the same values give the same result, in any order of the pairs.

    Args:
        baseline: one number per seed.
        variant: one number per seed, in the same order.
        step: what values are rounded to, such as 1/360 for an accuracy over 360 images; by default the smallest gap
            between two different values of both sides.

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
    # Below this, a difference of differences is rounding: it must neither give an interval width nor decide a tie.
    rounding = _ROUNDING * float(np.abs([before, after]).max())
    if step is None:
        step = _smallest_gap(np.concatenate([before, after]), rounding)
    differences = after - before
    low: float | None = None
    high: float | None = None
    interval_p_value = p_value = None
    if len(differences) > 1:
        low, high, interval_p_value = _interval(differences, step, rounding)
        p_value = _sign_flips(differences, rounding)
    return Difference(
        n=len(differences),
        mean=float(differences.mean()),
        low=low,
        high=high,
        p_value=p_value,
        correlation=_correlation(before, after),
        values=tuple(differences.tolist()),
        interval_p_value=interval_p_value,
    )


def excludes_zero(difference: Difference) -> bool:
    """Whether the interval lies on one side of 0; False where there is none."""
    if difference.low is None or difference.high is None:
        return False
    return difference.low > 0 or difference.high < 0


def is_within(difference: Difference, margin: float | None) -> bool:
    """Whether the interval lies within a margin on both sides of 0; False where there is no interval or no margin."""
    if margin is None or difference.low is None or difference.high is None:
        return False
    return -margin <= difference.low and difference.high <= margin


def smallest_p_value(pairs: int) -> float:
    """The smallest two-sided p value by sign flips that so many pairs can give: all of one sign, 2 of 2**n flips."""
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


def _interval(differences: Array, step: float, rounding: float) -> tuple[float, float, float]:
    """The outer bounds of Student's t and of widened BCa, and the p value that belongs to them."""
    import numpy as np

    n, mean = len(differences), float(differences.mean())
    has_spread = bool(np.ptp(differences) > rounding)
    variance = float(differences.var(ddof=1)) if has_spread else 0.0
    error = math.sqrt((variance + step**2 / 6) / n)
    margin = student_quantile(n - 1) * error
    low, high = mean - margin, mean + margin
    p_value = 1.0 if abs(mean) <= rounding else _two_sided(mean / error, n - 1) if error else 0.0
    if has_spread:
        # A normal mean's bounds are wider for small n by t instead of z, and by a sample's spread being biased.
        widening = math.sqrt(n / (n - 1))
        resamples = Resamples.of(differences, rounding)
        resampled = resamples.bounds(widening * student_quantile(n - 1))
        low, high = min(low, resampled[0]), max(high, resampled[1])
        p_value = max(p_value, _two_sided(resamples.quantile_at_zero() / widening, n - 1))
    return low, high, p_value


def _two_sided(quantile: float, freedom: int) -> float:
    """The share of Student's distribution that lies as far from 0 as a quantile, or farther."""
    from scipy.special import stdtr

    return 2 * float(stdtr(freedom, -abs(quantile)))


def _student(values: Array) -> tuple[float, float] | tuple[None, None]:
    n = len(values)
    if n < 2:
        return None, None
    mean = float(values.mean())
    margin = student_quantile(n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean - margin, mean + margin


def _smallest_gap(values: Array, rounding: float) -> float:
    """Between two values that differ by more than rounding; 0 where none do."""
    import numpy as np

    gaps = np.diff(np.sort(values))
    return float(gaps[gaps > rounding].min(initial=np.inf)) if (gaps > rounding).any() else 0.0


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
    for rows in chunks(_FLIPS, n):
        signs = random.integers(2, size=(rows.stop - rows.start, n)) * 2 - 1
        extreme += int((np.abs(signs @ differences) >= observed).sum())
    # The observed pattern is one of them: without it, p could be 0 (Phipson and Smyth 2010).
    return (extreme + 1) / (_FLIPS + 1)


def _correlation(before: Array, after: Array) -> float | None:
    import numpy as np

    sides = np.stack([before, after])
    if len(before) < 3 or (np.ptp(sides, axis=1) <= _ROUNDING * np.abs(sides).max(axis=1)).any():
        return None
    return float(np.asarray(np.corrcoef(before, after))[0, 1])


@cache
def student_quantile(freedom: int) -> float:
    """The t that a share `CONFIDENCE` of Student's distribution lies within, on both sides of 0.

    Args:
        freedom: degrees of freedom, a whole number from 1.

    >>> round(student_quantile(5), 4)
    2.5706
    """
    # From left of it, Newton's steps come ever closer: the share within t grows ever more slowly with t. scipy.special
    # has the same, and its import takes several times as long as the rest of a first page of runs.
    quantile, step = 1.9, 1.0
    log_density = math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2) - math.log(freedom * math.pi) / 2
    while step > 1e-14 * quantile:
        density = math.exp(log_density - (freedom + 1) / 2 * math.log1p(quantile**2 / freedom))
        step = (CONFIDENCE - _share_within(quantile, freedom)) / (2 * density)
        quantile += step
    return quantile


def _share_within(quantile: float, freedom: int) -> float:
    """The share of Student's distribution that lies nearer to 0 than a positive quantile.

    Abramowitz and Stegun 1972, Handbook of mathematical functions, 26.7.3 and 26.7.4: a finite sum, since the degrees
    of freedom are a whole number.
    """
    angle = math.atan(quantile / math.sqrt(freedom))
    cosine, is_odd = math.cos(angle), freedom % 2
    term, total = (cosine, 0.0) if is_odd else (1.0, 0.0)
    for place in range(1 + is_odd, freedom, 2):
        total += term
        term *= cosine**2 * place / (place + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if is_odd else total
