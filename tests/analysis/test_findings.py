from __future__ import annotations

import pytest

from archlab.analysis.comparison import summarise
from tests.analysis.runs import pair, run

CLEAR = ([0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.80, 0.83, 0.84, 0.82, 0.81, 0.83])
EQUAL = ([0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.91, 0.91, 0.92, 0.92, 0.90, 0.91])


def test_a_clear_difference_is_told_with_all_that_carries_it() -> None:
    first, second, *rest = summarise(pair(*CLEAR)).findings
    # means 5.47 / 6 and 4.93 / 6; differences -10 -9 -7 -11 -9 -8 points: mean -9, t interval 2.5706 * 1.4142 / 2.4495
    # = 1.484, and BCa stays within it
    assert first == (
        "norm=none has a lower test accuracy than norm=batch: 82.17 % against 91.17 %, a difference of -9.00 "
        "percentage points (95 % interval -10.48 to -7.52, p = 0.031, n = 6)."
    )
    assert second.startswith("norm=none has a lower epoch-1 test accuracy than norm=batch: 41.08 % against 45.58 %")
    assert rest == []


def test_a_higher_variant_is_called_higher() -> None:
    assert "norm=none has a higher test accuracy than norm=batch" in summarise(pair(*CLEAR[::-1])).findings[0]


def test_where_no_difference_is_found_the_largest_possible_one_is_named() -> None:
    comparison = summarise(pair(*EQUAL))
    first = comparison.findings[0]
    difference = comparison.differences[0]
    assert difference.low is not None
    assert difference.high is not None
    assert first.startswith(
        "No difference in test accuracy was found between norm=none and norm=batch: 91.17 % against"
    )
    largest = 100 * max(-difference.low, difference.high)
    assert first.endswith(f"A difference larger than {largest:.2f} percentage points can be ruled out.")


def test_three_seeds_settle_nothing_however_clear_they_look() -> None:
    findings = summarise(pair(CLEAR[0][:3], CLEAR[1][:3])).findings
    assert findings[0].startswith(
        "norm=none looks lower in test accuracy than norm=batch, but that isn't settled, since 3 pairs are too few for "
        "the test: 82.33 % against 91.00 %"
    )
    assert "p = 0.25, n = 3" in findings[0]
    assert findings[-1] == (
        "With 3 pairs of runs p can't fall below 0.25: six seeds or more are needed to call a difference one "
        "(p < 0.05)."
    )


def test_one_pair_says_nothing_about_chance() -> None:
    findings = summarise(pair([0.9], [0.8])).findings
    assert findings[0] == (
        "norm=none and norm=batch: test accuracy 80.00 % against 90.00 %, from a single pair of runs (n = 1), which "
        "says nothing about what chance does."
    )
    assert findings[-1].startswith("One pair of runs gives neither interval nor p value: six seeds")


def test_equal_runs_are_called_the_same() -> None:
    assert summarise(pair(CLEAR[0], CLEAR[0])).findings[0] == (
        "norm=none and norm=batch have the same test accuracy in each of 6 pairs of runs: 91.17 % against 91.17 %."
    )


def test_an_interval_and_a_p_value_that_disagree_are_said_to() -> None:
    # All of one sign, so p = 2 / 64; the outlier widens the interval over 0.
    findings = summarise(pair([0.5] * 6, [0.51, 0.51, 0.52, 0.51, 0.51, 0.90])).findings
    assert "isn't settled, since the interval includes 0 although p is below 0.05" in findings[0]
    # One small difference of the other sign: p = 4 / 64.
    findings = summarise(pair([0.5] * 6, [0.499, 0.53, 0.55, 0.57, 0.60, 0.63])).findings
    assert "isn't settled, since the p value does not confirm the interval" in findings[0]


def test_the_running_averages_error_is_told_apart_from_the_weights() -> None:
    sentence = summarise(pair(*CLEAR, running=0.85)).findings[2]
    assert sentence.startswith(
        "norm=batch reaches 85.00 % with its running statistics (85.00 to 85.00 over 6 seeds) and 91.17 % with precise "
        "ones (90.00 to 93.00 over 6 seeds), a difference of -6.17 percentage points"
    )
    assert sentence.endswith("it is the error of the running averages, not of the weights.")


def test_many_variants_whose_running_averages_are_wrong_share_a_sentence() -> None:
    runs = [
        run(f"depth={depth}", seed, 0.8 + seed / 100, 0.9 + seed / 100, running=0.5)
        for depth in range(4)
        for seed in range(6)
    ]
    (shared,) = (sentence for sentence in summarise(runs).findings if "running statistics" in sentence)
    assert shared.startswith(
        "4 of 4 variants with BatchNorm have another test accuracy with their running statistics than with precise "
        "ones, which is the error of the running averages, not of the weights: depth=0, 50.00 % against 92.50 %, a"
    )
    assert shared.count("n = 6") == 4


def test_no_interval_goes_beyond_what_a_difference_can_be() -> None:
    runs = [run("norm=batch", seed, 0.9, running=held) for seed, held in enumerate((0.26, 0.34))]
    (sentence,) = summarise(runs).findings[:1]
    assert "(95 % interval -100.00 to -9.18, p = 0.5, n = 2)" in sentence  # -60 +- 12.7062 * 4


def test_running_statistics_that_agree_are_not_spoken_of() -> None:
    runs = pair(*EQUAL, running=0.912)
    assert not any("running statistics" in sentence for sentence in summarise(runs).findings)


def test_failed_runs_are_told_and_the_means_are_those_of_the_pairs_left() -> None:
    runs = [item for item in pair(*CLEAR) if item.key != "norm=none-3"]
    findings = summarise([*runs, run("norm=none", 3, status="failed")]).findings
    # Seed 3 is left out on both sides: (5.47 - .93) / 5 = .908 and (4.93 - .82) / 5 = .822
    assert "82.20 % against 90.80 %" in findings[0]
    assert "1 of 6 runs of norm=none failed or diverged" in findings[2]


def test_a_variant_that_failed_altogether_is_told() -> None:
    findings = summarise([run("norm=batch", 0, 0.9), run("norm=none", 0, status="failed")]).findings
    assert findings == ("All runs of norm=none failed or diverged: nothing can be said of it.",)


def test_many_variants_without_a_difference_share_a_sentence() -> None:
    shifts = {0: 0.0, 1: 0.0, 2: 0.0, 3: -0.2}
    noise = [0.01, -0.02, 0.015, -0.005, 0.02, -0.015]
    runs = [
        run(f"depth={depth}", seed, 0.8 + shift + noise[(seed + depth) % 6])
        for depth, shift in shifts.items()
        for seed in range(6)
    ]
    comparison = summarise(runs)
    clear, alike, *_ = comparison.findings
    assert clear.startswith("depth=3 has a lower test accuracy than depth=0: ")
    assert alike.startswith(
        "No difference in test accuracy from depth=0 was found for 2 of 3 variants: depth=1, a diff"
    )
    assert alike.count("95 % interval") == alike.count("n = 6") == 2
    assert not any("epoch-1" in sentence for sentence in comparison.findings)


@pytest.mark.parametrize("count", [2, 3])
def test_several_comparisons_share_a_warning(count: int) -> None:
    runs = [run(f"depth={depth}", seed, 0.8 + (depth + seed) / 100) for seed in range(6) for depth in range(count)]
    warned = [sentence for sentence in summarise(runs).findings if "risk of up to 5 %" in sentence]
    assert warned == (
        ["Each of the 2 comparisons with depth=0 has a risk of up to 5 % of its own to call chance a difference."]
        if count == 3
        else []
    )
