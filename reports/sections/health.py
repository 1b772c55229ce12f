"""The doctor's page: what was found first, for each finding its picture, then the worst layers and all of them."""

from __future__ import annotations

from collections.abc import Sequence

from archlab.records import NormHealth, Verdict
from archlab.records.verdict import LEVELS
from archlab.reports.charts.health import finding_panel, layers_panel
from archlab.reports.sections.verdicts import TITLES
from archlab.reports.templating import Section, render
from archlab.reports.text import slug
from archlab.tables.norm_health import TITLES as STATISTICS
from archlab.tables.norm_health import health_tables, loaded_sentence
from archlab.tables.table import written_rows


def health_sections(healths: Sequence[NormHealth]) -> list[Section]:
    """One section per network, with a part per finding."""
    taken: list[str] = []
    sections = []
    for health in healths:
        taken.append(slug(f"health-{health.network}", taken))
        sections.append(_section(health, taken[-1]))
    return sections


def _section(health: NormHealth, anchor: str) -> Section:
    bad = [verdict for verdict in health.verdicts if verdict.level != "good"]
    good = [verdict for verdict in health.verdicts if verdict.level == "good"]
    parts: list[Section] = []
    links: dict[Verdict, str] = {}
    for verdict in bad:
        name = slug(f"{anchor}-{verdict.check}", [part.anchor for part in parts])
        parts.append(_finding(health, verdict, name))
        links[verdict] = name
    layers = layers_panel(health, f"{anchor}-layers")
    tables = [(table, written_rows(table)) for table in health_tables(health)]
    parts.append(
        Section(f"{anchor}-layers", "Layers", render("health-layers.html", tables=tables, panel=layers), (layers,))
    )
    body = render(
        "health.html",
        health=health,
        groups=[(level, TITLES[level], [one for one in bad if one.level == level]) for level in LEVELS],
        links=links,
        good=good,
        worst=bad[0] if bad and bad[0].level in LEVELS[:2] else None,
        names=STATISTICS,
        headline=_headline(bad[0].text) if bad else "",
        loaded=loaded_sentence(health.weights) if health.weights else "",
    )
    return Section(anchor, f"BatchNorm of {health.network}", body, parts=tuple(parts))


def _headline(text: str) -> str:
    """The beginning of a verdict, up to its first colon or the end of its first sentence."""
    first = text.split(". ", 1)[0].removesuffix(".")
    return first.split(": ", 1)[0] + "."


def _finding(health: NormHealth, verdict: Verdict, anchor: str) -> Section:
    panel = finding_panel(health, verdict.check, verdict.layer, anchor)
    title = f"{verdict.title.capitalize()}, {verdict.layer}" if verdict.layer else verdict.title.capitalize()
    return Section(
        anchor, title, render("finding.html", verdict=verdict, panel=panel), (panel,) if panel is not None else ()
    )
