from __future__ import annotations

import itertools
import math
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import stdtrit

from archlab.analysis.statistics import (
    estimate,
    excludes_zero,
    paired_difference,
    smallest_p_value,
    student_quantile,
)
from archlab.errors import InputError

Array = npt.NDArray[np.float64]

finite = st.floats(-1e3, 1e3, allow_nan=False).map(lambda value: round(value, 6))


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    # Student's table, two-sided 95 %.
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (29, 2.0452), (120, 1.9799)],
)
def test_quantiles_are_those_of_the_printed_table(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-5)


@pytest.mark.parametrize("freedom", [*range(1, 40), 99, 100, 999, 20_000])
def test_quantiles_are_scipys(freedom: int) -> None:
    assert student_quantile(freedom) == pytest.approx(stdtrit(freedom, 0.975), rel=1e-8)  # as older scipy has it


def test_an_estimate_is_the_mean_and_students_interval() -> None:
    # mean 4, sd sqrt((4 + 0 + 4) / 2) = 2, margin 4.3027 * 2 / sqrt(3) = 4.9683
    result = estimate([2, 4, 6])
    assert (result.n, result.mean, result.values) == (3, 4.0, (2.0, 4.0, 6.0))
    assert result.low == pytest.approx(4 - 4.9683, abs=1e-4)
    assert result.high == pytest.approx(4 + 4.9683, abs=1e-4)


def test_an_estimate_of_one_value_has_no_interval() -> None:
    result = estimate([0.5])
    assert (result.n, result.mean, result.low, result.high) == (1, 0.5, None, None)


def test_an_estimate_without_spread_has_an_interval_without_width() -> None:
    result = estimate([0.5, 0.5, 0.5])
    assert (result.low, result.high) == (0.5, 0.5)


@pytest.mark.parametrize(("pairs", "smallest"), [(2, 0.5), (3, 0.25), (5, 0.0625), (6, 0.03125), (8, 0.0078125)])
def test_the_smallest_p_value_is_reached_when_all_differences_have_one_sign(pairs: int, smallest: float) -> None:
    variant = 1 + np.arange(pairs) / 10
    assert paired_difference(np.zeros(pairs), variant).p_value == smallest
    assert smallest_p_value(pairs) == smallest


@pytest.mark.parametrize(
    ("differences", "p_value"),
    [
        # |+-1 +-2 +-3| of 8 patterns: 6 twice, 4 twice, 2 twice, 0 twice.
        ([1, 2, 3], 2 / 8),
        ([-1, 2, 3], 4 / 8),
        ([1, -2, 3], 6 / 8),
        ([1, 2, -3], 8 / 8),
        # Ties of size: |sum| 4 twice, 2 eight times, 0 six times; .3 - .1 and .2 tie although they differ in rounding.
        ([0.2, 0.3 - 0.1, 0.4 - 0.2, 0.2], 2 / 16),
        ([0.2, 0.3 - 0.1, 0.4 - 0.2, -0.2], 10 / 16),
        ([0, 0, 0, 0, 0, 0], 1.0),
    ],
)
def test_p_values_count_the_sign_patterns(differences: list[float], p_value: float) -> None:
    assert paired_difference(np.zeros(len(differences)), differences).p_value == pytest.approx(p_value)


def test_the_p_value_of_many_pairs_is_drawn_at_random_and_near_the_exact_one() -> None:
    differences = np.random.default_rng(3).normal(0.4, 1, size=17)
    exact = np.mean(
        [abs(np.dot(signs, differences)) >= abs(differences.sum()) for signs in itertools.product([1, -1], repeat=17)]
    )
    drawn = paired_difference(np.zeros(17), differences).p_value
    assert drawn is not None
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert drawn != exact


def test_the_p_value_of_many_pairs_is_never_zero() -> None:
    assert paired_difference(np.zeros(40), np.linspace(1, 2, 40)).p_value == pytest.approx(1 / 20_001)


def test_the_difference_is_variant_minus_baseline() -> None:
    difference = paired_difference([1, 2, 3, 4], [2, 4, 3, 7])
    assert difference.n == 4
    assert difference.values == (1.0, 2.0, 0.0, 3.0)
    assert difference.mean == 1.5  # (1 + 2 + 0 + 3) / 4
    # covariance of (-1.5, -.5, .5, 1.5) and (-2, 0, -1, 3): (3 + 0 - .5 + 4.5) / sqrt(5 * 14) = 7 / 8.3666
    assert difference.correlation == pytest.approx(0.83666, abs=1e-5)


