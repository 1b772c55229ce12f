"""What a comparison shows, in sentences that claim no more than its intervals and p values carry.

A difference is called one only where p < 0.05 and the interval leaves out 0 (`statistics.distinguishes`). Where the
interval spans 0, the sentence says how large a difference can still be; where there are too few seeds for p < 0.05, it
says that, however clear the numbers look.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from statistics import fmean

from archlab.analysis.metrics import BY_NAME, SHARE, Metric, Sign
from archlab.analysis.statistics import (
    SIGNIFICANT,
    distinguishes,
    excludes_zero,
    paired_difference,
    smallest_p_value,
)
from archlab.records import Comparison, Difference, Estimate, VariantResult

SENTENCE_METRICS = ("test_accuracy", "test_accuracy_first_epoch")
"""The metrics that sentences are made of; the others stand in the table."""
SINGLE_VARIANTS = 3
"""Variants that get sentences of their own, the baseline among them. Of more, only the first metric is described, and
what shows no difference stands in one sentence: nobody reads a dozen of them."""


def findings(comparison: Comparison) -> tuple[str, ...]:
    """Sentences about the differences in test accuracy, the running statistics, failed runs and the number of seeds."""
    variants = {variant.name: variant for variant in comparison.variants}
    many = len(comparison.variants) > SINGLE_VARIANTS
    described = [
        difference
        for name in (SENTENCE_METRICS[:1] if many else SENTENCE_METRICS)
        for difference in comparison.differences
        if difference.metric == name
    ]
    alike = [difference for difference in described if many and _shows_nothing(difference)]
    sentences = [
        _difference_sentence(difference, variants[difference.baseline], variants[difference.variant])
        for difference in described
        if difference not in alike
    ]
    sentences += [_alike_sentence(alike, len(described))] if alike else []
    sentences += _running_sentences(comparison.variants)
    sentences += filter(None, (_failure_sentence(variant, len(comparison.seeds)) for variant in comparison.variants))
    sentences += _seed_sentences(comparison)
    return tuple(sentences)


def _difference_sentence(difference: Difference, baseline: VariantResult, variant: VariantResult) -> str:
    metric = BY_NAME[difference.metric]
    shared = set(baseline.seeds) & set(variant.seeds)
    sides = f"{_mean(variant, metric, shared)} against {_mean(baseline, metric, shared)}"
    names = f"{variant.name} and {baseline.name}"
    direction = "higher" if difference.mean > 0 else "lower"
    if difference.low is None or difference.high is None or difference.p_value is None:
        return (
            f"{names}: {metric.title} {sides}, from a single pair of runs (n = 1), which says nothing about what "
            "chance does."
        )
    if not any(difference.values):
        return f"{names} have the same {metric.title} in each of {difference.n} pairs of runs: {sides}."
    carried = _carried(difference, metric)
    if distinguishes(difference):
        return f"{variant.name} has a {direction} {metric.title} than {baseline.name}: {sides}, {carried}."
    if _shows_nothing(difference):
        largest = max(-difference.low, difference.high)
        bound = f" A difference larger than {_points(largest)} can be ruled out." if largest < 1 else ""
        return f"No difference in {metric.title} was found between {names}: {sides}, {carried}.{bound}"
    if not excludes_zero(difference):
        doubt = f"the interval includes 0 although p is below {SIGNIFICANT:g}"
    elif smallest_p_value(difference.n) >= SIGNIFICANT:
        doubt = f"{difference.n} pairs are too few for the test"
    else:
        doubt = "the p value does not confirm the interval"
    return (
        f"{variant.name} looks {direction} in {metric.title} than {baseline.name}, but that isn't settled, since "
        f"{doubt}: {sides}, {carried}."
    )


def _shows_nothing(difference: Difference) -> bool:
    """Whether neither interval nor p value speaks of a difference; False for a single pair, and where all are equal."""
    tested = difference.p_value is not None and difference.p_value >= SIGNIFICANT
    return tested and not excludes_zero(difference) and any(difference.values)


def _alike_sentence(differences: Sequence[Difference], all_of: int) -> str:
    metric, baseline = BY_NAME[differences[0].metric], differences[0].baseline
    listed = "; ".join(f"{one.variant}, {_carried(one, metric)}" for one in differences)
    return (
        f"No difference in {metric.title} from {baseline} was found for {len(differences)} of {all_of} variants: "
        f"{listed}."
    )


def _running_sentences(variants: Sequence[VariantResult]) -> list[str]:
    """What the running statistics cost against precise ones, where a difference shows; many variants share it."""
    metric, error = BY_NAME["test_accuracy"], "the error of the running averages, not of the weights"
    with_norm = [variant for variant in variants if "test_accuracy_running" in variant.metrics]
    sentences: list[str] = []
    settled: list[str] = []
    likely: list[str] = []
    for variant in with_norm:
        precise, running = variant.metrics["test_accuracy"], variant.metrics["test_accuracy_running"]
        difference = paired_difference(precise.values, running.values)
        if not any(difference.values):
            continue
        means = (
            f"{variant.name} reaches {metric.written(running.mean)} with its running statistics"
            f"{_range(running, metric)} and {metric.written(precise.mean)} with precise ones{_range(precise, metric)}"
        )
        if difference.p_value is None:
            sentences.append(f"{means}: in this run the difference is {error}.")
        elif excludes_zero(difference):
            sure = distinguishes(difference)
            judged = f"it is {error}" if sure else f"it looks like {error}, but that isn't settled"
            carried = _carried(difference, metric)
            sentences.append(f"{means}, {carried}: {judged}.")
            sides = f"{metric.written(running.mean)} against {metric.written(precise.mean)}"
            (settled if sure else likely).append(f"{variant.name}, {sides}, {carried}")
    if len(settled) + len(likely) <= SINGLE_VARIANTS:
        return sentences
    judgements = ((settled, f"which is {error}"), (likely, f"which looks like {error}, but isn't settled"))
    return [
        f"{len(named)} of {len(with_norm)} variants with BatchNorm have another test accuracy with their running "
        f"statistics than with precise ones, {judgement}: {'; '.join(named)}."
        for named, judgement in judgements
        if named
    ]


def _failure_sentence(variant: VariantResult, seeds: int) -> str:
    if not variant.failed:
        return ""
    if not variant.seeds:
        return f"All runs of {variant.name} failed or diverged: nothing can be said of it."
    return (
        f"{variant.failed} of {seeds} runs of {variant.name} failed or diverged and are left out, of the differences "
        "with the runs that they are paired with: its means are those of the runs that went well."
    )


def _seed_sentences(comparison: Comparison) -> list[str]:
    sentences = []
    described = [difference for difference in comparison.differences if difference.metric == SENTENCE_METRICS[0]]
    fewest = min((difference.n for difference in described), default=0)
    if fewest and smallest_p_value(fewest) >= SIGNIFICANT:
        limit = (
            "One pair of runs gives neither interval nor p value"
            if fewest == 1
            else f"With {fewest} pairs of runs p can't fall below {smallest_p_value(fewest):g}"
        )
        sentences.append(f"{limit}: six seeds or more are needed to call a difference one (p < {SIGNIFICANT:g}).")
    elif len(described) > 1:
        sentences.append(
            f"Each of the {len(described)} comparisons with {described[0].baseline} has a risk of up to 5 % of its own "
            "to call chance a difference."
        )
    return sentences


def _mean(variant: VariantResult, metric: Metric, seeds: Set[int]) -> str:
    """The mean over some seeds only, so that the means of both sides give the difference."""
    values = zip(variant.seeds, variant.metrics[metric.name].values, strict=True)
    return metric.written(fmean(value for seed, value in values if seed in seeds))


def _range(estimate: Estimate, metric: Metric) -> str:
    if estimate.n < 2:
        return ""
    low, high = (metric.unit.number(value) for value in (min(estimate.values), max(estimate.values)))
    return f" ({low} to {high} over {estimate.n} seeds)"


def _carried(difference: Difference, metric: Metric) -> str:
    """The difference with all that says how far to trust it."""
    interval = metric.unit.interval(metric.unit.limited(difference), "+")
    return (
        f"a difference of {_points(difference.mean, '+')} (95 % interval {interval}, p = {difference.p_value:.2g}, "
        f"n = {difference.n})"
    )


def _points(share: float, sign: Sign = "") -> str:
    return f"{SHARE.number(share, sign)} percentage points"
