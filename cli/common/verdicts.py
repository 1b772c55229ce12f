"""What is wrong with runs, in sentences under their tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from archlab.cli.common.console import message, write, write_item, write_line
from archlab.cli.common.output import Output
from archlab.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from archlab.records import Comparison, Examination, Run
    from archlab.store import Store

Held = TypeVar("Held")

LEVEL_ROLES = {"problem": "bad", "warning": "changed", "note": "dim", "good": "good"}
"""Levels of verdicts as roles of `console.ROLE_STYLES`."""
SHOWN_VERDICTS = 3
"""Verdicts under a comparison; the report has them all."""


def show_run_verdicts(run: Run, store: Store, target: Output) -> None:
    """Write all verdicts on a run beneath its table; nothing goes into a file or beside another form."""
    if target != Output():
        return
    from archlab.tables.verdicts import verdict_sentence

    examination = _examined([run], store, None)
    good = ", ".join(verdict.title for verdict in examination.at("good"))
    said = [*examination.alarming, *examination.at("note")]
    if said or good:
        write("\nVerdicts\n")
    for verdict in said:
        write_item(verdict_sentence(verdict, verdict.layer), LEVEL_ROLES[verdict.level])
    if good:
        write_item(f"In order: {good}.", "good")


def write_verdict_line(runs: Sequence[Run], store: Store, comparison: Comparison | None = None) -> None:
    """Write how many problems and warnings runs have and which is the worst, in its colour; or that there are none."""
    if not runs:
        return
    examination = _examined(runs, store, comparison)
    alarming = examination.alarming
    if not alarming:
        write_line("Verdict: nothing wrong was found.", "good")
        return
    worst = alarming[0]
    about = worst.subject if comparison is not None else worst.layer
    where = f" ({about})" if about else ""
    role = LEVEL_ROLES[worst.level]
    write_line(f"Verdict: {examination.headline}; the worst is {worst.title}{where}.", role)


def show_worst_verdicts(comparison: Comparison, store: Store, target: Output) -> None:
    """Write the worst problems and warnings of a comparison's runs beneath it, if there are any."""
    if target != Output():
        return
    from archlab.tables.verdicts import verdict_sentence

    runs = store.available(comparison.runs)
    if not runs:
        return
    examination = _examined(runs, store, comparison)
    alarming = examination.alarming
    if not alarming:
        return
    more = f", the worst {SHOWN_VERDICTS} here, all in the report" if len(alarming) > SHOWN_VERDICTS else ""
    write(f"\nVerdicts ({examination.headline}{more})\n")
    for verdict in alarming[:SHOWN_VERDICTS]:
        write_item(verdict_sentence(verdict, verdict.subject), LEVEL_ROLES[verdict.level])


def _examined(runs: Sequence[Run], store: Store, comparison: Comparison | None) -> Examination:
    from archlab.analysis.verdicts import LAST_ROWS, examine

    def readable(read: Callable[[str], Held | None]) -> Callable[[str], Held | None]:
        def attempt(key: str) -> Held | None:
            try:
                return read(key)
            except (InputError, StoreError) as error:
                message(f"warning: {error}")
                return None

        return attempt

    recording = readable(lambda key: store.recording(key, LAST_ROWS))
    signals = readable(lambda key: store.probes(key, "signals"))
    return examine(runs, recording, readable(store.curves), signals, comparison=comparison)
