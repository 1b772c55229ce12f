"""Whether what a claim expects came out: each expectation against its difference, and the verdict on the claim.

*Which differences.* Of a comparison's metric they are the comparison's own, with the conclusions that `claims.py` draws
of them. Of a quantity that no comparison has (`QUANTITIES`) they are paired by seed in the same way, and what the part
expects of it is one family of Holm's method.

*One expectation.* A direction *holds* where the conclusion is `different` in this direction, and *fails* where it is
`different` in the other, or `equal`. Equality holds where the 95 % interval lies within the margin, or all values are
the same, and fails where the difference leaves it. Else it is *open*, with about how many seeds would tell.

*The verdict.* The claim *comes out* if every expectation holds: where one of them is false, that happens with at most
the risk of this one, so that nothing is to be adjusted over parts. It *does not* if one fails: where all are true, each
part has its own risk of up to 5 % of that. Else nobody *can tell*.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from archlab.analysis.claims import CLAIMABLE, judged
from archlab.analysis.contrasts import contrasts, interaction_name, interactions
from archlab.analysis.metrics import BY_NAME, EVALUATION, PRECISE, SHARE, Sign
from archlab.analysis.statistics import is_within, paired_difference
from archlab.errors import InputError, nearest
from archlab.records import Comparison, Difference, VariantResult
from archlab.records.experiment import ClaimVerdict, Direction, Expectation, Fulfilment, Outcome, Part

Values = Mapping[str, Mapping[int, float]]
"""Variant -> seed -> value, of runs that ended well."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What an expectation can be about and no comparison has as a metric."""

    name: str
    title: str
    is_logarithm: bool = False
    """Whether values are decimal logarithms, which people see as numbers and ratios."""
    is_difference: bool = False
    """Whether a single variant's is held against 0."""

    def written(self, value: float) -> str:
        """A value with its unit."""
        return f"{10**value:.3g}" if self.is_logarithm else f"{SHARE.number(value, '+')} points"

    def difference(self, value: float) -> str:
        """A difference with its unit: `x 3.2` for logarithms."""
        return f"x {10**value:.3g}" if self.is_logarithm else f"{SHARE.number(value, '+')} points"

    def interval(self, found: Difference) -> str:
        """The 95 % interval without its unit; empty where there is none."""
        if found.low is None or found.high is None:
            return ""
        if not self.is_logarithm:
            return SHARE.interval(SHARE.limited(found), "+")
        return f"{10**found.low:.3g} to {10**found.high:.3g}"


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("running_error", f"test accuracy in {EVALUATION} minus that with {PRECISE}", is_difference=True),
        Quantity("smoothness", "largest change of the gradient along itself (effective beta)", is_logarithm=True),
        Quantity("branch_share", "variance of branches over that of their skips, first weights", is_logarithm=True),
        Quantity("max_lr", "largest learning rate that does not diverge", is_logarithm=True),
    )
}
"""`smoothness` is the decimal logarithm of `probing.effective_smoothness`, mean over a run's probed steps; the smaller,
the smoother. `branch_share` is that of the geometric mean over all joins of branch and skip connection, before the
first step."""


@dataclass(frozen=True, slots=True)
class Wording:
    """An outcome as people read it."""

    metric: str
    asked: str
    """`norm=none minus norm=batch`."""
    sides: str
    """The two means."""
    difference: str
    interval: str
    conclusion: str
    published: str


