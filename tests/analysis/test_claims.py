from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archlab.analysis.claims import holm, judged, seeds_needed
from archlab.analysis.comparison import summarise
from archlab.analysis.statistics import paired_difference
from archlab.errors import InputError
from archlab.records import Difference
from tests.analysis.runs import pair, run

SAME = [0.90, 0.92, 0.91, 0.93, 0.90, 0.91]
LOWER = [0.80, 0.83, 0.84, 0.82, 0.81, 0.83]


@pytest.mark.parametrize(
    ("raw", "adjusted"),
    [
        ([], []),
        ([0.04], [0.04]),
        ([0.01, 0.02], [0.02, 0.02]),
        # 3 x .01, 2 x .02, then .02 again would fall, so it stays at .04
        ([0.02, 0.01, 0.02], [0.04, 0.03, 0.04]),
        ([0.5, 0.6], [1.0, 1.0]),
    ],
)
def test_holms_adjustment(raw: list[float], adjusted: list[float]) -> None:
    assert holm(raw) == pytest.approx(adjusted)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_adjusted_p_values_keep_their_order_and_lie_between_raw_and_bonferroni(raw: list[float]) -> None:
    found = holm(raw)
    assert all(one <= two <= min(1, len(raw) * one) + 1e-12 for one, two in zip(raw, found, strict=True))
    ordered = [found[place] for place in sorted(range(len(raw)), key=raw.__getitem__)]
    assert ordered == sorted(ordered)


def test_many_variants_raise_the_bar_for_each() -> None:
    # t = 3.2 with 5 degrees of freedom: p = .024, which is enough alone and not among three.
    values = [0.01, 0.03, 0.005, 0.02, 0.04, -0.002]
    one = replace(paired_difference([0.5] * 6, [0.5 + value for value in values]), metric="test_accuracy", variant="a")
    ((alone,), _) = judged([one], [], "test_accuracy", 0.01)
    assert alone.conclusion == "different"
    assert alone.adjusted_p_value == alone.interval_p_value
    nothing = replace(paired_difference([0.5] * 6, [0.51, 0.49] * 3), metric="test_accuracy")
    others = [replace(nothing, variant=name) for name in ("b", "c")]
    (found, _) = judged([one, *others], [], "test_accuracy", 0.01)
    assert found[0].conclusion == "unclear"
    assert found[0].adjusted_p_value == pytest.approx(3 * (one.interval_p_value or 0))


def starred(metric: str = "test_accuracy") -> set[str]:
    """The metrics with a claim, in a comparison whose accuracies and losses differ, and whose times do too."""
    runs = [
        *(run("norm=batch", seed, value / 2, value, loss=0.5 + seed / 100) for seed, value in enumerate(SAME)),
        *(run("norm=none", seed, value / 2, value, loss=0.9 + seed / 99) for seed, value in enumerate(LOWER)),
    ]
    slow = [
        replace(one, epochs=tuple(replace(epoch, seconds=9 * epoch.seconds) for epoch in one.epochs))
        for one in runs[6:]
    ]
    found = summarise([*runs[:6], *slow], metric=metric)
    return {difference.metric for difference in found.differences if difference.conclusion == "different"}


def test_other_metrics_are_claimed_where_the_primary_one_differs_and_training_time_never() -> None:
    assert starred() == {"test_accuracy", "test_accuracy_first_epoch", "train_accuracy", "test_loss", "train_loss"}


def test_nothing_is_claimed_where_the_primary_metric_does_not_differ() -> None:
    runs = pair(SAME, SAME)
    shifted = [
        replace(one, epochs=(*one.epochs[:-1], replace(one.epochs[-1], train_loss=2.0 + one.config.seed / 50)))
        for one in runs
        if one.config.variant == "norm=none"
    ]
    found = summarise([one for one in runs if one.config.variant == "norm=batch"] + shifted)
    (loss,) = (difference for difference in found.differences if difference.metric == "train_loss")
    assert loss.interval_p_value is not None
    assert loss.interval_p_value < 0.001
    assert (loss.conclusion, loss.adjusted_p_value) == ("", None)


@pytest.mark.parametrize(
    ("mean", "sd", "margin", "family", "seeds"),
    [
        # d = 1: 80 % power at two-sided 5 % takes 10 pairs (Cohen 1988, table 2.4.1); for a twentieth of the level, 20
        (1.0, 1.0, None, 1, 10),
        (1.0, 1.0, None, 20, 20),
        # no difference, a margin of one half sd: t * sd / sqrt(n) <= .5, 2.1098 / sqrt(18) = .4973
        (0.0, 1.0, 0.5, 1, 18),
        (0.0, 1.0, None, 1, None),
    ],
)
def test_so_many_seeds_would_tell(mean: float, sd: float, margin: float | None, family: int, seeds: int | None) -> None:
    values = mean + sd * np.array([-1.0, 1.0, -1.0, 1.0]) * np.sqrt(3 / 4)  # sample sd 1
    assert seeds_needed(Difference(4, mean, None, None, None, None, values=tuple(values)), margin, family) == seeds


@pytest.mark.parametrize("metric", ["seconds", "accuracy"])
def test_what_nothing_is_claimed_of_can_not_be_the_primary_metric(metric: str) -> None:
    with pytest.raises(InputError, match="the primary metric is '" + metric):
        summarise(pair(SAME, LOWER), metric=metric)


@pytest.mark.parametrize("margin", [0, -1, float("nan"), float("inf")])
def test_a_margin_is_above_zero(margin: float) -> None:
    with pytest.raises(InputError, match="the margin is"):
        summarise(pair(SAME, LOWER), margin=margin)


def test_nothing_is_claimed_of_like_variants_more_often_than_it_may_be() -> None:
    random = np.random.default_rng(1)
    count = 150
    false = 0
    for _ in range(count):
        values = 0.8 + random.normal(0, 0.02, (4, 6))
        found = summarise([run(f"depth={k}", seed, values[k, seed]) for k in range(4) for seed in range(6)])
        false += any(difference.conclusion == "different" for difference in found.differences)
    # At most 5 %, with three standard errors of a simulation of this length.
    assert false / count <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)