def test_symmetric_differences_have_a_symmetric_interval_no_narrower_than_students() -> None:
    # Symmetric differences: BCa has no bias and no acceleration, so that the widened level gives its symmetric bounds.
    differences = np.array([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0])
    result = paired_difference(np.zeros(6), 10 + differences)
    student = 2.5706 * np.std(differences, ddof=1) / math.sqrt(6)
    assert result.low is not None
    assert result.high is not None
    assert result.mean - result.low == pytest.approx(result.high - result.mean)
    assert result.high - result.mean >= student - 1e-4
    assert result.high - result.mean < 1.3 * student


@pytest.mark.parametrize("shift", [0, 10, 20, 0.3, 7 / 360])
def test_rounding_that_breaks_ties_moves_no_bound(shift: float) -> None:
    # Many resamples of so few distinct values have one mean, up to rounding, which another shift turns round.
    result = paired_difference(np.zeros(6), shift + np.array([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0]), step=0)
    assert result.low is not None
    assert result.high is not None
    assert result.low - shift == pytest.approx(-1.4841261)
    assert result.high - shift == pytest.approx(1.4841261)


def test_the_interval_of_skewed_differences_leans_to_the_long_tail() -> None:
    result = paired_difference(np.zeros(8), [0, 0.1, 0.2, 0.1, 0, 0.2, 0.1, 3])
    assert result.low is not None
    assert result.high is not None
    assert result.high - result.mean > result.mean - result.low


def test_one_pair_has_neither_interval_nor_p_value() -> None:
    difference = paired_difference([0.5], [0.75])
    assert (difference.n, difference.mean) == (1, 0.25)
    assert (difference.low, difference.high, difference.p_value, difference.correlation) == (None, None, None, None)
    assert difference.interval_p_value is None
    assert not excludes_zero(difference)


@pytest.mark.parametrize(
    ("step", "width"),
    [
        # All differences are .2 up to rounding. The smallest gap between two values is .1, whose rounding has the
        # variance .1 ** 2 / 6; margin 4.3027 * sqrt(.01 / 6 / 3) = .10142
        (None, 0.10142),
        (0.01, 0.010142),
        (0.0, 0.0),
    ],
)
def test_equal_differences_are_as_sure_as_their_values_are_fine(step: float | None, width: float) -> None:
    difference = paired_difference([0.1, 0.2, 0.3], [0.3, 0.4, 0.5], step=step)
    assert len(set(difference.values)) > 1  # .5 - .3 is not .4 - .2
    assert difference.low == pytest.approx(0.2 - width, abs=1e-5)
    assert difference.high == pytest.approx(0.2 + width, abs=1e-5)
    assert difference.p_value == 0.25


def test_two_seeds_that_only_ever_gave_two_values_show_no_difference() -> None:
    assert not excludes_zero(paired_difference([0.1, 0.1], [0.9, 0.9]))


def test_equal_sides_have_an_interval_without_width_and_no_evidence() -> None:
    difference = paired_difference([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])
    assert (difference.low, difference.high, difference.interval_p_value) == (0, 0, 1.0)


