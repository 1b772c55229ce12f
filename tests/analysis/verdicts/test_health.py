"""Verdicts on a trained network, from records alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.verdicts.answers import batch_dependence, initial_values, running_statistics
from archlab.analysis.verdicts.health import batch_noise, folding, judged, scale_range
from archlab.records import NormHealth
from archlab.records.norm_health import ExaminedData, FoldingCheck, NormLayerHealth, Outcome

DATA = ExaminedData("photos", 500, 500, (3, 32, 32), 32, classes=10)
CHANNELS = 8
VARIANCES = (0.01, 0.02, 0.04, 0.08, 0.1, 0.2, 0.3, 0.4)


def layer(**changes: object) -> NormLayerHealth:
    """A healthy layer, but for some fields."""
    held = NormLayerHealth(
        path="norm",
        kind="BatchNorm2d",
        epsilon=1e-5,
        momentum=0.1,
        gamma=(1.0,) * CHANNELS,
        beta=(0.0,) * CHANNELS,
        running_mean=(0.5,) * CHANNELS,
        running_var=VARIANCES,
        batches=1000,
        mean=(0.5,) * CHANNELS,
        variance=VARIANCES,
        mean_noise=(0.05,) * CHANNELS,
        variance_noise=(0.1,) * CHANNELS,
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def health(
    accuracies: tuple[float, float, float] = (0.9, 0.9, 0.9), *, agreement: float = 0.98, **changes: object
) -> NormHealth:
    """A healthy network of one layer, but for its accuracies (running, precise, batch) and some fields of the layer."""
    running, precise, batch = accuracies
    outcomes = (
        Outcome("running", 500, running, 0.3, 0.1, agreement),
        Outcome("precise", 500, precise, 0.3, 0.0, 1.0),
        Outcome("batch", 500, batch, 0.3, 0.1, agreement),
    )
    return NormHealth("net", (layer(**changes),), data=DATA, outcomes=outcomes)


def test_a_healthy_network_has_no_problem_and_no_warning() -> None:
    assert {verdict.level for verdict in judged(health())} == {"good"}


@pytest.mark.parametrize(
    ("running", "agreement", "level"),
    [
        (0.90, 0.98, "good"),
        (0.87, 0.96, "warning"),  # 3 points of 4 % changed: 1.96 sqrt((0.04 - 0.0009) / 500) = 1.7 points
        (0.87, 0.80, "note"),  # of 20 %: 1.96 sqrt((0.2 - 0.0009) / 500) = 3.9 points
        (0.60, 0.65, "problem"),
    ],
)
def test_the_cost_of_running_statistics_counts_beyond_its_interval(
    running: float, agreement: float, level: str
) -> None:
    (verdict,) = running_statistics(health((running, 0.9, 0.9), agreement=agreement))
    assert verdict.level == level


def test_what_is_left_of_the_start_is_found_and_a_common_factor_is_not_taken_for_it() -> None:
    mixed = tuple(0.7 + 0.3 * variance for variance in VARIANCES)
    (verdict,) = initial_values(health(running_var=mixed, batches=357))
    assert "70 % of the initial 1" in verdict.text
    assert "a momentum of 0.001 leaves" in verdict.remedy  # 0.999 ^ 357 = 0.70
    doubled = tuple(2 * variance for variance in VARIANCES)
    assert not initial_values(health(running_var=doubled))
    assert not initial_values(health())


@pytest.mark.parametrize(("noise", "level"), [(0.05, "good"), (0.3, "warning"), (0.5, "problem")])
def test_the_noise_of_batches_has_the_limits_of_trainings(noise: float, level: str) -> None:
    (verdict,) = batch_noise(health(mean_noise=(noise,) * CHANNELS))
    assert verdict.level == level


def test_a_batch_size_that_nobody_gave_makes_a_note_at_most() -> None:
    found = health(mean_noise=(0.5,) * CHANNELS)
    (verdict,) = batch_noise(replace(found, data=replace(DATA, batch_size_given=False)))
    assert verdict.level == "note"


def test_batches_that_answer_better_than_any_fixed_statistics_are_a_problem() -> None:
    (verdict,) = batch_dependence(health((0.7, 0.7, 0.9), agreement=0.75))
    assert verdict.level == "problem"
    assert not batch_dependence(health())


def test_scales_far_apart_lose_8_bit_weights() -> None:
    (verdict,) = scale_range(health(gamma=(200.0, *(1.0,) * (CHANNELS - 1)), running_var=(0.1,) * CHANNELS))
    assert "up to 200 times" in verdict.text
    assert not scale_range(health())


@pytest.mark.parametrize(
    ("difference", "agreement", "level"), [(1e-5, 1.0, "good"), (0.5, 1.0, "note"), (0.5, 0.9, "warning")]
)
def test_folding_is_good_where_the_answers_stay(difference: float, agreement: float, level: str) -> None:
    check = FoldingCheck(("norm",), (), 64, difference, 10.0, agreement)
    (verdict,) = folding(replace(health(), folding=check))
    assert verdict.level == level
