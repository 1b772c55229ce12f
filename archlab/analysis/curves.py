"""Curves over training: intervals per step, thinning that keeps extremes, and how far running statistics lag.

Everything here takes and returns NumPy arrays whose first axis is the step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archlab.analysis.statistics import student_quantile

Array = Any  # a NumPy array; naming its type would import NumPy


@dataclass(frozen=True, slots=True, eq=False)
class Band:
    """The mean of several runs at each step, with its 95 % interval."""

    n: int
    mean: Array
    low: Array
    high: Array
    """Equal to the mean for a single run, which gives no interval; NaN at steps that only one of several reached."""


def band(values: Array, least: float = -math.inf, most: float = math.inf) -> Band:
    """The mean over runs at each step and its 95 % interval by Student's t.

    Args:
        values: (runs, steps). A run that broke off has NaN from there on; steps that fewer than all the runs reached
            are averaged over those that did.
        least: the smallest value there can be; the interval ends there.
        most: the largest.
    """
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
    present = np.isfinite(values)
    n = present.sum(axis=0)
    filled = np.where(present, values, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = filled.sum(axis=0) / n
        squares = np.where(present, (values - mean) ** 2, 0.0).sum(axis=0)
        error = np.sqrt(squares / (n - 1) / n)
    factors = np.zeros(int(n.max(initial=0)) + 1)
    for size in np.unique(n[n > 1]).tolist():
        factors[size] = student_quantile(size - 1)
    half = np.where(n > 1, factors[n] * error, 0.0 if len(values) == 1 else np.nan)
    return Band(int(n.max(initial=0)), mean, np.maximum(mean - half, least), np.minimum(mean + half, most))


def stacked(runs: Sequence[Any]) -> Array:
    """(runs, steps) the values of several runs, one sequence each; NaN behind the last of a run, and for None.

    >>> stacked([[1, 2, 3], [4]])
    array([[ 1.,  2.,  3.],
           [ 4., nan, nan]])
    """
    import numpy as np

    values = np.full((len(runs), max(map(len, runs), default=0)), np.nan)
    for row, run in enumerate(runs):
        values[row, : len(run)] = run
    return values


def run_counts(values: Array) -> tuple[int, int]:
    """The least and the greatest number of runs that a step's mean is taken over.

    Args:
        values: (runs, steps), NaN where a run has not come, or where it broke off.
    """
    import numpy as np

    n = np.isfinite(values).sum(axis=0)
    return (int(n.min()), int(n.max())) if n.size else (0, 0)


def extended(steps: Array, known: Array, values: Array) -> Array:
    """The values at some steps: between those that are known on a straight line, beyond the last at the pace so far.

    A run that goes on is measured at the end of each epoch, and its steps are ahead of that. NaN where fewer than two
    values give no pace.

    Args:
        steps: (steps,).
        known: steps that have a value, ascending.
        values: as many.
    """
    import numpy as np

    steps = np.asarray(steps)
    if len(known) < 2:
        return np.full(len(steps), np.nan)
    pace = (values[-1] - values[0]) / (known[-1] - known[0])
    return np.interp(steps, known, values) + pace * np.maximum(steps - known[-1], 0)


def thinned(values: Array, points: int) -> Array:
    """At most `points` rows of the values that keep the first, the last and every extreme.

    The rows between are cut into stretches of nearly equal length; each leaves two rows, its least and its greatest
    value in the order in which they came, column by column. A peak of one step is still there, moved by less than a
    stretch: of 0, 3, 9, 1, 2, 5 with 4 points, 0 and 5 stay, and between them 9 and 1.

    Args:
        values: (steps,) or (steps, columns).
        points: at least 4.
    """
    import numpy as np

    values = np.asarray(values)
    starts, _ = _stretches(len(values), points)
    if not len(starts):
        return values
    inner = values[1:-1]
    ends = [*starts[1:], len(inner)]
    result = np.empty((2 * len(starts) + 2, *values.shape[1:]), dtype=values.dtype)
    result[0], result[-1] = values[0], values[-1]
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        stretch = inner[start:end]
        gaps = np.isnan(stretch)
        least = np.where(gaps, np.inf, stretch).argmin(axis=0)
        greatest = np.where(gaps, -np.inf, stretch).argmax(axis=0)
        picked = np.sort(np.stack([least, greatest]), axis=0)
        result[1 + 2 * place : 3 + 2 * place] = np.take_along_axis(stretch, picked, axis=0)
    return result


def thinned_steps(steps: Array, points: int) -> Array:
    """The steps that the rows of `thinned` are drawn at: the start and the middle of each stretch."""
    import numpy as np

    steps = np.asarray(steps)
    starts, middles = _stretches(len(steps), points)
    if not len(starts):
        return steps
    inner = np.stack([starts, middles], axis=1).reshape(-1) + 1
    return steps[np.concatenate([[0], inner, [len(steps) - 1]])]


def _stretches(length: int, points: int) -> tuple[Array, Array]:
    """Where each stretch of the inner rows starts, and its middle; empty where nothing needs to be left out."""
    import numpy as np

    if length <= max(points, 4):
        return np.empty(0, dtype=int), np.empty(0, dtype=int)
    edges = np.linspace(0, length - 2, max(points, 4) // 2).astype(int)
    starts = edges[:-1]
    return starts, starts + np.maximum(np.diff(edges) // 2, 1)


def spread(values: Array) -> dict[str, Array]:
    """The distribution over channels at each step: least, 5 %, 25 %, median, 75 %, 95 % and greatest.

    Args:
        values: (steps, channels).
    """
    import numpy as np

    shares = (0, 5, 25, 50, 75, 95, 100)
    with np.errstate(invalid="ignore"):  # between infinities nothing is known: NaN
        percentiles = np.percentile(np.asarray(values, dtype=np.float64), shares, axis=1)
    return {f"p{share}": row for share, row in zip(shares, percentiles, strict=True)}


def mean_lag(running_mean: Array, population_mean: Array, population_var: Array) -> Array:
    """How many standard deviations the running mean is off, as the mean over channels of its absolute value.

    All are (steps, channels), row by row at the same steps.
    """
    import numpy as np

    deviation = np.sqrt(np.maximum(np.asarray(population_var, dtype=np.float64), 1e-12))
    return np.abs((np.asarray(running_mean, dtype=np.float64) - population_mean) / deviation).mean(axis=1)


def variance_lag(running_var: Array, population_var: Array) -> Array:
    """How far the running variance is off: the mean over channels of |log(running / population)|.

    Both are (steps, channels), row by row at the same steps.
    """
    import numpy as np

    smallest = 1e-12
    ratio = np.maximum(running_var, smallest) / np.maximum(np.asarray(population_var, dtype=np.float64), smallest)
    return np.abs(np.log(ratio)).mean(axis=1)


def replayed(start: Array, batches: Array, momenta: Sequence[float]) -> Array:
    """The running statistic at the end, (momenta, channels), had it been averaged with other momenta.

    After batches b1, b2, b3 with momentum m and k = 1 - m it is k^3 * start + m * (k^2 * b1 + k * b2 + b3).

    Args:
        start: (channels,) before the first batch.
        batches: (steps, channels) the statistic of each batch, none left out.
        momenta: weights of the newest batch: running = (1 - momentum) * running + momentum * batch.
    """
    import numpy as np

    batches = np.asarray(batches, dtype=np.float64)
    keep = 1 - np.asarray(momenta, dtype=np.float64)[:, None]
    ages = np.arange(len(batches) - 1, -1, -1)
    weights = (1 - keep) * keep**ages
    # Not as a matrix product: BLAS starts threads for it, which on a busy machine cost a hundred times the sums.
    return keep ** len(batches) * np.asarray(start, dtype=np.float64) + np.einsum("ms,sc->mc", weights, batches)
