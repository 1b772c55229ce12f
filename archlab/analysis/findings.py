"""What a comparison shows, in sentences that claim no more than its intervals carry.

Which differences are claimed, `claims.py` says; here they become sentences. Running statistics against precise ones are
a second family, with Holm's method at 0.5 %: their sentence is about each network, whatever the variants do. All
sentences of a comparison together so have a risk of up to 6 % of calling chance a difference, whose simulation is
`python -m benchmarks.coverage`.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from statistics import fmean

from archlab.analysis.claims import family, holm, p_value_of
from archlab.analysis.contrasts import interaction_name
from archlab.analysis.metrics import BY_NAME, EVALUATION, PRECISE, SHARE, Metric
from archlab.analysis.statistics import is_within, paired_difference, smallest_p_value
from archlab.analysis.wording import left_out, p_statement, p_text
from archlab.records import Comparison, Difference, Estimate, VariantResult

SINGLE_VARIANTS = 3
"""Differences that get sentences of their own; of more, those with the same conclusion share one: nobody reads a
dozen."""
RUNNING_LEVEL = 0.005
"""The risk, over all variants, of calling running and precise statistics different where they are not."""
FEW_PAIRS = 6
"""Below, the sign-flip test can't confirm anything at 5 %, and the sentence says so."""
MANY_PAIRS = 20
"""From so many on, skewed differences hardly spoil an interval any more."""
ASSUMPTION = (
    "Intervals decide. They assume differences without a long tail on one side, with which up to one in six misses the "
    "truth, in place of one in twenty."
)
"""Measured by `python -m benchmarks.coverage`, at 3 to 6 pairs."""


def findings(comparison: Comparison) -> tuple[str, ...]:
    """Sentences about the primary metric, interactions, the running statistics, failed runs and what it rests on."""
    variants = {variant.name: variant for variant in comparison.variants}
    described = [difference for difference in comparison.differences if difference.metric == comparison.metric]
    sentences: list[str] = []
    if len(described) <= SINGLE_VARIANTS:
        for difference in described:
            sides = _sides(difference, variants[difference.baseline], variants[difference.variant])
            sentences.append(_sentence(difference, sides, comparison))
    else:
        sentences += _shared_sentences(described, variants, comparison)
    sentences += _interaction_sentences(comparison)
    sentences += _running_sentences(comparison)
    sentences += filter(None, (_failure_sentence(variant) for variant in comparison.variants))
    sentences += _basis_sentences(comparison, [*described, *comparison.interactions])
    return tuple(sentences)


def margin_text(comparison: Comparison) -> str:
    """The margin with its unit: `1 point`."""
    if comparison.margin is None:
        return "the margin"
    unit = BY_NAME[comparison.metric].unit
    words = f"{unit.scale * comparison.margin:g} {unit.difference}".rstrip()
    return words.removesuffix("s") if words == "1 points" else words


def _sentence(difference: Difference, sides: str, comparison: Comparison) -> str:
    metric = BY_NAME[difference.metric]
    title = metric.titled(comparison.has_running)
    names = f"{difference.variant} and {difference.baseline}"
    if difference.n < 2:
        return (
            f"Whether {names} differ in {title} can't be told from a single pair of runs (n = 1), which says "
            f"nothing about what chance does: {sides}."
        )
    if not any(difference.values):
        return f"{names} have the same {title} in each of {difference.n} pairs of runs: {sides}."
    carried = _carried(difference, metric)
    if difference.conclusion == "different":
        direction = "higher" if difference.mean > 0 else "lower"
        small = f", though by less than {margin_text(comparison)}" if is_within(difference, comparison.margin) else ""
        return f"{difference.variant} has a {direction} {title} than {difference.baseline}{small}: {sides}, {carried}."
    if difference.conclusion == "equal":
        return f"{names} are equal in {title} within {margin_text(comparison)}: {sides}, {carried}."
    return f"Whether {names} differ in {title} can't be told yet: {sides}, {carried}. {_needed(difference)}."


