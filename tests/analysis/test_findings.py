from __future__ import annotations

import pytest

from archlab.analysis.comparison import summarise
from archlab.analysis.findings import ASSUMPTION
from archlab.records import Run
from tests.analysis.runs import pair, run

CLEAR = ([0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.80, 0.83, 0.84, 0.82, 0.81, 0.83])
EQUAL = ([0.90, 0.92, 0.91, 0.93, 0.90, 0.91], [0.91, 0.91, 0.92, 0.92, 0.90, 0.91])
NOISE = [0.01, -0.02, 0.015, -0.005, 0.02, -0.015]


def test_a_clear_difference_is_told_with_all_that_carries_it() -> None:
    first, basis = summarise(pair(*CLEAR)).findings
    # means 5.47 / 6 and 4.93 / 6; differences -10 -9 -7 -11 -9 -8 points: mean -9, sd 1.4142. Values come in steps of a
    # point, which adds 1 / 6 to the variance: 2.5706 * sqrt(2 + 1 / 6) / sqrt(6) = 1.545, and BCa stays within it;
    # t = 9 / .6009 = 14.98 with 5 degrees of freedom
    assert first == (
        "norm=none has a lower test accuracy than norm=batch: 82.17 % against 91.17 %, a difference of -9.00 "
        "percentage points (95 % interval -10.54 to -7.46, n = 6, p < 0.001)."
    )
    assert basis == ASSUMPTION


def test_a_higher_variant_is_called_higher() -> None:
    assert "norm=none has a higher test accuracy than norm=batch" in summarise(pair(*CLEAR[::-1])).findings[0]


def test_an_interval_within_the_margin_is_called_equal_within_it() -> None:
    # Differences +1 -1 +1 -1 0 0: mean 0, sd .894, with steps of a point sqrt(.8 + 1 / 6): margin 1.03
    (within,) = summarise(pair(*EQUAL), margin=0.02).findings
    assert within.startswith("norm=none and norm=batch are equal in test accuracy within 2 points: 91.17 % against")
    assert within.endswith("n = 6, p = 1.000).")
    (beyond,) = summarise(pair(*EQUAL)).findings
    assert beyond.startswith("Whether norm=none and norm=batch differ in test accuracy can't be told yet: 91.17 %")


def test_a_difference_within_the_margin_is_still_one() -> None:
    # All differences are .4 points, and the smallest gap of two values .1
    first, _ = summarise(pair([0.90, 0.92, 0.905], [0.904, 0.924, 0.909])).findings
    assert first.startswith(
        "norm=none has a higher test accuracy than norm=batch, though by less than 1 point: 91.23 %"
    )


def test_three_seeds_that_spread_widely_can_not_tell_and_say_how_many_would() -> None:
    # Differences +1, +24 and +48 points: mean 24.3, sd 23.5
    (sentence,) = summarise(pair([0.5, 0.5, 0.5], [0.51, 0.74, 0.98])).findings
    assert sentence.startswith("Whether norm=none and norm=batch differ in test accuracy can't be told yet: 74.33 %")
    assert sentence.endswith("About 10 seeds would tell, if mean and spread stay as they are.")


def test_three_seeds_that_agree_settle_it_and_say_what_that_assumes() -> None:
    first, basis = summarise(pair(CLEAR[0][:3], CLEAR[1][:3])).findings
    assert first.startswith("norm=none has a lower test accuracy than norm=batch: 82.33 % against 91.00 %")
    assert basis == (f"{ASSUMPTION} With 3 pairs a sign-flip test, which assumes no shape, can't have p below 0.25.")


def test_one_pair_says_nothing_about_chance() -> None:
    (sentence,) = summarise(pair([0.9], [0.8])).findings
    assert sentence == (
        "Whether norm=none and norm=batch differ in test accuracy can't be told from a single pair of runs (n = 1), "
        "which says nothing about what chance does: 80.00 % against 90.00 %."
    )


def test_equal_runs_are_called_the_same() -> None:
    assert summarise(pair(CLEAR[0], CLEAR[0])).findings == (
        "norm=none and norm=batch have the same test accuracy in each of 6 pairs of runs: 91.17 % against 91.17 %.",
    )


def test_the_running_averages_error_is_told_apart_from_the_weights() -> None:
    sentence = summarise(pair(*CLEAR, running=0.85)).findings[1]
    assert sentence.startswith(
        "norm=batch reaches 85.00 % in evaluation (running statistics) (85.00 to 85.00 over 6 seeds) and 91.17 % with "
        "precise statistics (90.00 to 93.00 over 6 seeds), a difference of -6.17 percentage points (95 % interval "
    )
    assert sentence.endswith(": the error of the running averages, not of the weights.")


def test_running_statistics_that_beat_precise_ones_are_no_error_of_theirs() -> None:
    sentence = summarise(pair(*CLEAR, running=0.99)).findings[1]
    assert sentence.startswith("norm=batch reaches 99.00 % in evaluation (running statistics)")
    assert "precise statistics" in sentence
    assert "are the worse estimate here" in sentence
    assert "error of the running averages" not in sentence


def test_many_variants_whose_running_averages_are_wrong_share_a_sentence() -> None:
    runs = [
        run(f"depth={depth}", seed, 0.8 + seed / 100, 0.9 + seed / 100, running=0.5)
        for depth in range(4)
        for seed in range(6)
    ]
    (shared,) = (sentence for sentence in summarise(runs).findings if "running statistics" in sentence)
    assert shared.startswith(
        "4 of 4 variants with BatchNorm have another test accuracy in evaluation (running statistics) than with "
        "precise statistics, the error of the running averages, not of the weights: depth=0, 50.00 % against 92.50 % (a"
    )


