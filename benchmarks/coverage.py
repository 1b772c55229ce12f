"""How often what a comparison claims is false, and how often it finds what is there.

    python -m benchmarks.coverage [--simulations N] [--comparisons N] [--runs]

First, for 2 to 20 pairs and several kinds of noise: the share of 95 % intervals that miss the true mean of a difference
that has this noise itself; the share of comparisons of a variant with itself that are called different; and the share
called `different`, `equal` and `unclear` where the true difference is 1, 3 and 20 standard deviations.

Then whole comparisons of 2 to 9 variants, and crossed ones, in which nothing differs: the share in which some star or
some sentence claims a difference. Leaves with 1 where that is above 6 % (beyond the error of the simulation).

With `--runs`: 40 real comparisons of LeNet on digits with itself, 6 seeds a side, all seeds different, with the share
that claims a difference and its binomial interval.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from archlab.analysis.claims import judged
from archlab.analysis.comparison import summarise
from archlab.analysis.metrics import SHARE
from archlab.analysis.statistics import excludes_zero, paired_difference
from archlab.records import Comparison, Epoch, Run, TrainingConfig

PAIRS = (2, 3, 4, 5, 6, 8, 12, 20)
EFFECTS = (1, 3, 20)
CALLED = ("different", "equal", "unclear")
REAL_COMPARISONS = 40
REAL_SEEDS = 6

Draw = Callable[[np.random.Generator, tuple[int, ...]], Any]
NOISES: dict[str, tuple[Draw, float, float]] = {
    "normal": (lambda random, shape: random.normal(size=shape), 0.0, 1.0),
    "heavy tails (t, 3)": (lambda random, shape: random.standard_t(3, size=shape), 0.0, math.sqrt(3)),
    "skewed (exponential)": (lambda random, shape: random.exponential(size=shape), 1.0, 1.0),
    "skewed (log-normal)": (
        lambda random, shape: random.lognormal(size=shape),
        math.exp(0.5),
        math.sqrt((math.e - 1) * math.e),
    ),
    "right of 360": (lambda random, shape: random.binomial(360, 0.95, shape) / 360, 0.95, math.sqrt(0.95 * 0.05 / 360)),
    "two values": (lambda random, shape: random.integers(2, size=shape).astype(float), 0.5, 0.5),
    "two modes": (
        lambda random, shape: random.integers(2, size=shape) + random.normal(0, 0.01, shape),
        0.5,
        math.hypot(0.5, 0.01),
    ),
}
"""Name -> how a run's result is drawn, its mean and standard deviation."""


