"""A bar in a notebook while runs are trained.

Who gives no `progress` sees one in Jupyter, and nothing in a script; the command has bars of its own.
It needs no widgets: one display of the cell is drawn anew, so that a notebook that is kept shows how it ended.
"""

from __future__ import annotations

import html
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

from archlab.training.progress import Pace, Progress

Tell = Callable[[Progress], None]

REDRAW_SECONDS = 0.25
"""Seconds between two drawings."""
WAITS = {"waiting": "trained by another process", "again": "begun again"}
STYLE = "text-align:left;font:13px/1.6 system-ui,sans-serif"


@contextmanager
def showing(progress: Tell | Literal[False] | None, total: int) -> Iterator[Tell]:
    """Whom to tell the events of so many runs: who was named, or in a notebook a bar, which is drawn until the end."""
    if progress is not None or not in_notebook():
        yield progress or (lambda event: None)
        return
    bar = NotebookBar(total, _display())
    try:
        yield bar
    finally:
        bar.close()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook (Jupyter and its like, not the terminal's IPython)."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def _display() -> Callable[[dict[str, str]], None]:
    """A function that draws in the cell that runs, over what it drew before."""
    display: Any = importlib.import_module("IPython.display").display
    handle: Any = None

    def draw(bundle: dict[str, str]) -> None:
        nonlocal handle
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)

    return draw


class NotebookBar:
    """Draws how far some runs are: a bar over all of them, and a line about those that are being trained.

    Args:
        total: how many runs.
        draw: shows a MIME bundle in place of the one before.
    """

    def __init__(self, total: int, draw: Callable[[dict[str, str]], None]) -> None:
        self._total, self._draw, self._pace = total, draw, Pace(REDRAW_SECONDS)
        self._running: dict[tuple[str, int], tuple[float, str]] = {}
        self._ended = 0
        self._outcomes: dict[str, int] = {}
        self._last = ""

    def __call__(self, event: Progress) -> None:
        """Take up what has happened; drawn at once where a run ends, else four times a second."""
        config = event.config
        place = (config.variant, config.seed)
        name = f"{config.label}, seed {config.seed}"
        if event.state in ("started", "step", "measuring", "epoch", "landscape"):
            epoch = min(event.epoch + (event.state in ("step", "measuring")), config.epochs)
            what = "landscape" if event.state == "landscape" else f"epoch {epoch}/{config.epochs}"
            share = event.step / event.steps if event.steps else 0.0
            self._running[place] = (1.0 if event.state == "landscape" else share, f"{name}: {what}")
            if event.state == "epoch" and event.metrics is not None:
                self._last = f"{name}: test accuracy {event.metrics.best_accuracy:.1%} after epoch {event.epoch}"
            if not self._pace.is_due():
                return
        elif event.state == "stopping":
            return
        elif event.state == "stacked":
            self._last = event.error
        elif event.state in ("waiting", "again"):
            self._running[place] = 0.0, f"{name}: {WAITS[event.state]}"
        else:
            self._running.pop(place, None)
            self._ended += 1
            self._outcomes[event.state] = self._outcomes.get(event.state, 0) + 1
            if event.state in ("diverged", "failed"):
                self._last = f"{name}: {event.state}: {event.error}"
        self._show()

    def close(self) -> None:
        """Draw the end: what came of the runs, or where they were when they were stopped."""
        self._show(ended=True)

    def _show(self, *, ended: bool = False) -> None:
        done = self._ended + sum(share for share, _ in self._running.values())
        counted = ", ".join(f"{count} {state}" for state, count in self._outcomes.items())
        runs = "1 run" if self._total == 1 else f"{self._total} runs"
        lines = [f"{self._ended} of {runs}" + (f": {counted}" if counted else "")]
        if ended and self._running:
            lines.append("stopped at " + "; ".join(text for _, text in self._running.values()))
        elif not ended:
            lines += [text for _, text in self._running.values()]
        lines += [self._last] if self._last else []
        bar = f'<progress value="{done:.3f}" max="{self._total}" style="width:20em"></progress>'
        text = "<br>".join(html.escape(line) for line in lines)
        bundle = {"text/html": f'<div style="{STYLE}">{bar}<br>{text}</div>', "text/plain": "\n".join(lines)}
        self._draw(bundle)
