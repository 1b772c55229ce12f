from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.answers import answer, tone, verdict_notes, verdict_text
from archlab.records import Comparison, Difference

PAIR = Difference(6, -0.2, -0.21, -0.19, 0.03, 0.5, metric="test_accuracy", baseline="a", variant="b")
COMPARISON = Comparison("lenet", "digits", (0, 1, 2, 3, 4, 5), (), (PAIR,), margin=0.01)


@pytest.mark.parametrize(
    ("changes", "text", "colour"),
    [
        ({"conclusion": "different"}, "b is 20.00 points lower in test accuracy than a (n = 6).", "bad"),
        ({"conclusion": "different", "mean": 0.2}, "b is 20.00 points higher in test accuracy than a (n = 6).", "good"),
        ({"conclusion": "equal"}, "b and a are equal in test accuracy within 1 point (n = 6).", ""),
        ({"conclusion": "unclear"}, "b and a can't be told apart yet in test accuracy (n = 6).", "changed"),
        ({"n": 1}, "One pair of runs can't tell b from a in test accuracy.", "changed"),
    ],
)
def test_one_pair(changes: dict[str, object], text: str, colour: str) -> None:
    found = answer(replace(COMPARISON, differences=(replace(PAIR, **changes),)))  # type: ignore[arg-type]
    assert found == (text, colour)
    assert len(found.text) <= 80


def test_a_smaller_loss_is_better() -> None:
    assert tone(replace(PAIR, metric="test_loss", conclusion="different")) == "good"


def test_many_pairs_are_counted_and_the_table_says_what_its_words_mean() -> None:
    pairs = (
        replace(PAIR, conclusion="different"),
        replace(PAIR, conclusion="equal"),
        replace(PAIR, conclusion="unclear", seeds_needed=14),
        replace(PAIR, conclusion="unclear", seeds_needed=None),
    )
    found = replace(COMPARISON, differences=pairs)
    text, colour = answer(found)
    assert text == "Test accuracy, 4 pairs: 1 differs, 1 equal within 1 point, 2 can't be told yet."
    assert (len(text) <= 80, colour) == (True, "changed")
    unclear = replace(COMPARISON, differences=pairs[2:])
    assert answer(unclear).text == "None of 2 pairs can be told apart yet in test accuracy."
    assert [verdict_text(one) for one in pairs] == ["lower", "equal", "can't tell yet", "can't tell yet"]
    assert verdict_notes(found) == [
        "equal: within 1 point.",
        "can't tell yet: about 14 to more than 1,000 seeds would, if means and spreads stay as they are.",
    ]
