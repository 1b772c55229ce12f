from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archlab.analysis import layers
from archlab.records import LayerSeries, Similarity

NAN = np.nan


@pytest.mark.parametrize(
    ("orders", "found"),
    [
        ([], ()),
        ([["a", "b"]], ("a", "b")),
        ([["conv", "relu"], ["conv", "norm", "relu"]], ("conv", "norm", "relu")),
        ([["conv", "norm", "relu"], ["conv", "relu"]], ("conv", "norm", "relu")),
        ([["b"], ["a", "b", "c"]], ("a", "b", "c")),
        ([["a", "x"], ["b", "y"]], ("b", "y", "a", "x")),
    ],
)
def test_layers_of_several_networks_are_in_one_order(orders: list[list[str]], found: tuple[str, ...]) -> None:
    assert layers.merged(orders) == found


@given(st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True), st.data())
def test_the_order_of_one_network_is_kept_by_those_that_lack_layers(names: list[str], data: st.DataObject) -> None:
    kept = [name for name in names if data.draw(st.booleans())]
    assert layers.merged([names, kept]) == tuple(names)
    assert [name for name in layers.merged([kept, names]) if name in kept] == kept
    assert set(layers.merged([kept, names])) == set(names)


@pytest.mark.parametrize(
    ("runs", "most", "shown"),
    [
        ([[0, 5, 10]], 4, (0, 5, 10)),
        ([range(0, 101, 10)], 5, (0, 20, 50, 80, 100)),  # places 0, 2.5, 5, 7.5, 10, the halves to the even one
        ([range(0, 101, 10), range(0, 61, 10)], 2, (0, 60, 100)),  # the last of each run
        ([[], [3]], 5, (3,)),
    ],
)
def test_looks_are_thinned_evenly(runs: list[Sequence[int]], most: int, shown: tuple[int, ...]) -> None:
    assert layers.shown_steps(runs, most) == shown


def series(names: Sequence[str], steps: Sequence[int], **quantities: object) -> LayerSeries:
    arrays = {name: np.array(values, dtype=np.float32) for name, values in quantities.items()}
    return LayerSeries(tuple(steps), tuple(names), arrays, images=256)


def test_a_run_s_numbers_stand_at_the_layers_and_steps_of_all() -> None:
    held = series(["conv", "head"], [0, 4], gradient_norm=[[1, 2], [3, 4]])
    found = layers.placed(held, "gradient_norm", ["conv", "norm", "head"], [0, 2, 4])
    np.testing.assert_array_equal(found, [[1, NAN, 3], [NAN, NAN, NAN], [2, NAN, 4]])
    for missing in (
        layers.placed(None, "gradient_norm", ["a"], [0, 1]),
        layers.placed(held, "shift", ["conv"], [0, 4]),
    ):
        np.testing.assert_array_equal(missing, [[NAN, NAN]])


def test_ratio_of_branch_and_skip() -> None:
    held = series(["block"], [0, 1, 2], branch_variance=[[1], [3], [2]], skip_variance=[[4], [2], [0]])
    np.testing.assert_array_equal(layers.branch_ratio(held, ["block"], [0, 1, 2]), [[0.25, 1.5, NAN]])


def test_what_a_logarithmic_axis_has_no_place_for() -> None:
    assert layers.unlogarithmic(np.array([[0, 1, NAN], [np.inf, 1e-30, 0]])) == 3


def similarity(last: object, images: int = 3) -> Similarity:
    rows = np.array(last, dtype=np.float32)
    names = tuple(f"layer_{place}" for place in range(len(rows)))
    return Similarity((0,), names, np.zeros((1, len(rows), len(rows)), dtype=np.float32), rows, images)


def test_alignment_of_two_networks() -> None:
    # Half of a row's squared norm is 0.5: with the entries below the diagonal a kernel has a norm of 1.
    half = 0.5**0.5
    one, other = similarity([[half, 0, 0], [0, 0.5, 0.5]]), similarity([[0, half, 0]])
    # 2 * 0.7071 * 0 = 0; 2 * 0.5 * 0.7071 = 0.7071
    np.testing.assert_allclose(layers.alignment_between(one, other), [[0], [half]], rtol=1e-6)
    np.testing.assert_allclose(layers.alignment_between(one, one), np.eye(2), rtol=1e-6)


def test_features_of_other_images_are_not_comparable() -> None:
    one = similarity([[1, 0, 0]])
    assert layers.comparable(one, one)
    assert not layers.comparable(one, similarity([[1, 0, 0]], images=4))
    assert not layers.comparable(one, similarity([[1, 0, 0, 0, 0, 0]]))