@pytest.mark.parametrize(
    ("baseline", "variant"),
    [([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [2, 2, 2]), ([1, 2], [3, 5])],
    ids=["baseline does not vary", "variant does not vary", "two pairs always lie on a line"],
)
def test_there_is_no_correlation_to_speak_of(baseline: list[float], variant: list[float]) -> None:
    assert paired_difference(baseline, variant).correlation is None


@pytest.mark.parametrize(
    ("baseline", "variant", "message"),
    [
        ([1, 2, 3], [1, 2], "baseline has 3 values and variant 2"),
        ([], [], r"baseline has shape \(0,\)"),
        ([1, 2], [1, math.nan], r"variant\[1\] is nan"),
        ([math.inf, 2], [1, 2], r"baseline\[0\] is inf"),
        ([[1, 2]], [[1, 2]], r"baseline has shape \(1, 2\)"),
        (["a"], [1], "baseline holds something that is no number"),
        (0.5, 0.5, r"baseline has shape \(\)"),
    ],
)
def test_what_is_no_list_of_numbers_is_refused(baseline: object, variant: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        paired_difference(baseline, variant)  # type: ignore[arg-type]


pairs_of_values = st.integers(2, 12).flatmap(
    lambda n: st.tuples(st.lists(finite, min_size=n, max_size=n), st.lists(finite, min_size=n, max_size=n))
)


@given(pairs_of_values)
@settings(deadline=None, max_examples=60)
def test_swapping_the_sides_turns_everything_round(sides: tuple[list[float], list[float]]) -> None:
    one, two = sides
    there, back = paired_difference(one, two), paired_difference(two, one)
    assert back.mean == pytest.approx(-there.mean, abs=1e-9)
    assert there.low is not None
    assert back.high is not None
    # Random resamples (n > 8) tell apart differences of equal size and opposite sign: their bounds agree closely.
    slack = 1e-6 if len(one) <= 8 else 0.05 * (max(there.values) - min(there.values)) + 1e-6
    assert back.high == pytest.approx(-there.low, abs=slack)
    assert back.p_value == there.p_value


@given(pairs_of_values, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_the_order_of_the_pairs_does_not_matter(sides: tuple[list[float], list[float]], random: Random) -> None:
    pairs = list(zip(*sides, strict=True))
    random.shuffle(pairs)
    ordered, mixed = paired_difference(*sides), paired_difference(*map(list, zip(*pairs, strict=True)))
    assert mixed.low == pytest.approx(ordered.low, abs=1e-6)
    assert mixed.high == pytest.approx(ordered.high, abs=1e-6)
    assert mixed.p_value == ordered.p_value


@given(pairs_of_values)
@settings(deadline=None, max_examples=60)
def test_the_mean_lies_within_its_bounds(sides: tuple[list[float], list[float]]) -> None:
    difference = paired_difference(*sides)
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low - 1e-9 <= difference.mean <= difference.high + 1e-9
    assert difference.p_value is not None
    assert smallest_p_value(difference.n) <= difference.p_value <= 1


def test_the_same_values_give_the_same_result() -> None:
    random = np.random.default_rng(5)
    baseline, variant = random.normal(size=(2, 20))
    assert paired_difference(baseline, variant) == paired_difference(baseline, variant)


def _simulated(pairs: int, count: int, draw: str) -> list[tuple[Array, Array]]:
    random = np.random.default_rng(pairs)
    shape = (count, 2, pairs)
    samples = random.normal(size=shape) if draw == "normal" else random.standard_t(3, size=shape)
    return [(one, two) for one, two in samples]


@pytest.mark.parametrize("draw", ["normal", "heavy"])
@pytest.mark.parametrize("pairs", [3, 6, 8])
def test_a_variant_against_itself_has_an_interval_without_zero_in_at_most_one_of_twenty(pairs: int, draw: str) -> None:
    differences = [paired_difference(*sides) for sides in _simulated(pairs, 800, draw)]
    # Nominal 5 %; the standard error of 800 comparisons is sqrt(.05 * .95 / 800) = .0077.
    assert np.mean([excludes_zero(difference) for difference in differences]) <= 0.05 + 2 * 0.0077


@given(pairs_of_values)
@settings(deadline=None, max_examples=60)
def test_the_intervals_p_value_is_below_one_in_twenty_exactly_where_it_leaves_out_zero(
    sides: tuple[list[float], list[float]],
) -> None:
    difference = paired_difference(*sides)
    assert difference.interval_p_value is not None
    assert excludes_zero(difference) == (difference.interval_p_value < 0.05)


def test_a_huge_difference_is_beyond_doubt_with_four_pairs() -> None:
    # Differences -66.1, -65, -64.2 and -65.5 points: mean -65.2, sd .796, t = -65.2 / (.796 / 2) = -163.8
    difference = paired_difference([0.94, 0.95, 0.93, 0.945], [0.279, 0.30, 0.288, 0.29])
    assert excludes_zero(difference)
    assert difference.interval_p_value is not None
    assert difference.interval_p_value < 1e-5
    assert difference.p_value == smallest_p_value(4) == 0.125
