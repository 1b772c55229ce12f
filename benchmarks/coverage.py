"""How often the intervals of paired differences hold the truth, and how often nothing is called different.

    python -m benchmarks.coverage [SIMULATIONS]

For n seeds and three distributions of a difference: the share of simulated comparisons whose 95 % interval holds the
true mean, for plain BCa, BCa at the widened level, Student's t, and the outer bounds of the last two, which archlab
uses; then the share of comparisons of a variant with itself that are called different, which must not exceed 5 %.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from archlab.analysis import statistics
from archlab.analysis.statistics import distinguishes, paired_difference

if TYPE_CHECKING:
    from archlab.analysis.statistics import Array

DISTRIBUTIONS: dict[str, tuple[Callable[[np.random.Generator, int], Array], float]] = {
    "normal": (lambda random, n: random.normal(size=n), 0.0),
    "heavy tails (t, 3)": (lambda random, n: random.standard_t(3, size=n), 0.0),
    "skewed (exponential)": (lambda random, n: random.exponential(size=n), 1.0),
}


def coverage(draw: Callable[[np.random.Generator, int], Array], truth: float, n: int, simulations: int) -> list[float]:
    """Share of intervals that hold the truth: plain BCa, widened BCa, Student's t, archlab's."""
    random = np.random.default_rng(n)
    quantile = statistics.student_quantile(n - 1)
    held = np.zeros(4)
    for _ in range(simulations):
        sample = draw(random, n)
        difference = paired_difference(np.zeros(n), sample)
        intervals = [
            statistics._bca(sample, 1.959964),
            statistics._bca(sample, quantile * math.sqrt(n / (n - 1))),
            statistics._student(sample),
            (difference.low, difference.high),
        ]
        held += [low is not None and high is not None and low <= truth <= high for low, high in intervals]
    return [float(share) for share in held / simulations]


def false_alarms(draw: Callable[[np.random.Generator, int], Array], n: int, simulations: int) -> float:
    """Share of comparisons of a variant with itself that are called different."""
    random = np.random.default_rng(n)
    return (
        sum(distinguishes(paired_difference(draw(random, n), draw(random, n))) for _ in range(simulations))
        / simulations
    )


def main(simulations: int = 2000) -> None:
    """Print both tables."""
    error = math.sqrt(0.05 * 0.95 / simulations)
    print(f"{simulations} simulations a line; nominal coverage .95, standard error {error:.4f}")
    print(f"{'n':>3} {'differences':22} {'BCa':>6} {'wide':>6} {'t':>6} {'used':>6}   {'A/A':>6}")
    for n in (3, 5, 6, 8, 12):
        for name, (draw, truth) in DISTRIBUTIONS.items():
            shares = " ".join(f"{share:6.3f}" for share in coverage(draw, truth, n, simulations))
            print(f"{n:3} {name:22} {shares}   {false_alarms(draw, n, simulations):6.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