def _shared_sentences(
    differences: Sequence[Difference], variants: dict[str, VariantResult], comparison: Comparison
) -> list[str]:
    """One sentence per conclusion, for a comparison of many variants."""
    metric = BY_NAME[comparison.metric]
    title = metric.titled(comparison.has_running)
    # A single pair can't tell; where all values are the same, that is more than equal within a margin.
    beginnings = {
        "different": f"are different in {title}",
        "equal": f"are equal in {title} within {margin_text(comparison)}",
        "unclear": f"can't be told apart yet in {title}",
    }
    sentences = []
    for conclusion, beginning in beginnings.items():
        listed = [difference for difference in differences if difference.conclusion == conclusion]
        if not listed:
            continue
        parts = []
        for difference in listed:
            sides = _sides(difference, variants[difference.baseline], variants[difference.variant], short=True)
            needed = f"; {_needed(difference, short=True)}" if conclusion == "unclear" and difference.n > 1 else ""
            parts.append(f"{_title(difference, comparison)} {sides} ({_numbers(difference, metric)}{needed})")
        sentences.append(f"{len(listed)} of {len(differences)} pairs of variants {beginning}: {'; '.join(parts)}.")
    return sentences


def _interaction_sentences(comparison: Comparison) -> list[str]:
    """Whether what one factor does depends on another."""
    metric = BY_NAME[comparison.metric]
    sentences = []
    by_conclusion: dict[str, list[str]] = {}
    for found in comparison.interactions:
        name = interaction_name(found)
        text = f"{name}, {_carried(found, metric)}" if found.n > 1 else name
        by_conclusion.setdefault(found.conclusion, []).append(
            text + (f"; {_needed(found, short=True)}" if found.conclusion == "unclear" and found.n > 1 else "")
        )
    for conclusion, beginning in (
        ("different", "The effect of one factor depends on the other"),
        ("equal", f"The effect of one factor is the same at both values of the other within {margin_text(comparison)}"),
        ("unclear", "Whether the effect of one factor depends on the other can't be told yet"),
    ):
        if conclusion in by_conclusion:
            sentences.append(f"{beginning}: {'; '.join(by_conclusion[conclusion])}.")
    return sentences


def _running_sentences(comparison: Comparison) -> list[str]:
    """What running statistics give against precise ones, where it is settled; many variants share a sentence."""
    with_norm = [variant for variant in comparison.variants if "test_accuracy_running" in variant.metrics]
    differences = [
        paired_difference(variant.metrics["test_accuracy"].values, variant.metrics["test_accuracy_running"].values)
        for variant in with_norm
    ]
    adjusted = holm(list(map(p_value_of, differences)))
    worse: list[tuple[VariantResult, Difference]] = []
    better: list[tuple[VariantResult, Difference]] = []
    sentences = []
    for variant, difference, p_value in zip(with_norm, differences, adjusted, strict=True):
        if difference.n == 1 and difference.mean:
            sentences.append(
                f"{_running_sides(variant)}: in this run the running averages are off by "
                f"{SHARE.number(difference.mean, '+')} points; the weights are the same."
            )
        elif p_value < RUNNING_LEVEL:
            (worse if difference.mean < 0 else better).append((variant, difference))
    images = _precise_images(comparison)
    meanings = (
        (worse, "the error of the running averages, not of the weights"),
        (
            better,
            (
                f"precise statistics{images} are the worse estimate here, since they too come from some training "
                "images, and from batches that normalise each other; take the higher one for these weights"
            ),
        ),
    )
    for found, meaning in meanings:
        if len(found) > SINGLE_VARIANTS:
            listed = "; ".join(f"{_running_sides(one, short=True)} ({_interval(two)})" for one, two in found)
            sentences.append(
                f"{len(found)} of {len(with_norm)} variants with BatchNorm have another test accuracy in "
                f"{EVALUATION} than with {PRECISE}, {meaning}: {listed}."
            )
        else:
            sentences += [f"{_running_sides(one)}, {_interval(two)}: {meaning}." for one, two in found]
    return sentences


def _running_sides(variant: VariantResult, *, short: bool = False) -> str:
    metric = BY_NAME["test_accuracy"]
    precise, running = variant.metrics["test_accuracy"], variant.metrics["test_accuracy_running"]
    if short:
        return f"{variant.name}, {metric.written(running.mean)} against {metric.written(precise.mean)}"
    return (
        f"{variant.name} reaches {metric.written(running.mean)} in {EVALUATION}{_range(running, metric)} "
        f"and {metric.written(precise.mean)} with {PRECISE}{_range(precise, metric)}"
    )


