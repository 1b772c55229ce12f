"""A comparison's answer for a terminal: its sentence, how it is coloured, and the words of a short table."""

from __future__ import annotations

from typing import Literal, NamedTuple

from archlab.analysis.findings import margin_text
from archlab.analysis.headline import headline
from archlab.analysis.metrics import BY_NAME, SHARE
from archlab.records import Comparison, Difference

Tone = Literal["good", "bad", "changed", "dim", ""]


class Answer(NamedTuple):
    """A sentence, and how it is coloured: a variant that is better, worse, or can't be told from the baseline."""

    text: str
    tone: Tone


def answer(comparison: Comparison) -> Answer:
    """The answer of a comparison: what its page begins with.

    >>> from archlab.records import Comparison
    >>> answer(Comparison("lenet", "digits", (0,), (), ())).text
    'No pair of runs came to its end, so that nothing can be said of test accuracy.'
    """
    found = headline(comparison)
    if found is None:
        title = BY_NAME[comparison.metric].title
        return Answer(f"No pair of runs came to its end, so that nothing can be said of {title}.", "bad")
    text = " ".join(filter(None, (found.text, found.more)))
    if found.about is not None:
        return Answer(text, tone(found.about))
    is_equal = all(one.conclusion == "equal" for one in comparison.differences if one.metric == comparison.metric)
    return Answer(text, "good" if is_equal else "changed")


def tone(difference: Difference) -> Tone:
    """How a difference is coloured: by whether the variant is better, where that is settled."""
    if difference.conclusion == "different":
        is_share = BY_NAME[difference.metric].unit is SHARE  # losses, times and steps are better where they are smaller
        return "good" if (difference.mean > 0) is is_share else "bad"
    return "" if difference.conclusion == "equal" else "changed"


def verdict_text(difference: Difference) -> str:
    """What is claimed of a difference, in a table's cell: `higher`, `lower`, `equal` or `can't tell yet`."""
    if difference.conclusion == "different":
        return "higher" if difference.mean > 0 else "lower"
    return "equal" if difference.conclusion == "equal" else "can't tell yet"


def verdict_notes(comparison: Comparison) -> list[str]:
    """What the words of `verdict_text` mean here: within which margin, and how many seeds would tell."""
    asked = [one for one in comparison.differences if one.metric == comparison.metric] + [*comparison.interactions]
    notes = []
    if any(one.conclusion == "equal" for one in asked):
        notes.append(f"equal: within {margin_text(comparison)}.")
    unclear = [one for one in asked if one.conclusion in ("", "unclear") and one.n > 1]
    needed = sorted(1_001 if one.seeds_needed is None else one.seeds_needed for one in unclear)
    if needed:
        few, many = (f"{count:,}" if count <= 1_000 else "more than 1,000" for count in (needed[0], needed[-1]))
        seeds = few if few == many else f"{few} to {many}"
        notes.append(f"can't tell yet: about {seeds} seeds would, if means and spreads stay as they are.")
    return notes
