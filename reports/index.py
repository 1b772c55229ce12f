"""The index of a store: one card per comparison, with a thumbnail, that links its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archlab.analysis.chance import chance_of
from archlab.analysis.curves import band, stacked
from archlab.analysis.headline import headline
from archlab.analysis.metrics import BY_NAME
from archlab.analysis.wording import counted
from archlab.records import Comparison, Run
from archlab.reports.document import document, subject
from archlab.reports.material import Experiment, Material, gather
from archlab.reports.templating import Section, render
from archlab.reports.text import moment
from archlab.tables.sparkline import polylines

WIDTH, HEIGHT = 260, 96
"""Of a thumbnail, in its own units."""


@dataclass(frozen=True)
class Curve:
    """One variant's curve in a thumbnail, or chance."""

    color: int | None
    """Its place among the colours; None for chance."""
    points: str
    """SVG coordinates."""


@dataclass(frozen=True)
class Card:
    """One report as the index shows it."""

    title: str
    link: str
    made: str
    runs: int
    variants: tuple[tuple[str, int], ...]
    """Each with its place among the colours."""
    finding: str
    lines: tuple[Curve, ...]
    caption: str
    """What the thumbnail shows, and between which values."""
    picture: str
    """The thumbnail in words."""


def index(comparisons: Sequence[tuple[Comparison, str]], runs: Sequence[Run], loose: str = "", title: str = "") -> str:
    """The HTML of an index page, in the order of the comparisons.

    Args:
        comparisons: each with the address of its report, relative to the index.
        runs: all runs of the store, for the thumbnails.
        loose: address of the report on the runs that are in no comparison; empty where there are none.
        title: of the page.
    """
    known = {run.key: run for run in runs}
    cards = [
        comparison_card(comparison, link, [known[key] for key in comparison.runs if key in known])
        for comparison, link in comparisons
    ]
    claimed = {key for comparison, _ in comparisons for key in comparison.runs}
    others = [run for run in runs if run.key not in claimed] if loose else []
    return index_page([*cards, *loose_cards(others, loose)], len(comparisons), len(others), title)


def index_page(cards: Sequence[Card], comparisons: int, others: int, title: str) -> str:
    """The HTML of an index page that shows these cards.

    Args:
        cards: in their order.
        comparisons: how many there are.
        others: runs in no comparison.
        title: of the page; empty for "Reports".
    """
    counts = [counted(comparisons, "comparison")] if comparisons else []
    counts += [counted(others, "other run" if comparisons else "run")] if others else []
    body = render("index.html", cards=cards, width=WIDTH, height=HEIGHT)
    sections = [Section("reports", " and ".join(counts), body)]
    return document(title or "Reports", sections, '{"panels":{},"tables":{},"pool":[]}', with_plotly=False)


def comparison_card(comparison: Comparison, link: str, runs: Sequence[Run]) -> Card:
    """The card of a comparison, with those of its runs that are there, which its thumbnail shows."""
    told = headline(comparison)
    finding = told.text if told else next(iter(comparison.findings), "")
    experiment = gather([comparison, *runs]).experiments[0]
    return _card(experiment, link, comparison.created, len(comparison.runs), finding)


def loose_cards(runs: Sequence[Run], link: str, finding: str = "Runs that are in no comparison.") -> list[Card]:
    """The cards of a page on runs that are in no comparison: one for each network and data set."""
    return [
        _card(experiment, link, max(run.created for run in experiment.runs), len(experiment.runs), finding)
        for experiment in gather(runs).experiments
    ]


def _card(experiment: Experiment, link: str, made: str, runs: int, finding: str) -> Card:
    lines, caption, picture = _thumbnail(experiment)
    title, variants = (
        subject(Material((), (experiment,))),
        tuple((name, experiment.places[name]) for name in experiment.variants),
    )
    return Card(title, link, moment(made), runs, variants, finding, lines, caption, picture)


def _thumbnail(experiment: Experiment) -> tuple[tuple[Curve, ...], str, str]:
    """The mean test accuracy of each variant over the epochs, what that is, and the same in words."""
    curves = {name: _mean_accuracy(runs) for name, runs in experiment.variants.items()}
    curves = {name: curve for name, curve in curves.items() if curve}
    if not curves:
        return (), "", "No run has ended an epoch."
    chance = chance_of(run.config for run in experiment.runs)
    guessed = [] if chance is None else [chance]
    values = [value for curve in curves.values() for value in curve]
    written = BY_NAME["test_accuracy"].written
    low, high, longest = min(values + guessed), max(values + guessed), max(map(len, curves.values()))
    drawn: list[tuple[int | None, list[float]]] = [(None, guessed)] if guessed else []
    drawn += [(experiment.places[name], curves[name]) for name in experiment.variants if name in curves]
    lines = tuple(
        Curve(color, points)
        for color, curve in drawn
        for points in polylines(curve, low, high, longest, (WIDTH, HEIGHT))
    )
    ends = "; ".join(f"{name} {written(curve[-1])}" for name, curve in curves.items())
    least, most = written(min(values)), written(max(values))
    caption = "Test accuracy by epoch, " + (f"{least} to {most}" if least != most else least)
    caption += f"; dotted: chance, {written(guessed[0])}" if guessed else ""
    return lines, caption, f"Test accuracy by epoch, at the end: {ends}."


def _mean_accuracy(runs: Sequence[Run]) -> list[float]:
    """By epoch, over the runs that got there."""
    means: list[float] = band(stacked([[epoch.test_accuracy for epoch in run.epochs] for run in runs])).mean.tolist()
    return means
