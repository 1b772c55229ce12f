"""Runs as four flat tables, for CSV and Parquet: runs, their epochs, their steps, what was probed of them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import get_args, get_type_hints

from archlab.errors import InputError
from archlab.exporting.history import STEP_CURVES, History, union
from archlab.exporting.probed import ProbeRow
from archlab.records import Epoch, TrainingConfig, Value
from archlab.tables.markup import inert

Rows = list[list[Value | None]]

COLUMN_TYPES = (
    get_type_hints(TrainingConfig)
    | get_type_hints(Epoch)
    | get_type_hints(ProbeRow)
    | {
        "parameters": int,
        "learning_rate": float,
    }
)
"""What the columns hold that are no text."""


def tables(histories: Iterable[History]) -> dict[str, tuple[list[str], Rows]]:
    """The tables by name, each with its columns and rows; `run` in the others is `key` in runs."""
    histories = list(histories)
    tags = union([list(one.tags) for one in histories])
    parameters = union([list(one.parameters) for one in histories])
    runs: Rows = [
        [*(one.tags.get(name) for name in tags), *(one.parameters.get(name) for name in parameters)]
        for one in histories
    ]
    epochs: Rows = [[one.key, *asdict(epoch).values()] for one in histories for epoch in one.epochs]
    steps: Rows = [[one.key, *step] for one in histories for step in one.steps]
    probes: Rows = [[one.key, *row] for one in histories for row in one.probes]
    return {
        "runs": ([*tags, *parameters], runs),
        "epochs": (["run", *(item.name for item in fields(Epoch))], epochs),
        "steps": (["run", "step", *STEP_CURVES], steps),
        "probes": (["run", *ProbeRow._fields], probes),
    }


def write_csv(histories: Iterable[History], folder: Path, target: Path) -> None:
    """Write `runs.csv`, `epochs.csv`, `steps.csv` and `probes.csv`: numbers in full, what isn't there empty.

    A row of `probes` is one number: `step`, `probe` and `quantity` say which, `layer` of what and, of an alignment,
    `other` with what. `x` is the rate of `loss_along` and `gradient_change`, or the distance of a `correlation`; of the
    landscape, which has no step, `x` and `y` are the place in its plane. `nan` is where a layer has the number at other
    steps alone.

    Text that a spreadsheet would run as a formula stands behind an apostrophe.
    """
    for name, (columns, rows) in tables(histories).items():
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(map(inert, row) for row in rows)


def write_parquet(histories: Iterable[History], folder: Path, target: Path) -> None:
    """Write `runs.parquet` and so on, the tables of `write_csv`, whose columns have the same types in every export.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow, which is not installed: pip install 'archlab[parquet]'") from error
    types = {bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string()}
    for name, (columns, rows) in tables(histories).items():
        arrays = {}
        for place, column in enumerate(columns):
            values = [row[place] for row in rows]
            kind = _kind(column, values)
            arrays[column] = pyarrow.array(
                [None if value is None else kind(value) for value in values], type=types[kind]
            )
        parquet.write_table(pyarrow.table(arrays), folder / f"{name}.parquet")


def _kind(column: str, values: Sequence[Value | None]) -> type[Value]:
    """What a column holds, also where all of it is empty; an option that is a number here and a name there is text."""
    if column.startswith(("option.", "setting.")):
        kinds = {type(value) for value in values if value is not None}
        return kinds.pop() if len(kinds) == 1 else float if kinds == {int, float} else str
    declared = COLUMN_TYPES.get(column, str)
    return next((kind for kind in (int, float) if kind in (declared, *get_args(declared))), str)
