"""`--shard I/N`: one of N parts of a comparison's runs, for an array of jobs that share a store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from archlab.cli.common.console import emit
from archlab.cli.common.listing import document
from archlab.cli.common.output import Format, Output
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import Run, TrainingConfig
    from archlab.store import Store
    from archlab.tables import Table


def part(configs: Sequence[TrainingConfig], shard: str) -> list[TrainingConfig]:
    """The runs of a part: neighbours, so that a part has all variants of a seed where it can.

    Raises:
        InputError: it is no I/N with I from 1 to N, or there are fewer runs than parts.
    """
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", shard.strip())
    place, parts = map(int, found.groups()) if found else (0, 0)
    if not 1 <= place <= parts:
        raise InputError(f"--shard is {shard!r}, expected I/N with I from 1 to N: 1/4 is the first of four parts")
    if parts > len(configs):
        raise InputError(f"--shard is {shard!r}, expected at most {len(configs)} parts: there are {len(configs)} runs")
    count = len(configs)
    return list(configs[count * (place - 1) // parts : count * place // parts])


def show_part(store: Store, runs: Sequence[Run], title: str, target: Output) -> None:
    """Show the runs of a part; leaves with 1 where one failed."""
    from archlab.records.entry import entry_of
    from archlab.tables.runs import listed_table, runs_table

    entries = [entry_of(run) for run in runs]

    def table() -> Table:
        if target.form is Format.csv:
            return runs_table(entries)
        note = "The same command without --shard trains what is missing, and compares all."
        return listed_table(entries, title, note)

    emit(target, table, lambda: document(store, entries, []))
    if any(run.status == "failed" for run in runs):
        raise typer.Exit(1)
