"""What a run did step by step, in a few lines for a person at a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from archlab.cli.console import Output, is_terminal, show, write

if TYPE_CHECKING:
    from archlab.records import Run
    from archlab.store import Store


def show_course(run: Run, store: Store, target: Output) -> None:
    """Draw a run's curves and BatchNorm layers beneath its table; nothing goes to a pipe or a file."""
    if target != Output() or not is_terminal(sys.stdout):
        return
    from archlab.tables.curves import curves_table, norms_table

    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    curves, recording = store.curves(run.key), store.recording(run.key)
    tables = [curves_table(curves, plain=plain)] if len(curves.get("step", ())) else []
    if recording is not None and recording.layers and recording.steps:
        tables.append(norms_table(recording, plain=plain))
    if tables:
        write("")
        show(tables)