def test_no_interval_goes_beyond_what_a_difference_can_be() -> None:
    sentence, basis = summarise(pair([0.9, 0.9], [0.26, 0.34])).findings
    # -60 +- 12.7062 * sqrt(32 + 64 / 6) / sqrt(2), since the smallest gap of two values is 8 points
    assert "(95 % interval -100.00 to -1.31, n = 2, " in sentence
    assert basis.endswith("can't have p below 0.5. Two pairs can't show a network that fails every few runs.")


def test_running_statistics_that_agree_are_not_spoken_of() -> None:
    runs = pair(*EQUAL, running=0.912)
    assert not any("running statistics" in sentence for sentence in summarise(runs).findings)


def test_failed_runs_are_told_and_the_means_are_those_of_the_pairs_left() -> None:
    runs = [item for item in pair(*CLEAR) if item.key != "norm=none-3"]
    findings = summarise([*runs, run("norm=none", 3, status="failed")]).findings
    # Seed 3 is left out on both sides: (5.47 - .93) / 5 = .908 and (4.93 - .82) / 5 = .822
    assert "82.20 % against 90.80 %" in findings[0]
    assert findings[1].startswith("norm=none: 1 of 6 runs failed; they are in no mean")


def test_a_variant_that_failed_altogether_is_told() -> None:
    findings = summarise([run("norm=batch", 0, 0.9), run("norm=none", 0, status="failed")]).findings
    assert findings == ("norm=none: 1 of 1 run failed, so that it has no mean and no difference.",)


def test_runs_that_diverged_are_counted_and_in_no_mean() -> None:
    runs = [
        *(run("lr=0.1", seed, value) for seed, value in enumerate(CLEAR[0])),
        *(run("lr=9", seed, 0.1, status="diverged" if seed else "finished") for seed in range(6)),
    ]
    comparison = summarise(runs)
    assert comparison.variants[1].metrics["test_accuracy"].n == 1
    assert any(told.startswith("lr=9: 5 of 6 runs diverged; they are in no mean") for told in comparison.findings)


def shifted(shifts: dict[str, float], noise: float = 1.0) -> list[Run]:
    """Runs of variants whose accuracies differ by shifts, with noise that differs from variant to variant."""
    return [
        run(name, seed, 0.8 + shift + noise * NOISE[(seed + place) % 6])
        for place, (name, shift) in enumerate(shifts.items())
        for seed in range(6)
    ]


def test_many_variants_share_a_sentence_per_conclusion() -> None:
    comparison = summarise(shifted({"depth=0": 0, "depth=1": 0, "depth=2": 0, "depth=3": 0, "depth=4": -0.2}))
    different, unclear, family, basis = comparison.findings
    assert different.startswith(
        "1 of 4 pairs of variants are different in test accuracy: depth=4 60.08 % to 80.08 % (-20.00, 95 % interval "
    )
    assert unclear.startswith("3 of 4 pairs of variants can't be told apart yet in test accuracy: depth=1 80.08 % to ")
    assert unclear.count("95 % interval") == unclear.count("seeds would tell") == 3
    assert family == (
        "p values are adjusted for 4 differences in test accuracy (Holm): where none is real, one is called so in up "
        "to 5 % of comparisons."
    )
    assert basis == ASSUMPTION


def test_two_factors_are_compared_one_at_a_time_and_their_interaction_is_told() -> None:
    shifts = {
        "norm=batch, skip=on": 0.0,
        "norm=batch, skip=off": 0.0,
        "norm=none, skip=on": 0.0,
        "norm=none, skip=off": -0.4,
    }
    comparison = summarise(shifted(shifts, noise=0.1))
    firsts = [item for item in comparison.differences if item.metric == "test_accuracy"]
    assert [(item.factor, item.variant, item.baseline) for item in firsts] == [
        ("norm", "norm=none, skip=on", "norm=batch, skip=on"),
        ("norm", "norm=none, skip=off", "norm=batch, skip=off"),
        ("skip", "norm=batch, skip=off", "norm=batch, skip=on"),
        ("skip", "norm=none, skip=off", "norm=none, skip=on"),
    ]
    (interaction,) = comparison.interactions
    assert interaction.baseline == "norm=none minus norm=batch at skip=on"
    assert interaction.variant == "norm=none minus norm=batch at skip=off"
    assert interaction.mean == pytest.approx(-0.4)
    assert interaction.conclusion == "different"
    (told,) = (sentence for sentence in comparison.findings if "depends on the other" in sentence)
    assert told.startswith(
        "The effect of one factor depends on the other: norm=none minus norm=batch: at skip=off against at skip=on, a "
        "difference of -40.00 percentage points (95 % interval "
    )
    assert any("4 differences and 1 interaction in test accuracy" in sentence for sentence in comparison.findings)


def test_another_metric_can_be_the_primary_one() -> None:
    comparison = summarise(pair(*CLEAR), metric="train_accuracy")
    assert comparison.findings[0].startswith("norm=none has a lower train accuracy than norm=batch: 83.17 %")
    assert (comparison.metric, comparison.margin) == ("train_accuracy", 0.01)
