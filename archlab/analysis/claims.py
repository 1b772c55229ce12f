"""What a comparison claims of its differences, so that a table of many numbers is wrong no more often than one.

*The family.* One metric is primary: test accuracy, or what the user names. All differences in it, and all interactions,
are one family: their p values (`Difference.interval_p_value`) are adjusted by Holm's method (Holm 1979, A Simple
Sequentially Rejective Multiple Test Procedure), after which the chance that any of them is called a difference where
none is stays below 5 %. Other metrics are looked at only where the primary one differs: for those differences, Holm's
method over all of their other metrics. Where nothing differs they add no risk, since nothing opens them (serial
gatekeeping: Dmitrienko, Wiens and Westfall 2006). Training time is shown and claims nothing: it depends on what else
the machine did.

*The conclusions.* `different`: the adjusted p value is below 0.05. Else `equal`: the 95 % interval lies within the
margin on both sides of 0 (two one-sided tests at 2.5 % each: Schuirmann 1987), which says that a difference is smaller
than that, not that there is none. Else `unclear`, with about how many seeds would tell, if mean and spread stayed as
they are: so many that a difference of this size is found four times of five, or that the interval fits into the margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from archlab.analysis.metrics import BY_NAME, METRICS, Metric
from archlab.analysis.statistics import CONFIDENCE, SIGNIFICANT, is_within
from archlab.analysis.wording import counted
from archlab.errors import InputError, nearest
from archlab.records import Comparison, Difference

PRIMARY = "test_accuracy"
"""The metric that claims are about, unless another is named."""
CLAIMABLE = tuple(metric.name for metric in METRICS if metric.can_be_claimed)
"""The names of the metrics that a comparison can be about."""
USUAL_METRICS = tuple(metric.name for metric in METRICS if metric.can_be_claimed and not metric.to_target)
"""Those that every comparison has."""
POWER = 0.8
"""Share of comparisons in which a difference as large as the observed one shall be found, for `seeds_needed`."""
MOST_SEEDS = 1000


def judged(
    differences: Sequence[Difference], interactions: Sequence[Difference], primary: str, margin: float | None
) -> tuple[tuple[Difference, ...], tuple[Difference, ...]]:
    """The differences and interactions with their adjusted p values and conclusions.

    Args:
        differences: of all metrics.
        interactions: of the primary metric.
        primary: the name of the metric that claims are of.
        margin: up to which differences in it count as equal, in its own unit; None for no such conclusion.
    """
    asked = [difference for difference in (*differences, *interactions) if difference.metric == primary]
    concluded = dict(zip(map(id, asked), _concluded(asked, margin), strict=True))
    opened = {
        (found.baseline, found.variant): found.adjusted_p_value or 0.0
        for found in concluded.values()
        if found.conclusion == "different"
    }
    secondary = [
        difference
        for difference in differences
        if difference.metric != primary
        and BY_NAME[difference.metric].can_be_claimed
        and (difference.baseline, difference.variant) in opened
    ]
    for difference, adjusted in zip(secondary, holm([p_value_of(item) for item in secondary]), strict=True):
        # Never surer than the primary metric's, which it was looked at after.
        p_value = max(adjusted, opened[difference.baseline, difference.variant])
        concluded[id(difference)] = replace(
            difference, adjusted_p_value=p_value, conclusion="different" if p_value < SIGNIFICANT else ""
        )
    return (
        tuple(concluded.get(id(difference), difference) for difference in differences),
        tuple(concluded.get(id(difference), difference) for difference in interactions),
    )


def claimable(name: str) -> Metric:
    """The metric of a name that a comparison can be about.

    Raises:
        InputError: there is none, or nothing is ever claimed of it.
    """
    if name not in CLAIMABLE:
        raise InputError(
            f"the primary metric is {name!r}, which no comparison can be about: {nearest(name, CLAIMABLE)}"
        )
    return BY_NAME[name]


def checked_margin(margin: float) -> float:
    """A margin that differences can lie within.

    Raises:
        InputError: it isn't above 0.
    """
    if not 0 < margin < math.inf:
        raise InputError(f"the margin is {margin!r}, expected a number above 0: differences up to it count as equal")
    return float(margin)


def family(comparison: Comparison) -> str:
    """What was asked together, in words: `3 differences and 1 interaction in test accuracy`."""
    asked = sum(difference.metric == comparison.metric for difference in comparison.differences)
    interacting = len(comparison.interactions)
    both = f" and {counted(interacting, 'interaction')}" if interacting else ""
    return f"{counted(asked, 'difference')}{both} in {BY_NAME[comparison.metric].titled(comparison.has_running)}"


def holm(p_values: Sequence[float]) -> list[float]:
    """The p values adjusted for being looked at together (Holm 1979), in their order.

    The smallest of m is multiplied by m, the next by m - 1, and so on; none becomes smaller than one before it.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found


def seeds_needed(difference: Difference, margin: float | None, family: int = 1) -> int | None:
    """About how many seeds would tell whether sides differ, from the observed mean and spread; None above 1,000.

    Args:
        difference: of two pairs or more.
        margin: of equality; None where it isn't asked for.
        family: how many differences are looked at together; Holm's method asks a p value below 0.05 / family of the
            smallest.
    """
    import numpy as np

    size, spread = abs(difference.mean), float(np.std(difference.values, ddof=1))
    spare = (margin or 0.0) - size

    def tells(n: int) -> bool:
        if not spread:
            return True
        if spare > 0 and _quantile(n, 1 - CONFIDENCE) * spread / math.sqrt(n) <= spare:
            return True
        return _power(size / spread, n, SIGNIFICANT / family) >= POWER

    low, high = difference.n, MOST_SEEDS
    if not tells(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if tells(middle) else (middle, high)
    return high


def _concluded(differences: Sequence[Difference], margin: float | None) -> list[Difference]:
    adjusted = holm([p_value_of(difference) for difference in differences])
    found = []
    for difference, p_value in zip(differences, adjusted, strict=True):
        if difference.low is None or difference.high is None:
            found.append(replace(difference, conclusion="unclear"))
        elif p_value < SIGNIFICANT:
            found.append(replace(difference, conclusion="different", adjusted_p_value=p_value))
        elif not any(difference.values) or is_within(difference, margin):
            found.append(replace(difference, conclusion="equal", adjusted_p_value=p_value))
        else:
            needed = seeds_needed(difference, margin, len(differences))
            found.append(replace(difference, conclusion="unclear", adjusted_p_value=p_value, seeds_needed=needed))
    return found


def p_value_of(difference: Difference) -> float:
    """That of a single pair, which has none, is 1: it can be no evidence, and still is one of those looked at."""
    return 1.0 if difference.interval_p_value is None else difference.interval_p_value


def _power(effect: float, n: int, level: float) -> float:
    """How often Student's test finds a mean of so many standard deviations, by the noncentral t distribution."""
    from scipy.special import nctdtr

    found = float(nctdtr(n - 1, effect * math.sqrt(n), _quantile(n, level)))
    return 1 - found if math.isfinite(found) else 1.0


def _quantile(n: int, level: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - level / 2))
