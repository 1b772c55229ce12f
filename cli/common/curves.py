"""What runs did step by step, in a few lines for a person at a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archlab.cli.common.console import is_terminal, show, write
from archlab.cli.common.output import Output
from archlab.errors import StoreError

if TYPE_CHECKING:
    from archlab.records import Comparison, NormRecording, Run
    from archlab.store import Store
    from archlab.tables import Table


def show_course(run: Run, store: Store, target: Output) -> None:
    """Draw a run's curves and BatchNorm layers beneath its table; nothing goes to a pipe or a file."""
    if _is_for_people(target):
        from archlab.tables.curves import curves_table

        curves = store.curves(run.key)
        tables = [curves_table(curves, plain=_is_plain())] if len(curves.get("step", ())) else []
        _show(tables, store.recording(run.key))


def show_courses(comparison: Comparison, store: Store, target: Output) -> None:
    """Draw the curves of a comparison's variants, and the first BatchNorm layers recorded; as `show_course` does."""
    if not _is_for_people(target):
        return
    from archlab.tables.curves import courses_table

    runs = [run for run in store.available(comparison.runs) if run.status == "finished"]
    curves: dict[str, list[Mapping[str, Any]]] = {}
    for run in runs:
        found: Mapping[str, Any] = {}
        with contextlib.suppress(StoreError):  # the comparison stands without them
            found = store.curves(run.key)
        if len(found.get("step", ())):
            curves.setdefault(run.config.label, []).append(found)
    tables = [courses_table(curves, plain=_is_plain())] if curves else []
    for run in runs:
        with contextlib.suppress(StoreError):
            recording = store.recording(run.key)
            if recording is not None:
                _show(tables, recording, f"BatchNorm of {run.config.label}, seed {run.config.seed}")
                return
    _show(tables, None)


def _show(tables: list[Table], recording: NormRecording | None, title: str = "") -> None:
    from archlab.tables.curves import norms_table

    if recording is not None and recording.layers and recording.steps:
        tables.append(norms_table(recording, plain=_is_plain(), title=title))
    if tables:
        write("")
        show(tables)


def _is_for_people(target: Output) -> bool:
    return target == Output() and is_terminal(sys.stdout)


def _is_plain() -> bool:
    return not (sys.stdout.encoding or "").lower().startswith("utf")
