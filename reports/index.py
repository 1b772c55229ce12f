"""The index of a store: one card a comparison, with a thumbnail, that links its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from archlab.records import Comparison, Run
from archlab.reports.document import document
from archlab.reports.material import Experiment, gather
from archlab.reports.section import Section, render
from archlab.reports.sections.summary import moment

WIDTH, HEIGHT = 260, 96
"""Of a thumbnail, in its own units."""


@dataclass(frozen=True)
class Line:
    """One variant's curve in a thumbnail."""

    color: int
    points: str
    """SVG coordinates."""


@dataclass(frozen=True)
class Card:
    """One report as the index shows it."""

    title: str
    link: str
    made: str
    runs: int
    variants: tuple[str, ...]
    finding: str
    lines: tuple[Line, ...]
    picture: str
    """The thumbnail in words."""


def index(comparisons: Sequence[tuple[Comparison, str]], runs: Sequence[Run], loose: str = "", title: str = "") -> str:
    """The HTML of an index page, the newest report first.

    Args:
        comparisons: each with the address of its report, relative to the index.
        runs: all runs of the store, for the thumbnails.
        loose: address of the report on the runs that are in no comparison; empty where there are none.
        title: of the page.
    """
    known = {run.key: run for run in runs}
    cards = [_card(comparison, link, known) for comparison, link in comparisons]
    claimed = {key for comparison, _ in comparisons for key in comparison.runs}
    if loose:
        others = [run for run in runs if run.key not in claimed]
        cards += _loose_cards(others, loose)
    body = render("index.html", cards=cards, width=WIDTH, height=HEIGHT)
    sections = [Section("reports", "Reports", body)]
    return document(title or "Reports", sections, '{"panels":{},"tables":{},"pool":[]}', with_plotly=False)


def _card(comparison: Comparison, link: str, known: Mapping[str, Run]) -> Card:
    held = [known[key] for key in comparison.runs if key in known]
    experiment = gather([comparison, *held]).experiments[0]
    lines, picture = _thumbnail(experiment)
    return Card(
        title=experiment.title,
        link=link,
        made=moment(comparison.created),
        runs=len(comparison.runs),
        variants=tuple(variant.name for variant in comparison.variants),
        finding=comparison.findings[0] if comparison.findings else "",
        lines=lines,
        picture=picture,
    )


def _loose_cards(runs: Sequence[Run], link: str) -> list[Card]:
    cards = []
    for experiment in gather(runs).experiments:
        lines, picture = _thumbnail(experiment)
        made = moment(max(run.created for run in experiment.runs))
        names = tuple(experiment.variants)
        finding = "Runs that are in no comparison."
        cards.append(Card(experiment.title, link, made, len(experiment.runs), names, finding, lines, picture))
    return cards


def _thumbnail(experiment: Experiment) -> tuple[tuple[Line, ...], str]:
    """The mean test accuracy of each variant over the epochs, and the same in words."""
    curves = {name: _mean_accuracy(runs) for name, runs in experiment.variants.items()}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return (), "No run has ended an epoch."
    values = [value for curve in curves.values() for value in curve]
    low, high = min(values), max(values)
    longest = max(len(curve) for curve in curves.values())
    lines = tuple(
        Line(index % 8, _points(curves[name], longest, low, high))
        for index, name in enumerate(experiment.variants)
        if name in curves
    )
    ends = "; ".join(f"{name} {100 * curve[-1]:.1f} %" for name, curve in curves.items())
    return lines, f"Test accuracy by epoch, at the end: {ends}."


def _mean_accuracy(runs: Sequence[Run]) -> list[float]:
    """By epoch, over the runs that got there."""
    from statistics import fmean

    longest = max((len(run.epochs) for run in runs), default=0)
    return [fmean(run.epochs[at].test_accuracy for run in runs if len(run.epochs) > at) for at in range(longest)]


def _points(curve: Sequence[float], longest: int, low: float, high: float) -> str:
    margin = 8
    across, up = (WIDTH - 2 * margin) / max(1, longest - 1), (HEIGHT - 2 * margin) / ((high - low) or 1)
    pairs = [(margin + across * at, HEIGHT - margin - up * (value - low)) for at, value in enumerate(curve)]
    if len(pairs) == 1:  # a single epoch is drawn as a level
        pairs.append((WIDTH - margin, pairs[0][1]))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)
