"""A page's charts as pictures for slides and papers: PNG or SVG, drawn by kaleido in a browser of this machine."""

from __future__ import annotations

import html
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from archlab import files
from archlab.errors import InputError, nearest
from archlab.reports.material import Item, gather
from archlab.reports.panel import (
    Chart,
    Control,
    Panel,
    State,
    controls_of,
    evaluate,
    series_color,
)
from archlab.reports.resources import light_color
from archlab.reports.text import label

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from archlab.store import Store

WIDTH = 900
"""Pixels of a picture, an SVG's own."""
PNG_SCALE = 2
"""Pixels of a PNG for each of the chart's own."""
REMEDY = "install Chromium or Chrome, set BROWSER_PATH to one, or go on from archlab.reports.figures() in Python"
TITLE_HEIGHT = 72
"""Pixels of the title and the line beneath it, on top of the chart's own height."""


def save_images(
    folder: str | Path, items: Sequence[Item], form: Literal["png", "svg"], *, store: Store | None = None
) -> list[Path]:
    """The paths of the charts of a page on these items, each now a file `PANEL-CHART.png` or `.svg` as it opens.

    Args:
        folder: made if it is not there; pictures of the same names are replaced.
        items: what the page would show.
        form: of the pictures.
        store: where the comparisons' runs, their curves and recordings are.

    Raises:
        InputError: there is no chart; kaleido or a browser is missing, or the browser failed.
        StoreError: the folder can't be written.
    """
    try:
        import kaleido
    except ImportError as error:
        raise InputError(
            "charts as pictures need kaleido, which is not installed: pip install 'archlab[images]', or go on from "
            "archlab.reports.figures() in Python"
        ) from error
    drawn = figures(items, store=store)
    if not drawn:
        raise InputError("there is no chart to save: a network, a run with an epoch, or a comparison has some")
    target = Path(folder)
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file, expected a folder: choose another")
    from archlab.reports.diagram.picture import find_browser  # of which a page has no use

    try:
        browser = find_browser()
    except InputError as error:
        raise InputError(f"charts as pictures need Chromium or Chrome, and neither was found: {REMEDY}") from error
    with tempfile.TemporaryDirectory(prefix="archlab-") as draft:
        options = {"width": WIDTH, "scale": PNG_SCALE, "format": form}
        jobs = [{"fig": figure, "path": f"{draft}/{name}.{form}", "opts": options} for name, figure in drawn.items()]
        try:
            # Without MathJax, which would come from a network.
            kaleido.write_fig_from_object_sync(jobs, kopts={"path": browser, "mathjax": False})
        except Exception as error:  # whatever a browser may do
            reason = " ".join(map(str, error.args)).partition(". ")[0] or type(error).__name__
            raise InputError(f"{browser} drew no pictures: {reason}: {REMEDY}") from error
        files.make_folder(target)
        with files.writing(target):
            return [_moved(Path(job["path"]), target) for job in jobs]


def _moved(picture: Path, folder: Path) -> Path:
    """The path of a picture, now in another folder, which may lie on another disk: whole or not at all."""
    target = folder / picture.name
    with files.replacing(target) as draft:
        shutil.move(picture, draft)
    return target


def figures(items: Sequence[Item], *, store: Store | None = None, **controls: str | int) -> dict[str, Figure]:
    """The plotly figure of every chart of a page on these items, by `PANEL-CHART`, to go on from in Python.

    Args:
        items: what the page would show.
        store: where the comparisons' runs, their curves and recordings are.
        controls: what a control of the page is set to, wherever a chart has it and the choice: `x="epoch"`,
            `measure="macs"`, `layer="conv_1"`; for one that slides its position, from 0. The others are as they are
            at first.

    Raises:
        InputError: an item is none of the records that a page can show, or no chart has such a control or choice.

    >>> import archlab
    >>> found = archlab.reports.figures([archlab.trace("lenet")], measure="macs")
    >>> found["network-lenet-share-share"].layout.title.subtitle.text
    'lenet · Area shows: MACs'
    """
    from archlab.reports.sections import sections  # of which the live page has no use

    placed = [
        # A part of an experiment is called what it shows, a network's own part after the network.
        (part.title if section.anchor == panel.name else section.title, panel)
        for part in sections(gather(items, store))
        for section in part.walk()
        for panel in section.panels
    ]
    for name, value in controls.items():
        if not any(_state(panel, controls).get(name) == value for _, panel in placed):
            known = {control.name for _, panel in placed for control in panel.controls}
            found = [_choices(c, _state(p, controls)) for _, p in placed for c in p.controls if c.name == name]
            choices = sorted({str(choice) for group in found for choice in group})
            raise InputError(
                f"no chart has {name}={value!r}: "
                + (f"expected one of {', '.join(choices)}" if choices else nearest(name, known))
            )
    return {
        f"{panel.name}-{chart.name}": _styled(chart, title, panel, _state(panel, controls))
        for title, panel in placed
        for chart in panel.charts
    }


def _state(panel: Panel, wanted: Mapping[str, str | int]) -> State:
    """What the panel's controls say: what is wanted where they have it, else what they say at first."""
    state: dict[str, str | int] = {control.name: control.start for control in panel.controls}
    for control in panel.controls:
        if wanted.get(control.name) in _choices(control, state):
            state[control.name] = wanted[control.name]
    return state


def _choices(control: Control, state: State) -> dict[str | int | None, str]:
    """What a control can say, and how that is called."""
    if control.kind == "toggle":
        return {"on": "on", "off": "off"}
    options = evaluate(control.options, state)
    return dict(options) if control.kind == "select" else dict(enumerate(map(str, options)))


def _styled(chart: Chart, title: str, panel: Panel, state: State) -> Figure:
    """The figure of a chart, with what it is about, what its controls say, and the colours of a page."""
    said = [title]
    for control in panel.controls:
        choice = _choices(control, state)[state[control.name]]
        # What the axis says, and what is not done, need no words.
        if (
            control.name in controls_of(chart.data, chart.layout)
            and control.name != "x"
            and choice not in ("none", "off")
        ):
            said.append(f"{control.label}: {choice}")
    figure = chart.figure(**state)
    own = figure.layout.margin
    top = TITLE_HEIGHT + (own.t or 0)
    return figure.update_layout(
        template="plotly_white",
        colorway=[evaluate(series_color(index), {}) for index in range(8)],
        font={"family": "system-ui, sans-serif", "color": light_color("text")},
        title={
            "subtitle": {"text": " · ".join(label(html.unescape(part)) for part in said)},
            "x": 0,
            "xref": "paper",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"t": 16, "l": 0},
        },
        margin={"t": top, "b": 60 if own.b is None else own.b, "l": 64 if own.l is None else own.l},
        height=chart.height + top,
    )
