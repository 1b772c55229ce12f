"""The live page, and the messages that keep it up to date."""

from __future__ import annotations

import json
from collections.abc import Sequence

from archlab.reports import assets
from archlab.reports.embedding import embed
from archlab.reports.live.board import Board
from archlab.reports.section import render

SCRIPTS = (*assets.SCRIPTS, "live")
STYLES = (*assets.STYLES, "live")


def html(boards: Sequence[Board], title: str) -> str:
    """The whole page with the experiments as they stand."""
    from markupsafe import Markup

    from archlab import __version__

    panels = [board.panel for board in boards]
    return str(
        render(
            "live.html",
            boards=boards,
            states={board.anchor: standing(board) for board in boards},
            title=title,
            version=__version__,
            style=Markup(assets.style(STYLES)),
            script=Markup(assets.script(SCRIPTS)),
            data=Markup(embed(panels, {})),
            library=assets.plotly(),
        )
    )


def policy() -> str:
    """The Content-Security-Policy of the page: the report's, and events from its own server."""
    return (
        assets.policy(with_plotly=True, scripts=SCRIPTS, styles=STYLES) + "; connect-src 'self'; frame-ancestors 'none'"
    )


def standing(board: Board) -> str:
    """The part of an experiment's section that is replaced as runs go: progress and tables."""
    return render("live-standing.html", board=board)


def message(board: Board) -> str:
    """An experiment as it stands, as JSON in one line."""
    document = json.loads(embed([board.panel], {}))
    return json.dumps(
        {
            "anchor": board.anchor,
            "standing": str(standing(board)),
            "panel": board.panel.name,
            "charts": document["panels"][board.panel.name]["charts"],
            "descriptions": {chart.name: chart.description for chart in board.panel.charts},
            "pool": document["pool"],
        },
        separators=(",", ":"),
    )


def listing(anchors: Sequence[str]) -> str:
    """Which experiments there are, in the order of the page."""
    return json.dumps(list(anchors))


def farewell(text: str) -> str:
    """The last words of a server that does not come back."""
    return json.dumps(text)
