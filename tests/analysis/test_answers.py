from __future__ import annotations

from dataclasses import replace

import pytest

from archlab.analysis.answers import answer, tone, verdict_notes, verdict_text
from archlab.analysis.headline import headline
from archlab.records import Comparison, Difference, Estimate, VariantResult

PAIR = Difference(6, -0.2, -0.21, -0.19, 0.03, 0.5, metric="test_accuracy", baseline="a", variant="b")
VARIANTS = tuple(
    VariantResult(name, {"test_accuracy": Estimate(6, mean, None, None)}, {"norm": norm})
    for name, norm, mean in (("a", "batch", 0.9), ("b", "none", 0.7))
)
COMPARISON = Comparison("lenet", "digits", (0, 1, 2, 3, 4, 5), VARIANTS, (PAIR,), margin=0.01)


@pytest.mark.parametrize(
    ("changes", "colour"),
    [
        ({"conclusion": "different"}, "bad"),
        ({"conclusion": "different", "mean": 0.2}, "good"),
        ({"conclusion": "equal"}, ""),
        ({"conclusion": "unclear"}, "changed"),
        ({"n": 1}, "changed"),
    ],
)
def test_one_pair_is_what_the_page_begins_with(changes: dict[str, object], colour: str) -> None:
    comparison = replace(COMPARISON, differences=(replace(PAIR, **changes),))  # type: ignore[arg-type]
    found = headline(comparison)
    assert found is not None
    assert answer(comparison) == (found.text, colour)


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
    assert text.endswith(" Of 4 paired differences: 1 different, 1 equal, 2 not settled yet.")
    assert colour == "bad"  # the sentence is about the one that differs, which is lower
    assert [verdict_text(one) for one in pairs] == ["lower", "equal", "can't tell yet", "can't tell yet"]
    assert verdict_notes(found) == [
        "equal: within 1 point.",
        "can't tell yet: about 14 to more than 1,000 seeds would, if means and spreads stay as they are.",
    ]