def outcomes(part: Part, comparison: Comparison | None, values: Values | None = None) -> tuple[Outcome, ...]:
    """What came of each of a part's expectations.

    Args:
        part: of an experiment.
        comparison: of its runs, about the part's metric; None where its metric is one of `QUANTITIES`.
        values: of such a quantity.
    """
    if comparison is not None and part.metric in CLAIMABLE:
        asked = (*comparison.differences, *comparison.interactions)
        known = {(one.baseline, one.variant): one for one in asked if one.metric == part.metric}
        found = [known.get((one.baseline, one.variant)) for one in part.expect]
        held: Values = {
            variant.name: dict(zip(variant.seeds, variant.metrics[part.metric].values, strict=True))
            for variant in comparison.variants
            if part.metric in variant.metrics
        }
        margin = comparison.margin
    else:
        held, margin = values or {}, part.margin
        found = _differences(part, held)
    effects = _effects(comparison, held)
    return tuple(
        Outcome(
            part=part.name,
            metric=part.metric,
            expectation=expected,
            fulfilment=fulfilment(expected.direction, difference, margin),
            difference=difference,
            variant_mean=effects.get(expected.variant, _mean(held, expected.variant, expected.baseline)),
            baseline_mean=effects.get(expected.baseline, _mean(held, expected.baseline, expected.variant)),
            margin=margin,
        )
        for expected, difference in zip(part.expect, found, strict=True)
    )


def fulfilment(direction: Direction, difference: Difference | None, margin: float | None) -> Fulfilment:
    """Whether a difference is as expected.

    Args:
        direction: of the variant against its baseline.
        difference: with its conclusion; None where there is none.
        margin: up to which differences count as equal.
    """
    if difference is None:
        return "open"
    within = difference.conclusion == "equal" or is_within(difference, margin)
    if direction == "equal":
        return "holds" if within else "fails" if difference.conclusion == "different" else "open"
    if difference.conclusion == "different":
        return "holds" if (difference.mean > 0) == (direction == "higher") else "fails"
    return "fails" if within else "open"


def claim_verdict(found: Sequence[Outcome]) -> ClaimVerdict:
    """The verdict on a claim, from all that it expects."""
    kinds = {outcome.fulfilment for outcome in found}
    return "does not" if "fails" in kinds else "can't tell" if "open" in kinds else "comes out"


def checked_expectations(part: Part, variants: Sequence[VariantResult]) -> Part:
    """The part, all of whose expectations are about differences that it will have.

    Args:
        part: of an experiment.
        variants: what it trains, by name and options; measurements are not needed.

    Raises:
        InputError: one is about a variant or a difference that there won't be.
    """
    own = QUANTITIES.get(part.metric)
    if own is not None:
        known = {variant.name for variant in variants}
        for one in part.expect:
            for name in filter(None, (one.variant, one.baseline)):
                if name not in known:
                    raise InputError(f"part {part.name!r} expects something of {name!r}: {nearest(name, known)}")
            if not one.baseline and not own.is_difference:
                raise InputError(
                    f"part {part.name!r} expects {part.metric} of {one.variant} to be {one.direction}, without the "
                    "baseline that it is held against: name one"
                )
        return part
    pairs = {(one.baseline.name, one.variant.name) for one in contrasts(variants)}
    pairs |= {one.names for one in interactions(variants)}
    for one in part.expect:
        if (one.baseline, one.variant) not in pairs:
            listed = "; ".join(f"variant {variant!r}, baseline {baseline!r}" for baseline, variant in sorted(pairs))
            raise InputError(
                f"part {part.name!r} expects something of variant {one.variant!r}, baseline {one.baseline!r}, which "
                f"its comparison does not hold against each other. It has {listed}"
            )
    return part


def metric_title(name: str) -> str:
    """What people call a part's metric."""
    return (QUANTITIES.get(name) or BY_NAME[name]).title


def asked_text(expected: Expectation) -> str:
    """The difference that an expectation is about, in words.

    >>> asked_text(Expectation("norm=none", "lower", "norm=batch"))
    'norm=none minus norm=batch'
    """
    if not expected.baseline:
        return expected.variant
    if _is_interaction(expected):
        about = Difference(0, 0, None, None, None, None, baseline=expected.baseline, variant=expected.variant)
        return interaction_name(about)
    return f"{expected.variant} minus {expected.baseline}"


def _is_interaction(expected: Expectation) -> bool:
    return " minus " in expected.variant and " minus " in expected.baseline


