"""Runs as three flat tables, for CSV and Parquet: runs, their epochs, their steps."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from archlab.errors import InputError
from archlab.exporting.history import CURVES, History, union
from archlab.records import Epoch, Value

Rows = list[list[Value | None]]


def tables(histories: Sequence[History]) -> dict[str, tuple[list[str], Rows]]:
    """The tables by name, each with its columns and rows; `run` in epochs and steps is `key` in runs."""
    tags = union([list(one.tags) for one in histories])
    parameters = union([list(one.parameters) for one in histories])
    runs: Rows = [
        [*(one.tags.get(name) for name in tags), *(one.parameters.get(name) for name in parameters)]
        for one in histories
    ]
    epochs: Rows = [[one.key, *asdict(epoch).values()] for one in histories for epoch in one.epochs]
    steps: Rows = [[one.key, *step] for one in histories for step in one.steps]
    return {
        "runs": ([*tags, *parameters], runs),
        "epochs": (["run", *(item.name for item in fields(Epoch))], epochs),
        "steps": (["run", "step", *CURVES], steps),
    }


def write_csv(histories: Sequence[History], folder: Path, target: Path) -> None:
    """Write `runs.csv`, `epochs.csv` and `steps.csv`: numbers in full, what isn't there empty."""
    for name, (columns, rows) in tables(histories).items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(rows)


def write_parquet(histories: Sequence[History], folder: Path, target: Path) -> None:
    """Write `runs.parquet`, `epochs.parquet` and `steps.parquet`, with the columns' types.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow, which is not installed: pip install 'archlab[parquet]'") from error
    for name, (columns, rows) in tables(histories).items():
        arrays = {column: _typed([row[place] for row in rows]) for place, column in enumerate(columns)}
        parquet.write_table(pyarrow.table(arrays), folder / f"{name}.parquet")


def _typed(values: list[Value | None]) -> list[Value | None]:
    """The values of a column in one type: an option that is a number here and a name there is text."""
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) <= 1 or kinds == {int, float}:
        return values
    return [None if value is None else str(value) for value in values]
