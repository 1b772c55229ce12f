"""How far running statistics are from precise ones, step by step, and where they are worst."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archlab.analysis.deviation import between_ends, deviation, worst_channel
from archlab.analysis.verdicts.group import Group, condense
from archlab.analysis.verdicts.norms import running_statistics
from tests.analysis.recordings import CHANNELS, STEPS, healthy

NAN = float("nan")


@settings(deadline=None, max_examples=50)
@given(st.floats(-5, 5), st.floats(-2, 2), st.floats(-3, 3), st.integers(1, 4), st.integers(6, 40))
def test_a_straight_line_is_found_whatever_the_batches_are_off_by(
    start: float, slope: float, off: float, epochs: int, length: int
) -> None:
    rows = epochs * length + 1
    truth = (start + slope * np.arange(rows))[:, None]
    batches = truth + off
    batches[0] = NAN
    ends = [length * (epoch + 1) for epoch in range(epochs)]
    found = between_ends(batches, ends, truth[ends], range(rows))
    np.testing.assert_allclose(found[1:], truth[1:], atol=1e-9)
    np.testing.assert_allclose(found[0], truth[1], atol=1e-9)  # before any batch: as in the first


def test_what_the_batches_are_off_by_is_mixed_between_two_ends() -> None:
    batches = np.zeros((9, 1))
    batches[0] = NAN
    found = between_ends(batches, [4, 8], np.array([[1.0], [3.0]]), range(9))
    # up to the first end it is 1; between the ends 1 + 2 * (row - 4) / 4
    assert found[:, 0].tolist() == [1, 1, 1, 1, 1, 1.5, 2, 2.5, 3]


def test_gaps_of_batches_are_left_out_of_the_average() -> None:
    batches = np.array([[NAN], [1.0], [2.0], [NAN], [4.0], [5.0], [6.0], [7.0], [8.0]])
    found = between_ends(batches, [8], np.array([[8.0]]), range(9))  # one row on each side: 8 // 4 allows two
    assert found[3, 0] == pytest.approx((1 + 2 + 4 + 5) / 4)
    assert found[-1, 0] == 8


def test_deviations_are_what_evaluation_makes_of_a_channel() -> None:
    trained = healthy(epochs=2)
    assert trained.recording is not None
    path = "stem.norm"
    found = deviation(trained.run, trained.recording, path)
    assert found is not None
    held, precise = trained.recording.layers[path], trained.recording.population[path]
    for epoch in (0, 1):
        row = STEPS * (epoch + 1)
        variance = precise["variance"][epoch] + 1e-5
        np.testing.assert_allclose(found.ratio[row], np.log((held["running_var"][row] + 1e-5) / variance), rtol=1e-6)
        shift = (held["running_mean"][row] - precise["mean"][epoch]) / np.sqrt(variance)
        np.testing.assert_allclose(found.shift[row], shift, rtol=1e-6)
    assert found.ratio.shape == (2 * STEPS + 1, CHANNELS[path])
    some = deviation(trained.run, trained.recording, path, [0, 7, STEPS])
    assert some is not None
    np.testing.assert_array_equal(some.ratio, found.ratio[[0, 7, STEPS]])
    # a running variance of 1 before the first step, and a precise one that does not move but for the batches' noise
    np.testing.assert_allclose(found.ratio[0], -np.log(precise["variance"][0]), atol=0.25)


def test_without_precise_statistics_nothing_is_off_by_anything() -> None:
    trained = healthy(epochs=1)
    assert trained.recording is not None
    bare = replace(trained.recording, population={})
    assert deviation(trained.run, bare, "stem.norm") is None
    assert worst_channel(trained.run, bare) is None


@pytest.mark.parametrize("path", list(CHANNELS))
def test_the_worst_channel_is_that_of_the_layer_which_the_verdict_names(path: str) -> None:
    def spoilt(values: Any) -> Any:
        shift = np.zeros(values.shape[1])
        shift[: values.shape[1] // 2] = 1
        shift[1] = 5
        return values + shift

    trained = healthy().held(path, running_mean=spoilt)
    assert trained.recording is not None
    found = worst_channel(trained.run, trained.recording)
    assert found is not None
    assert (found.layer, found.channel) == (path, 1)
    assert (found.off, found.channels) == (CHANNELS[path] // 2, CHANNELS[path])
    deviation_of_mean = np.sqrt(trained.recording.population[path]["variance"][-1][1])
    assert found.shift == pytest.approx(5 / deviation_of_mean, rel=0.15)
    ends = {trained.run.key: condense(trained.run, trained.recording)}
    (verdict,) = running_statistics(Group("norm=batch", (trained.run,), ends))
    assert verdict.layer == path


def test_a_run_that_was_stopped_in_its_first_epoch_has_no_end() -> None:
    trained = healthy()
    assert trained.recording is not None
    assert condense(replace(trained.run, epochs=()), trained.recording) == ()