def worded(outcome: Outcome) -> Wording:
    """An outcome in words."""
    expected, difference = outcome.expectation, outcome.difference
    metric = QUANTITIES.get(outcome.metric) or BY_NAME[outcome.metric]
    asked = asked_text(expected)
    means = [mean for mean in (outcome.variant_mean, outcome.baseline_mean) if mean is not None]
    if difference is None:
        return Wording(
            metric.title, asked, "", "", "", "can't tell: a side has no run that ended well", expected.published
        )
    interval = (
        metric.interval(difference) if isinstance(metric, Quantity) else metric.unit.interval(difference, _SIGNED)
    )
    return Wording(
        metric=metric.title,
        asked=asked,
        sides=" against ".join(map(metric.difference if _is_interaction(expected) else metric.written, means)),
        difference=metric.difference(difference.mean),
        interval=interval,
        conclusion=_conclusion(outcome, difference),
        published=expected.published,
    )


VERDICT_SENTENCES: Mapping[ClaimVerdict, str] = {
    "comes out": "The claim comes out: every expectation holds.",
    "does not": "The claim does not come out: {fails} of {all} expectations fail.",
    "can't tell": "Can't tell: {open} of {all} expectations are open, and none fails.",
}
_SIGNED: Sign = "+"


def verdict_sentence(found: Sequence[Outcome]) -> str:
    """The verdict in words, with about how many seeds would tell where that is known."""
    verdict = claim_verdict(found)
    kinds = [outcome.fulfilment for outcome in found]
    text = VERDICT_SENTENCES[verdict].format(fails=kinds.count("fails"), open=kinds.count("open"), all=len(kinds))
    if verdict != "can't tell":
        return text
    still = [outcome.difference for outcome in found if outcome.fulfilment == "open"]
    needed = [one.seeds_needed if one is not None and one.n > 1 else None for one in still]
    known = [count for count in needed if count is not None]
    if len(known) < len(needed):
        return text
    return f"{text} About {max(known):,} seeds would tell, if means and spreads stay as they are."


def _conclusion(outcome: Outcome, difference: Difference) -> str:
    """Direction and conclusion: `lower, as expected`."""
    found = {"equal": "equal within the margin", "unclear": "can't tell yet", "": "can't tell yet"}.get(
        difference.conclusion, "higher" if difference.mean > 0 else "lower"
    )
    if outcome.fulfilment == "open":
        needed = difference.seeds_needed
        seeds = "over 1,000 seeds" if needed is None else f"about {needed:,} seeds"
        return f"{found}: {seeds} would tell" if difference.n > 1 else f"{found}: a single pair"
    return found


def _differences(part: Part, values: Values) -> list[Difference | None]:
    """Of a quantity: one for each expectation, judged as one family."""
    made: list[Difference | None] = []
    for one in part.expect:
        variant, baseline = values.get(one.variant, {}), values.get(one.baseline, {})
        if not one.baseline:
            baseline = dict.fromkeys(variant, 0.0)
        seeds = [seed for seed in variant if seed in baseline]
        if not seeds:
            made.append(None)
            continue
        found = paired_difference([baseline[seed] for seed in seeds], [variant[seed] for seed in seeds])
        made.append(replace(found, metric=part.metric, baseline=one.baseline, variant=one.variant))
    concluded = iter(judged([one for one in made if one is not None], (), part.metric, part.margin)[0])
    return [None if one is None else next(concluded) for one in made]


def _effects(comparison: Comparison | None, values: Values) -> dict[str, float]:
    """Both sides of each interaction by their names, over the seeds that all four variants have."""
    found: dict[str, float] = {}
    for one in interactions(comparison.variants) if comparison is not None else ():
        corners = [values.get(corner.name, {}) for corner in one.corners]
        seeds = set(corners[0]).intersection(*corners[1:])
        if seeds:
            means = [fmean(corner[seed] for seed in seeds) for corner in corners]
            found |= dict(zip(one.names, (means[1] - means[0], means[3] - means[2]), strict=True))
    return found


def _mean(values: Values, name: str, other: str) -> float | None:
    """Of a variant, over the seeds that the other side has too."""
    mine = values.get(name, {})
    shared = [value for seed, value in mine.items() if not other or seed in values.get(other, {})]
    return fmean(shared) if shared else None