def single_differences(simulations: int) -> None:
    """Print the table of single differences."""
    print(f"Single differences, {simulations} simulations a line; shares in percent")
    print("missed: the noise is the difference's own. A/A: each side has it.")
    heads = "".join(f"   {effect:>2} sd: different/equal/unclear" for effect in EFFECTS)
    print(f"{'n':>3} {'noise':22} {'missed':>6} {'A/A':>5}{heads}")
    for n in PAIRS:
        for name, (draw, mean, spread) in NOISES.items():
            random = np.random.default_rng(n)
            own = (paired_difference(np.zeros(n), values - mean) for values in draw(random, (simulations, n)))
            missed = sum(map(excludes_zero, own)) / simulations
            sides = draw(random, (simulations, 2, n))
            same = sum(excludes_zero(paired_difference(*pair)) for pair in sides) / simulations
            called = []
            for effect in EFFECTS:
                shift = effect * math.sqrt(2) * spread  # the standard deviation of a difference of two runs
                found = [_conclusion(one, two + shift) for one, two in sides[: simulations // 4]]
                called.append("/".join(f"{100 * found.count(word) / len(found):.0f}" for word in CALLED))
            columns = "".join(f"{text:>33}" for text in called)
            print(f"{n:3} {name:22} {100 * missed:6.1f} {100 * same:5.1f}{columns}", flush=True)


def _conclusion(baseline: Any, variant: Any) -> str:
    difference = replace(paired_difference(baseline, variant), metric="test_accuracy")
    ((found,), _) = judged([difference], [], "test_accuracy", SHARE.margin)
    return found.conclusion


def whole_comparisons(comparisons: int, seeds: int = 6) -> float:
    """Print how often comparisons in which nothing differs claim something, and return the largest share."""
    print(f"\nWhole comparisons in which nothing differs, {seeds} seeds, {comparisons} simulations a line; in percent")
    print(f"{'variants':14} {'noise':22} {'star':>6} {'sentence':>9} {'any':>6}")
    largest = 0.0
    designs = [(str(count), [f"depth={depth}" for depth in range(count)]) for count in (2, 3, 4, 6, 9)]
    designs += [("2 x 2 crossed", _crossed(2, 2)), ("2 x 3 crossed", _crossed(2, 3))]
    for title, names in designs:
        for noise, (draw, mean, spread) in NOISES.items():
            random = np.random.default_rng(len(names))
            starred = claimed = either = 0
            for _ in range(comparisons):
                # Eight metrics, independent of each other: what they share would only make false claims meet.
                values = 0.5 + 0.05 * (draw(random, (len(names), seeds, 8)) - mean) / spread
                found = summarise(
                    [_run(name, seed, values[i, seed]) for i, name in enumerate(names) for seed in range(seeds)]
                )
                star, sentence = claims_of(found)
                starred, claimed, either = starred + star, claimed + sentence, either + (star or sentence)
            largest = max(largest, either / comparisons)
            shares = " ".join(
                f"{100 * count / comparisons:{width}.1f}" for count, width in ((starred, 6), (claimed, 9), (either, 6))
            )
            print(f"{title:14} {noise:22} {shares}", flush=True)
    return largest


def claims_of(comparison: Comparison) -> tuple[bool, bool]:
    """Whether a comparison has a star, and whether a sentence of it claims a difference."""
    star = any(
        difference.conclusion == "different" for difference in (*comparison.differences, *comparison.interactions)
    )
    words = (" has a higher ", " has a lower ", " are different in ", " depends on the other: ", " running statistics")
    return star, any(word in sentence for sentence in comparison.findings for word in words)


def _crossed(one: int, two: int) -> list[str]:
    return [f"norm={first}, width={second}" for first in range(one) for second in range(two)]


def _run(variant: str, seed: int, values: Any) -> Run:
    options = {name: value for name, _, value in (part.partition("=") for part in variant.split(", "))}
    first, *rest = map(float, values)
    epochs = [
        Epoch(1, 10, 1.0, rest[0], rest[1], rest[2], first),
        Epoch(2, 20, rest[3], rest[0], rest[1], rest[2], rest[4], rest[5], rest[6]),
    ]
    config = TrainingConfig(variant=variant, seed=seed, options=dict(options))
    return Run(f"{variant}-{seed}", config, "finished", tuple(epochs))


def real_comparisons() -> None:
    """Train LeNet against itself, and print how many of the comparisons claim something."""
    from archlab.training import train_all
    from archlab.training.execution import Execution

    sides = ("first", "second")
    configs = [
        TrainingConfig(variant=side, seed=(2 * number + place) * REAL_SEEDS + seed, record_every=0)
        for number in range(REAL_COMPARISONS)
        for place, side in enumerate(sides)
        for seed in range(REAL_SEEDS)
    ]
    with TemporaryDirectory() as folder:
        runs = train_all(configs, Execution(store=folder))
    false = sum(any(claims_of(summarise(_renumbered(runs, number)))) for number in range(REAL_COMPARISONS))
    low, high = _binomial(false, REAL_COMPARISONS)
    print(
        f"\n{REAL_COMPARISONS} real comparisons of LeNet on digits with itself, {REAL_SEEDS} disjoint seeds a side: "
        f"{false} claim a difference ({100 * false / REAL_COMPARISONS:.1f} %, 95 % interval {100 * low:.1f} to "
        f"{100 * high:.1f} %)"
    )


def _renumbered(runs: Sequence[Run], number: int) -> list[Run]:
    """The runs of one comparison, each side's seeds counted from 0, so that they pair up."""
    chosen = runs[2 * REAL_SEEDS * number : 2 * REAL_SEEDS * (number + 1)]
    return [replace(run, config=replace(run.config, seed=run.config.seed % REAL_SEEDS)) for run in chosen]


def _binomial(count: int, of: int) -> tuple[float, float]:
    """The exact 95 % interval of a share (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv

    low = float(betaincinv(count, of - count + 1, 0.025)) if count else 0.0
    return low, float(betaincinv(count + 1, of - count, 0.975)) if count < of else 1.0


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How often claims are false, and how often differences are found.")
    parser.add_argument("--simulations", type=int, default=2000, metavar="N", help="of each single difference")
    parser.add_argument("--comparisons", type=int, default=500, metavar="N", help="of each whole comparison")
    parser.add_argument("--runs", action="store_true", help="train LeNet against itself, too")
    given = parser.parse_args()
    single_differences(given.simulations)
    largest = whole_comparisons(given.comparisons)
    if given.runs:
        real_comparisons()
    return int(largest > 0.06 + 2 * math.sqrt(0.06 * 0.94 / given.comparisons))


if __name__ == "__main__":
    sys.exit(main())
