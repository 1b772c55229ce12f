"""A page's charts as pictures for slides and papers: PNG or SVG, drawn by kaleido in a browser of this machine."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from archlab import files
from archlab.errors import InputError
from archlab.reports.diagram.picture import find_browser
from archlab.reports.material import Item, gather
from archlab.reports.sections import sections

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from archlab.store import Store

WIDTH = 900
SCALE = 2
"""Pixels of a PNG for each of the chart's own."""


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
            "charts as pictures need kaleido, which is not installed: pip install 'archlab[images]'; or go on from "
            "Chart.figure() in Python"
        ) from error
    drawn = figures(items, store)
    if not drawn:
        raise InputError("there is no chart to save: a network, a run with an epoch, or a comparison has some")
    target = Path(folder)
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="archlab-") as draft:
        jobs = [
            {"fig": figure, "path": f"{draft}/{name}.{form}", "opts": {"width": WIDTH, "scale": SCALE, "format": form}}
            for name, figure in drawn.items()
        ]
        try:
            # Without MathJax, which would come from a network.
            kaleido.write_fig_from_object_sync(jobs, kopts={"path": browser, "mathjax": False})
        except Exception as error:  # whatever a browser may do
            raise InputError(
                f"{browser} drew no pictures: {error or type(error).__name__}; set BROWSER_PATH"
            ) from error
        with files.writing(target):
            target.mkdir(parents=True, exist_ok=True)
            return [Path(shutil.move(job["path"], target / Path(job["path"]).name)) for job in jobs]


def figures(items: Sequence[Item], store: Store | None = None) -> dict[str, Figure]:
    """The plotly figure of every chart of a page on these items, its controls as they are at first, by `PANEL-CHART`.

    Raises:
        InputError: an item is none of the records that a page can show.
    """
    found: dict[str, Figure] = {}
    for part in sections(gather(items, store)):
        for panel in (panel for section in part.walk() for panel in section.panels):
            state = {control.name: control.start for control in panel.controls}
            for chart in panel.charts:
                found[f"{panel.name}-{chart.name}"] = chart.figure(**state).update_layout(template="plotly_white")
    return found
