"""The live page, and the messages that keep it up to date."""

from __future__ import annotations

import json

from archlab.reports import resources
from archlab.reports.embedding import embed
from archlab.reports.live.board import Board
from archlab.reports.live.watching import Shown
from archlab.reports.templating import render

SCRIPTS = (*resources.SCRIPTS, "live")
STYLES = (*resources.STYLES, "live")


def html(shown: Shown, title: str) -> str:
    """The whole page with the experiments as they stand."""
    from markupsafe import Markup

    from archlab import __version__

    boards = shown.boards
    panels = [panel for board in boards for panel in board.panels]
    return str(
        render(
            "live.html",
            shown=shown,
            boards=boards,
            states={board.anchor: standing(board) for board in boards},
            title=title,
            version=__version__,
            style=Markup(resources.style(STYLES)),
            script=Markup(resources.script(SCRIPTS)),
            data=Markup(embed(panels, {})),
            library=resources.plotly(),
        )
    )


def policy() -> str:
    """The Content-Security-Policy of the page: the report's, and events from its own server."""
    return (
        resources.policy(with_plotly=True, scripts=SCRIPTS, styles=STYLES)
        + "; connect-src 'self'; frame-ancestors 'none'"
    )


def standing(board: Board) -> str:
    """The part of an experiment's section that is replaced as runs go: progress and tables."""
    return render("live-standing.html", board=board)


def message(board: Board) -> str:
    """An experiment as it stands, as JSON in one line."""
    document = json.loads(embed(board.panels, {}))
    return json.dumps(
        {
            "anchor": board.anchor,
            "standing": str(standing(board)),
            "panels": {
                panel.name: {
                    "charts": document["panels"][panel.name]["charts"],
                    "controls": document["panels"][panel.name]["controls"],
                    "notes": panel.notes,
                    "descriptions": {chart.name: chart.description for chart in panel.charts},
                }
                for panel in board.panels
            },
            "pool": document["pool"],
        },
        separators=(",", ":"),
    )


def listing(shown: Shown) -> str:
    """Which experiments the page has, in its order, and how many there are; a page that differs asks for itself."""
    return json.dumps({"anchors": [board.anchor for board in shown.boards], "page": shown.page, "total": shown.total})
