"""What a comparison would train, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from archlab.analysis.wording import counted, spoken_time
from archlab.tables.table import Column, Row, Table

NOTE = (
    "Times are those of a few steps on this machine. Memory is the peak of a training step, and the images; torch "
    "itself takes some 300 MB more in each worker."
)


class PlannedVariant(msgspec.Struct, frozen=True):
    """The runs of one variant."""

    name: str
    runs: int
    stored: int
    """Of these, how many the store has."""
    seconds: float
    """Of one run, on one worker of this machine."""
    bytes: int | None
    """The most that one takes at a time: a training step, and the images; None where nobody knows."""


def plan_table(
    variants: Sequence[PlannedVariant], seconds: float, by_workers: Mapping[int, float], workers: int
) -> Table:
    """A row per variant.

    Args:
        variants: in their order.
        seconds: of all runs that the store has not, one after another.
        by_workers: processes -> seconds.
        workers: how many there would be.
    """
    rows = [
        Row(
            (
                one.name,
                one.runs,
                one.stored or None,
                spoken_time(one.seconds),
                None if one.bytes is None else f"{one.bytes / 1e6:,.0f} MB",
                spoken_time(one.seconds * (one.runs - one.stored)),
            )
        )
        for one in variants
    ]
    runs = sum(one.runs - one.stored for one in variants)
    scaled = ", ".join(f"{counted(count, 'worker')}: {spoken_time(value)}" for count, value in by_workers.items())
    together = f"{counted(runs, 'run')} to train: {spoken_time(seconds)} one after another, "
    together += f"{spoken_time(by_workers[workers])} on {counted(workers, 'worker')}."
    return Table(
        columns=(
            Column("variant", "variant", wraps=True),
            Column("runs", "runs", "right"),
            Column("stored", "in the store", "right"),
            Column("seconds", "a run takes", "right"),
            Column("memory", "memory", "right"),
            Column("total", "in all", "right"),
        ),
        rows=tuple(rows),
        footer=(together, f"If workers don't slow each other: {scaled}.", NOTE),
    )