def _interval(difference: Difference) -> str:
    interval = SHARE.interval(SHARE.limited(difference), "+")
    return f"a difference of {_amount(difference, BY_NAME['test_accuracy'])} (95 % interval {interval})"


def _precise_images(comparison: Comparison) -> str:
    images = comparison.settings.get("precise_images")
    return f" over {images:,} images" if isinstance(images, int) else ""


def _failure_sentence(variant: VariantResult) -> str:
    """How many runs of a variant are in no mean, and why."""
    counts = " and ".join(left_out(variant))
    if not counts:
        return ""
    if not variant.seeds:
        return f"{variant.name}: {counts}, so that it has no mean and no difference."
    return (
        f"{variant.name}: {counts}; they are in no mean, and in no difference with the runs that they are paired with: "
        "what is said of it is said of the runs that went well."
    )


def _basis_sentences(comparison: Comparison, asked: Sequence[Difference]) -> list[str]:
    """What the sentences above assume, and how many questions were asked."""
    fewest = min((difference.n for difference in asked), default=0)
    sentences = []
    if len(asked) > 1 and fewest > 1:
        sentences.append(
            f"p values are adjusted for {family(comparison)} (Holm): where none is real, one is called so in up to 5 % "
            "of comparisons."
        )
    claimed = [difference.n for difference in asked if difference.conclusion == "different"]
    if claimed and min(claimed) < FEW_PAIRS:
        pairs = min(claimed)
        twofold = " Two pairs can't show a network that fails every few runs." if pairs == 2 else ""
        sentences.append(
            f"{ASSUMPTION} With {pairs} pairs a sign-flip test, which assumes no shape, can't have p below "
            f"{smallest_p_value(pairs):g}.{twofold}"
        )
    elif claimed and min(claimed) < MANY_PAIRS:
        sentences.append(ASSUMPTION)
    return sentences


def _title(difference: Difference, comparison: Comparison) -> str:
    """The two sides; the baseline is named where there are several."""
    baselines = {one.baseline for one in comparison.differences}
    return f"{difference.variant} against {difference.baseline}" if len(baselines) > 1 else difference.variant


def _sides(difference: Difference, baseline: VariantResult, variant: VariantResult, *, short: bool = False) -> str:
    metric = BY_NAME[difference.metric]
    shared = set(baseline.seeds) & set(variant.seeds)
    means = [metric.written(_mean(side, metric, shared)) for side in (variant, baseline)]
    return " against ".join(means) if not short else f"{means[0]} to {means[1]}"


def _mean(variant: VariantResult, metric: Metric, seeds: Set[int]) -> float:
    """The mean over some seeds only, so that the means of both sides give the difference."""
    values = zip(variant.seeds, variant.metrics[metric.name].values, strict=True)
    return fmean(value for seed, value in values if seed in seeds)


def _range(estimate: Estimate, metric: Metric) -> str:
    if estimate.n < 2:
        return ""
    low, high = (metric.unit.number(value) for value in (min(estimate.values), max(estimate.values)))
    return f" ({low} to {high} over {estimate.n} seeds)"


def _carried(difference: Difference, metric: Metric) -> str:
    """The difference with all that says how far to trust it."""
    return f"a difference of {_amount(difference, metric)} ({_numbers(difference, metric, named=True)})"


def _numbers(difference: Difference, metric: Metric, *, named: bool = False) -> str:
    if difference.n < 2:
        return "n = 1"
    raw, adjusted = difference.interval_p_value, difference.adjusted_p_value
    p_value = "" if raw is None else f", {p_statement(raw)}"
    if raw is not None and adjusted is not None and adjusted != raw:
        p_value += f", adjusted {p_text(adjusted)}"
    amount = "" if named else f"{metric.unit.number(difference.mean, '+')}, "
    interval = f"95 % interval {metric.unit.interval(difference, '+')}"
    return f"{amount}{interval}, n = {difference.n}{p_value}"


def _needed(difference: Difference, *, short: bool = False) -> str:
    number = "More than 1,000 seeds" if difference.seeds_needed is None else f"About {difference.seeds_needed:,} seeds"
    text = f"{number} would tell"
    return text[0].lower() + text[1:] if short else f"{text}, if mean and spread stay as they are"


def _amount(difference: Difference, metric: Metric) -> str:
    amount = metric.difference(difference.mean)
    return amount.replace(" points", " percentage points")
