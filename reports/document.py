"""A page: one HTML file from records, that opens anywhere without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError
from archlab.reports import resources
from archlab.reports.embedding import embed
from archlab.reports.material import Item, Material, gather
from archlab.reports.templating import Section, render
from archlab.reports.text import visible

if TYPE_CHECKING:
    from archlab.store import Store


def page(items: Sequence[Item], *, store: Store | None = None, title: str | None = None, command: str = "") -> str:
    """The HTML of a report on traces, profiles, runs, comparisons and experiments, in the order that they are given in.

    Args:
        items: several networks stand side by side, several comparisons one after the other.
        store: where the comparisons' runs, their curves and recordings are; without one the page shows what the
            records themselves hold.
        title: of the page; by default what it is about.
        command: the command that made the page, for the section on reproduction.

    Raises:
        InputError: there is no item, or one is none of these records.

    >>> from archlab.records import Totals, Trace
    >>> html = page([Trace("linear", ((1, 4),), (), Totals(0, 0, 0, 0, 0))])
    >>> html.startswith("<!doctype html>")
    True
    """
    from archlab.reports.sections import sections  # of which the live page has no use

    if not items:
        raise InputError(
            "a page needs at least one Trace, Profile, Run, Comparison, ExperimentResult or NormHealth, got none"
        )
    material = gather(items, store, command)
    parts = sections(material)
    every = [section for part in parts for section in part.walk()]
    panels = [panel for section in every for panel in section.panels]
    tables = {name: table for section in every for name, table in section.tables.items()}
    return document(title or subject(material), parts, embed(panels, tables), with_plotly=bool(panels))


def save(
    path: str | Path,
    items: Sequence[Item],
    *,
    store: Store | None = None,
    title: str | None = None,
    command: str = "",
) -> Path:
    """The path of the HTML file that `page` was written to, at once or not at all.

    Raises:
        InputError: as `page` does.
        StoreError: the file can't be written.
    """
    return write(path, page(items, store=store, title=title, command=command))


def document(title: str, parts: Sequence[Section], data: str, *, with_plotly: bool) -> str:
    """The whole HTML text around a page's sections."""
    from markupsafe import Markup

    from archlab import __version__

    return str(
        render(
            "page.html",
            title=title,
            sections=parts,
            version=__version__,
            policy=Markup(resources.policy(with_plotly)),
            style=Markup(resources.style()),
            script=Markup(resources.script()),
            data=Markup(data),
            library=resources.plotly() if with_plotly else None,
        )
    )


def write(path: str | Path, html: str) -> Path:
    """The path, once the text stands there whole.

    Raises:
        InputError: there is no such folder.
        StoreError: the file can't be written.
    """
    return files.save(Path(path), html)


def subject(material: Material) -> str:
    """What a page is about, in one line."""
    if material.healths:
        return visible(", ".join(dict.fromkeys(f"BatchNorm of {one.network}" for one in material.healths)))
    if material.results:
        return visible(
            ", ".join(dict.fromkeys(f"{one.experiment.title}, on {one.dataset}" for one in material.results))
        )
    if material.experiments:
        names = list(dict.fromkeys(experiment.subject for experiment in material.experiments))
        first = material.experiments[0]
        if len(material.experiments) == 1 and 1 < len(first.variants) <= 3:
            return visible(f"{first.title}: {' against '.join(first.variants)}")
    else:
        names = list(dict.fromkeys(trace.network for trace in material.traces))
    return visible(", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else ""))
