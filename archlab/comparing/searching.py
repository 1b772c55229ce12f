"""The largest learning rate of each variant and seed that does not diverge (Bjorck et al. 2018), by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from archlab.comparing.designing import Design
from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.records.search import RateSearch, VariantRates
from archlab.training.execution import Execution

if TYPE_CHECKING:
    from archlab.records import Difference
    from archlab.training import Progress

RATES_PER_DECADE = 8
"""What is found is the largest within a factor of 10^(1/8) = 1.33."""
BOUNDS = (1e-4, 1e2)


def rate_grid(low: float = BOUNDS[0], high: float = BOUNDS[1]) -> tuple[float, ...]:
    """The learning rates that are tried, `RATES_PER_DECADE` to a factor of ten, to three digits.

    Raises:
        InputError: the bounds are no two finite numbers above 0, the lower one first.

    >>> rate_grid(0.1, 1)
    (0.1, 0.133, 0.178, 0.237, 0.316, 0.422, 0.562, 0.75, 1.0)
    """
    if not 0 < low < high < math.inf:
        raise InputError(f"learning rates are sought from {low:g} to {high:g}, expected LOW,HIGH with 0 < LOW < HIGH")
    steps = math.floor(RATES_PER_DECADE * math.log10(high / low) + 1e-9)
    return tuple(float(f"{low * 10 ** (step / RATES_PER_DECADE):.3g}") for step in range(steps + 1))


def rounds(grid: Sequence[float]) -> int:
    """How many runs a variant and a seed take at most: each halves the places that are left."""
    return math.ceil(math.log2(len(grid) + 1))


def search(
    designed: Design,
    execution: Execution = Execution(),
    progress: Callable[[Progress], None] | None = None,
    *,
    grid: Sequence[float] | None = None,
    command: str = "",
) -> RateSearch:
    """The largest learning rate of a design's variants and seeds whose run does not diverge.

    *Counting semantics.* By bisection on the grid, as if there were one rate from which on all runs diverge. What is
    found has finished; the next rate of the grid has diverged (`archlab.training.divergence`). Where there are several
    such places, it is one of them. Each run is kept in the store, and those that are there are not trained again.

    Args:
        designed: what varies; not the learning rate.
        execution: where and how.
        progress: called with every event of every run.
        grid: rates in rising order; `rate_grid()` by default.
        command: what to type to have it again.

    Raises:
        InputError: the learning rate varies, or something can't be used.
    """
    from archlab.analysis.variants import shared_items
    from archlab.training import train_all

    if len({variant.learning_rate for variant in designed.variants}) > 1:
        raise InputError("the learning rate is varied and searched for: leave --lr, or --max-lr, out")
    grid = tuple(grid or rate_grid())
    pairs = [(variant.label, seed) for variant in designed.variants for seed in designed.seeds]
    base = {(config.label, config.seed): config for config in designed.configs}
    good, bad = dict.fromkeys(pairs, -1), dict.fromkeys(pairs, len(grid))  # places in the grid
    failed: set[tuple[str, int]] = set()
    while left := [pair for pair in pairs if pair not in failed and bad[pair] - good[pair] > 1]:
        places = {pair: (good[pair] + bad[pair]) // 2 for pair in left}
        configs = [_at(base[pair], grid[places[pair]]) for pair in left]
        for pair, run in zip(left, train_all(configs, execution, progress, designed.sources), strict=True):
            if run.status == "failed":
                failed.add(pair)
            else:
                (good if run.status == "finished" else bad)[pair] = places[pair]

    def found(variant: TrainingConfig) -> VariantRates:
        from archlab.analysis.statistics import estimate

        mine = [(variant.label, seed) for seed in designed.seeds]
        ended = [pair for pair in mine if pair not in failed]
        rates = [grid[good[pair]] if pair in ended and good[pair] >= 0 else None for pair in mine]
        known = [math.log10(rate) for rate in rates if rate is not None]
        return VariantRates(
            name=variant.label,
            rates=tuple(rates),
            log10=estimate(known) if known else None,
            above=sum(good[pair] == len(grid) - 1 for pair in ended),
            below=sum(good[pair] < 0 for pair in ended),
            failed=len(mine) - len(ended),
        )

    variants = tuple(found(variant) for variant in designed.variants)
    first = designed.variants[0]
    shared = shared_items([variant.deciding for variant in designed.variants])
    return RateSearch(
        network=first.network,
        dataset=first.dataset,
        seeds=designed.seeds,
        grid=grid,
        variants=variants,
        differences=tuple(one for other in variants[1:] if (one := _difference(variants[0], other)) is not None),
        settings={name: value for name, value in shared.items() if name not in ("network", "dataset", "learning_rate")},
        command=command,
    )


def _at(config: TrainingConfig, rate: float) -> TrainingConfig:
    """The run at a rate, under the name that it has where rates are compared (`--lr`), so that both share it."""
    return replace(config, learning_rate=rate, variant=f"{config.variant}, lr={rate:g}")


def _difference(baseline: VariantRates, variant: VariantRates) -> Difference | None:
    """Of the logarithms, over the seeds that both have; None where there is none."""
    from archlab.analysis.statistics import paired_difference

    both = [
        (math.log10(one), math.log10(other))
        for one, other in zip(baseline.rates, variant.rates, strict=True)
        if one is not None and other is not None
    ]
    if not both:
        return None
    found = paired_difference([one for one, _ in both], [other for _, other in both])
    return replace(found, metric="log10_max_lr", baseline=baseline.name, variant=variant.name)
