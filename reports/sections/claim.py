"""A named experiment's claim: the verdict, what was expected and found, what is published, and the protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archlab.analysis.expectations import Wording, verdict_sentence, worded
from archlab.analysis.wording import range_text
from archlab.records.experiment import ExperimentResult, Outcome
from archlab.reports.templating import Section, render

MARKS: Mapping[str, str] = {
    "comes out": "good",
    "holds": "good",
    "does not": "problem",
    "fails": "problem",
    "can't tell": "note",
    "open": "note",
}
"""A verdict, or what came of an expectation -> the level whose icon and colour it has."""


@dataclass(frozen=True)
class Told:
    """One experiment as the page tells it."""

    result: ExperimentResult
    sentence: str
    rows: tuple[tuple[Outcome, Wording], ...]
    pairs: str


def claim_section(results: Sequence[ExperimentResult]) -> Section:
    """The claims of the experiments on a page."""
    told = [_told(result) for result in results]
    return Section("claim", "Claim and verdict", render("claim.html", results=told, MARKS=MARKS))


def _told(result: ExperimentResult) -> Told:
    pairs = [outcome.difference.n if outcome.difference else 0 for outcome in result.outcomes]
    return Told(
        result=result,
        sentence=verdict_sentence(result.outcomes),
        rows=tuple((outcome, worded(outcome)) for outcome in result.outcomes),
        pairs=range_text(pairs, "d"),
    )
