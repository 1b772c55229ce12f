from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archlab.analysis import probing
from archlab.records import Landscape, Smoothness

NAN, INF = math.nan, math.inf


def probed(
    changes: Sequence[Sequence[float]], gradient: Sequence[float] | None = None, steps: Sequence[int] | None = None
) -> Smoothness:
    """Rates 0.5 and 2; a gradient of norm 2, so that they move the weights by 1 and 4."""
    values = np.array(changes, dtype=np.float32)
    norms = np.full(len(values), 2.0) if gradient is None else np.array(gradient)
    return Smoothness(
        tuple(steps or range(len(values))), np.array([0.5, 2.0]), norms, norms, values, values, images=256
    )


@pytest.mark.parametrize(
    ("changes", "gradient", "beta"),
    [
        ([3, 4], 2, 3),  # 3 / 1, 4 / 4
        ([3, 16], 2, 4),
        ([3, INF], 2, 3),
        ([NAN, 16], 2, 4),
        ([NAN, INF], 2, NAN),
        ([0, 0], 2, 0),
        ([0, 0], 0, NAN),
        ([1, 1], NAN, NAN),
    ],
)
def test_effective_smoothness_is_the_largest_finite_ratio(changes: list[float], gradient: float, beta: float) -> None:
    np.testing.assert_array_equal(probing.effective_smoothness(probed([changes], [gradient])), [beta])


def test_extent_and_what_it_leaves_out() -> None:
    values = np.array([[1, 3, 2], [INF, 5, NAN], [NAN, INF, -INF]])
    low, high = probing.extent(values)
    np.testing.assert_array_equal(low, [1, 5, NAN])
    np.testing.assert_array_equal(high, [3, 5, NAN])
    assert probing.unbounded(values) == 5


def test_band_of_several_runs_is_about_their_geometric_mean() -> None:
    runs = [probed([[1, 0], [2, 0], [5, 0]], steps=(0, 4, 8)), probed([[4, 0], [8, 0]], steps=(0, 4))]
    steps, band = probing.smoothness_band(runs)
    assert steps.tolist() == [0, 4, 8]
    assert band.n == 2
    np.testing.assert_allclose(band.mean, [2, 4, 5])  # of 1 and 4, of 2 and 8, of 5 alone
    # The logarithms are ln 2 apart from their mean: sd sqrt(2) ln 2, of the mean ln 2; Student's t for one is 12.706.
    factor = 2**12.7062
    np.testing.assert_allclose(band.low, [2 / factor, 4 / factor, NAN], rtol=1e-4)
    np.testing.assert_allclose(band.high, [2 * factor, 4 * factor, NAN], rtol=1e-4)


def test_band_of_one_run_is_the_run() -> None:
    steps, band = probing.smoothness_band([probed([[1, 0], [NAN, NAN]], steps=(3, 6))])
    assert (steps.tolist(), band.n) == ([3, 6], 1)
    for values in (band.low, band.mean, band.high):
        np.testing.assert_allclose(values, [1, NAN])


def test_heights_are_logarithms() -> None:
    losses = np.array([[1, 10, 0], [INF, NAN, 0.1], [100, 1e-9, 1]], dtype=np.float32)
    found = probing.heights(Landscape(np.array([-1, 0, 1]), losses, images=256))
    np.testing.assert_allclose(found, np.array([[0, 1, -6], [NAN, NAN, -1], [2, -6, 0]]), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1.6, 2.5], [1.6, 1.8, 2, 2.2, 2.4]),
        ([0.3, 4], [0.5, 1, 2]),
        ([0.5, 4], [1, 2, 3, 4]),
        ([0.1, 20], [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]),
        ([0.001, 100_000, INF, NAN], [0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000, 100_000]),
        ([2, 2], [1, 2, 3, 4, 5, 6]),
        ([NAN], [0.1, 0.2, 0.5, 1, 2, 5, 10]),
    ],
)
def test_ticks_are_round_numbers_between_both_ends(values: list[float], ticks: list[float]) -> None:
    found = probing.log_scale([np.array(values)])
    assert list(found.ticks) == pytest.approx(ticks)
    assert list(found.ticks.values()) == pytest.approx([math.log10(tick) for tick in ticks])


POSITIVE = st.floats(1e-5, 1e12)


@given(st.lists(POSITIVE, min_size=1, max_size=5), st.floats(0, 1))
def test_span_holds_every_number_and_some_ticks(values: list[float], room: float) -> None:
    found = probing.log_scale([np.array(values)], room)
    assert found.start < found.end
    assert found.start <= math.log10(min(values)) + 1e-9
    assert found.end >= math.log10(max(values)) - 1e-9
    assert found.level * probing.COLOUR_STEPS == pytest.approx(found.end - found.start)
    assert 2 <= len(found.ticks) <= 20
    assert all(found.start <= place <= found.end for place in found.ticks.values())
