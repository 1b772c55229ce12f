"""What a comparison found in its primary metric, in one short sentence; `findings.py` has all that carries it."""

from __future__ import annotations

from collections import Counter
from typing import Literal, NamedTuple

from archlab.analysis.findings import margin_text
from archlab.analysis.metrics import BY_NAME, SHARE
from archlab.records import Comparison, Difference

Tone = Literal["good", "bad", "changed", "dim", ""]


class Answer(NamedTuple):
    """A sentence, and how it is coloured: a variant that is better, worse, or can't be told from the baseline."""

    text: str
    tone: Tone


def answer(comparison: Comparison) -> Answer:
    """The answer of a comparison: of one pair by how much it differs, of several how many do.

    >>> from archlab.records import Comparison
    >>> answer(Comparison("lenet", "digits", (0,), (), ())).text
    'No pair of runs came to its end, so that nothing can be said of test accuracy.'
    """
    title = BY_NAME[comparison.metric].title
    asked = [difference for difference in comparison.differences if difference.metric == comparison.metric]
    if not asked:
        return Answer(f"No pair of runs came to its end, so that nothing can be said of {title}.", "bad")
    if len(asked) == 1:
        return Answer(_sentence(asked[0], comparison), tone(asked[0]))
    if all(difference.conclusion in ("", "unclear") for difference in asked):
        return Answer(f"None of {len(asked)} pairs can be told apart yet in {title}.", "changed")
    counts = Counter(difference.conclusion for difference in asked)
    said = {
        "different": f"{counts['different']} {'differs' if counts['different'] == 1 else 'differ'}",
        "equal": f"{counts['equal']} equal within {margin_text(comparison)}",
        "unclear": f"{counts['unclear'] + counts['']} can't be told yet",
    }
    parts = [text for text in said.values() if not text.startswith("0 ")]
    colour: Tone = "good" if len(parts) == 1 and counts["equal"] else "changed"
    return Answer(f"{title[0].upper()}{title[1:]}, {len(asked)} pairs: {', '.join(parts)}.", colour)


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


def _sentence(difference: Difference, comparison: Comparison) -> str:
    metric = BY_NAME[difference.metric]
    variant, baseline = difference.variant, difference.baseline
    if difference.n < 2:
        return f"One pair of runs can't tell {variant} from {baseline} in {metric.title}."
    if difference.conclusion == "different":
        amount = metric.difference(abs(difference.mean)).removeprefix("+")
        side = "higher" if difference.mean > 0 else "lower"
        return f"{variant} is {amount} {side} in {metric.title} than {baseline} (n = {difference.n})."
    if difference.conclusion == "equal":
        within = margin_text(comparison)
        return f"{variant} and {baseline} are equal in {metric.title} within {within} (n = {difference.n})."
    return f"{variant} and {baseline} can't be told apart yet in {metric.title} (n = {difference.n})."
