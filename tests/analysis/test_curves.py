"""Bands, thinning that keeps extremes, distributions, lag and replayed averages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.analysis import curves


def test_band_is_the_mean_and_student_s_interval() -> None:
    found = curves.band(np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]))
    half = 4.302653 * 1.0 / 3**0.5  # t for 2 degrees of freedom, sd 1, n 3
    assert found.n == 3
    assert found.mean.tolist() == [2.0, 5.0]
    assert found.low == pytest.approx([2.0 - half, 5.0])
    assert found.high == pytest.approx([2.0 + half, 5.0])


def test_band_of_one_run_has_no_width() -> None:
    found = curves.band(np.array([[1.0, np.nan]]))
    assert found.n == 1
    assert found.low[0] == found.mean[0] == found.high[0] == 1.0


def test_band_leaves_out_what_a_broken_run_did_not_reach() -> None:
    found = curves.band(np.array([[1.0, 2.0, np.nan], [3.0, np.nan, np.nan]]))
    assert found.mean[:2].tolist() == [2.0, 2.0]
    assert np.isnan(found.mean[2])
    assert np.isnan(found.low[1])
    assert np.isfinite(found.low[0])


def test_band_is_cut_where_no_value_can_be() -> None:
    found = curves.band(np.array([[0.99, 0.1, np.nan], [0.95, 0.3, np.nan]]), 0.0, 1.0)
    # t for 1 degree of freedom is 12.7: 0.97 +- 0.25 and 0.2 +- 1.27
    assert found.low[:2] == pytest.approx([0.97 - 12.7062 * 0.02, 0.0], abs=1e-5)
    assert found.high[:2].tolist() == [1.0, 1.0]
    assert np.isnan(found.high[2])


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ([[1.0, 2.0], [1.0, 2.0]], (2, 2)),
        ([[1.0, 2.0], [1.0, np.nan]], (1, 2)),
        ([[np.nan], [np.nan]], (0, 0)),
        ([[], []], (0, 0)),
    ],
)
def test_runs_are_counted_step_by_step(values: list[list[float]], counts: tuple[int, int]) -> None:
    assert curves.run_counts(np.array(values)) == counts


@pytest.mark.parametrize(
    ("known", "values", "expected"),
    [
        ([0, 6, 12], [0, 1, 2], [0.0, 0.5, 1.0, 2.0, 2.5]),  # 6 steps per epoch: step 15 is half an epoch beyond
        ([0, 6], [0.0, 3.0], [0.0, 1.5, 3.0, 6.0, 7.5]),
        ([0, 6, 12], [0.0, 5.0, 6.0], [0.0, 2.5, 5.0, 6.0, 7.5]),  # 6 seconds for 12 steps: 3 more take 1.5
        ([0], [0.0], [np.nan] * 5),
    ],
)
def test_values_go_on_at_the_pace_so_far(known: list[int], values: list[float], expected: list[float]) -> None:
    found = curves.extended(np.array([0, 3, 6, 12, 15]), np.array(known), np.array(values))
    np.testing.assert_allclose(found, expected)


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=120),
    points=st.integers(4, 40),
)
def test_thinning_keeps_ends_and_extremes_at_rising_steps(values: list[float], points: int) -> None:
    given_values = np.array(values)
    steps = np.arange(len(values))
    found, at = curves.thinned(given_values, points), curves.thinned_steps(steps, points)
    assert len(found) == len(at) <= max(points, 4)
    assert (found[0], found[-1]) == (values[0], values[-1])
    assert (found.min(), found.max()) == (min(values), max(values))
    assert (np.diff(at) > 0).all()
    assert (at[0], at[-1]) == (0, len(values) - 1)


def test_thinning_treats_columns_by_themselves_and_keeps_their_order() -> None:
    values = np.zeros((100, 2))
    values[40, 0], values[41, 0] = 5.0, -5.0
    values[70, 1] = 9.0
    found = curves.thinned(values, 10)
    assert found.shape == (10, 2)
    first = found[:, 0].tolist()
    assert first.index(5.0) < first.index(-5.0)
    assert found[:, 1].max() == 9.0


def test_thinning_keeps_a_gap_from_hiding_an_extreme() -> None:
    values = np.arange(50.0)
    values[[10, 30]] = np.nan
    assert np.nanmax(curves.thinned(values, 8)) == 49.0
    assert np.isfinite(curves.thinned(values, 8)).all()


def test_spread_is_the_percentiles_over_channels() -> None:
    found = curves.spread(np.array([[0.0, 10.0, 20.0, 30.0, 40.0]]))
    assert {name: row[0] for name, row in found.items()} == pytest.approx(
        {"p0": 0, "p5": 2, "p25": 10, "p50": 20, "p75": 30, "p95": 38, "p100": 40}
    )


def test_spread_of_infinite_channels_warns_of_nothing() -> None:
    found = curves.spread(np.array([[0.0, 10.0, np.inf], [np.inf, np.inf, np.inf]]))
    assert found["p0"][0] == 0


def test_lag_counts_standard_deviations_and_log_ratios() -> None:
    mean = curves.mean_lag(np.array([[1.0, 4.0]]), np.array([[0.0, 0.0]]), np.array([[1.0, 4.0]]))
    assert mean.tolist() == [1.5]  # (1 / 1 + 4 / 2) / 2
    variance = curves.variance_lag(np.array([[np.e, 1.0]]), np.array([[1.0, 1.0]]))
    assert variance == pytest.approx([0.5])  # (1 + 0) / 2


def test_replaying_the_recorded_momentum_gives_the_recorded_average() -> None:
    random = np.random.default_rng(0)
    batches = random.normal(size=(30, 4))
    running = np.ones(4)
    for batch in batches:
        running = 0.9 * running + 0.1 * batch
    found = curves.replayed(np.ones(4), batches, (0.1, 1.0))
    assert found[0] == pytest.approx(running)
    assert found[1] == pytest.approx(batches[-1])  # all the weight on the last batch
