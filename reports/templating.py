"""A part of a page, and the templates that it is written with."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.analysis.wording import counted, p_text
from archlab.reports import text
from archlab.reports.panel import Panel
from archlab.tables.table import duration

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Section:
    """A part of a page with its own heading and anchor."""

    anchor: str
    title: str
    body: str
    """HTML, every name in it escaped."""
    panels: tuple[Panel, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict)
    """What the page's script needs for the shape tables in the body."""
    parts: tuple[Section, ...] = ()
    folded: bool = False
    """Whether it is closed at first, as a part of another section."""

    def walk(self) -> Iterator[Section]:
        """The section itself and all those in it."""
        yield self
        for part in self.parts:
            yield from part.walk()


@functools.cache
def environment() -> Environment:
    """The templates: everything is escaped, and no name can hide or reorder what is beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def finalize(value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str):
            return value
        return text.sentence(value)

    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": text.count,
        "counted": counted,
        "brief": text.brief,
        "shape": text.shape,
        "metric": text.metric,
        "minus": text.minus,
        "p_value": p_text,
        "duration": duration,
    }
    return made


def chart_section(title: str, panel: Panel, template: str = "charts.html", **values: object) -> Section:
    """A panel as a section of its own."""
    return Section(panel.name, title, render(template, panel=panel, **values), (panel,))


def render(template: str, **values: Any) -> str:
    """The HTML of a template, safe to be put into another one."""
    from markupsafe import Markup

    return Markup(environment().get_template(template).render(**values))
