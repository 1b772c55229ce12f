from __future__ import annotations

from collections.abc import Sequence

import pytest

from archlab.analysis.comparison import summarise
from archlab.analysis.expectations import (
    checked_expectations,
    claim_verdict,
    fulfilment,
    outcomes,
    verdict_sentence,
    worded,
)
from archlab.errors import InputError
from archlab.records import Difference, VariantResult
from archlab.records.comparison import Conclusion
from archlab.records.experiment import Direction, Expectation, Fulfilment, Outcome, Part
from tests.analysis.runs import pair, run


def made(mean: float, half: float | None, conclusion: Conclusion, needed: int | None = None) -> Difference:
    """A difference whose interval reaches `half` to both sides."""
    low, high = (None, None) if half is None else (mean - half, mean + half)
    return Difference(6, mean, low, high, None, None, conclusion=conclusion, seeds_needed=needed)


LOWER, HIGHER = made(-0.2, 0.05, "different"), made(0.2, 0.05, "different")
SMALL = made(0.005, 0.002, "different")
EQUAL, UNCLEAR = made(0.001, 0.004, "equal"), made(0.05, 0.2, "unclear", 40)
SINGLE = made(0.3, None, "unclear")


@pytest.mark.parametrize(
    ("direction", "difference", "expected"),
    [
        ("lower", LOWER, "holds"),
        ("lower", HIGHER, "fails"),
        ("lower", EQUAL, "fails"),
        ("lower", UNCLEAR, "open"),
        ("higher", HIGHER, "holds"),
        ("higher", LOWER, "fails"),
        ("higher", SMALL, "holds"),  # a direction was expected, of whatever size
        ("higher", SINGLE, "open"),
        ("higher", None, "open"),
        ("equal", EQUAL, "holds"),
        ("equal", SMALL, "holds"),  # the interval lies within the margin
        ("equal", HIGHER, "fails"),
        ("equal", UNCLEAR, "open"),
        ("equal", None, "open"),
    ],
)
def test_an_expectation_holds_fails_or_stays_open(
    direction: Direction, difference: Difference | None, expected: Fulfilment
) -> None:
    assert fulfilment(direction, difference, 0.01) == expected


def test_without_a_margin_a_small_difference_is_none_that_counts_as_equal() -> None:
    assert fulfilment("equal", SMALL, None) == "fails"


@pytest.mark.parametrize(
    ("kinds", "verdict", "sentence"),
    [
        (["holds", "holds"], "comes out", "The claim comes out: every expectation holds."),
        (["holds", "fails"], "does not", "The claim does not come out: 1 of 2 expectations fail."),
        (["open", "fails"], "does not", "The claim does not come out: 1 of 2 expectations fail."),
        (
            ["holds", "open"],
            "can't tell",
            (
                "Can't tell: 1 of 2 expectations are open, and none fails. About 40 seeds would tell, if means and "
                "spreads stay as they are."
            ),
        ),
    ],
)
def test_the_verdict_follows_from_all_expectations(kinds: Sequence[Fulfilment], verdict: str, sentence: str) -> None:
    expected = Expectation("norm=none", "lower", "norm=batch")
    found = [Outcome("part", "test_accuracy", expected, kind, UNCLEAR if kind == "open" else LOWER) for kind in kinds]
    assert claim_verdict(found) == verdict
    assert verdict_sentence(found) == sentence


def test_a_verdict_says_no_number_of_seeds_where_none_is_known() -> None:
    expected = Expectation("norm=none", "lower", "norm=batch")
    found = [Outcome("part", "test_accuracy", expected, "open", one) for one in (UNCLEAR, None)]
    assert verdict_sentence(found) == "Can't tell: 2 of 2 expectations are open, and none fails."


PART = Part("norm", (Expectation("norm=none", "lower", "norm=batch", published="much"),), network="lenet")


def test_a_metric_s_difference_is_the_comparison_s_own_with_both_means() -> None:
    comparison = summarise(pair([0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.80, 0.83, 0.84, 0.82, 0.81, 0.83]))
    (found,) = outcomes(PART, comparison)
    assert found.fulfilment == "holds"
    assert found.difference in comparison.differences
    text = worded(found)
    assert (text.asked, text.sides) == ("norm=none minus norm=batch", "82.17 % against 91.17 %")
    assert (text.difference, text.interval, text.conclusion) == ("-9.00 points", "-10.54 to -7.46", "lower")


def test_an_interaction_is_asked_for_by_the_names_that_the_comparison_gives_it() -> None:
    # skip off costs 0 points with BatchNorm and 40, 42, 44 without
    runs = [
        run(f"norm={norm}, skip={skip}", seed, 0.9 if norm == "batch" or skip == "on" else 0.5 - 0.02 * seed)
        for seed in range(3)
        for norm in ("batch", "none")
        for skip in ("on", "off")
    ]
    sides = ("norm=none minus norm=batch at skip=off", "norm=none minus norm=batch at skip=on")
    part = Part("both", (Expectation(sides[0], "lower", sides[1]),), network="lenet")
    (found,) = outcomes(part, summarise(runs))
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(-0.42)
    assert found.fulfilment == "holds"
    assert worded(found).asked == "norm=none minus norm=batch: at skip=off against at skip=on"
    assert worded(found).sides == "-42.00 points against +0.00 points"


def test_a_quantity_is_paired_by_seed_and_one_family() -> None:
    values = {"a": {0: 0.0, 1: 0.1, 2: 0.2, 3: 0.1}, "b": {1: 1.1, 2: 1.21, 3: 1.09, 4: 9.0}, "c": {}}
    expect = (Expectation("b", "higher", "a"), Expectation("c", "higher", "a"))
    first, second = outcomes(Part("p", expect, metric="max_lr"), None, values)
    assert first.difference is not None
    assert first.difference.n == 3  # seeds 1 to 3: 1.00, 1.01, .99
    assert worded(first).difference == "x 10"
    assert first.fulfilment == "holds"
    assert (second.fulfilment, second.difference) == ("open", None)
    assert worded(second).conclusion == "can't tell: a side has no run that ended well"


def test_a_quantity_that_is_a_difference_is_held_against_nothing() -> None:
    part = Part("p", (Expectation("a", "lower"),), metric="running_error")
    (found,) = outcomes(part, None, {"a": {0: -0.30, 1: -0.32, 2: -0.31}})
    assert found.difference is not None
    assert found.difference.mean == pytest.approx(-0.31)
    assert (found.fulfilment, worded(found).difference) == ("holds", "-31.00 points")


VARIANTS = [VariantResult(name, {}, {"norm": name}) for name in ("batch", "none", "group")]


@pytest.mark.parametrize(
    ("metric", "expectation", "message"),
    [
        ("test_accuracy", Expectation("group", "higher", "none"), "variant 'group', baseline 'none', which its compar"),
        ("test_accuracy", Expectation("none", "higher"), "variant 'none', baseline ''"),
        ("max_lr", Expectation("nome", "higher", "batch"), "something of 'nome': did you mean none"),
        ("max_lr", Expectation("none", "higher"), "without the baseline"),
    ],
)
def test_what_is_expected_of_no_difference_is_refused(metric: str, expectation: Expectation, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checked_expectations(Part("p", (expectation,), metric=metric), VARIANTS)
