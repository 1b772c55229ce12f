"""The rows of a table in another order."""

from __future__ import annotations

from dataclasses import replace

from archlab.errors import InputError, nearest
from archlab.tables.table import Cell, Row, Table, raw


def by_column(table: Table, name: str) -> Table:
    """The table ordered by a column: numbers from the largest down, texts from A to Z, empty cells last.

    Rows that stand beneath another stay beneath it, in that order among themselves.

    Args:
        table: what is ordered.
        name: of the column, as CSV heads it, with `-` or `_`.

    Raises:
        InputError: there is no such column.
    """
    names = [column.name for column in table.columns]
    wanted = name.replace("-", "_")
    if wanted not in names:
        raise InputError(f"--sort {name!r} is no column of this table: {nearest(wanted, names)}")
    place = names.index(wanted)
    roots: list[_Branch] = []
    open_branches: list[_Branch] = []
    for row in table.rows:
        while open_branches and open_branches[-1].row.depth >= row.depth:
            open_branches.pop()
        branch = _Branch(row)
        (open_branches[-1].inner if open_branches else roots).append(branch)
        open_branches.append(branch)
    return replace(table, rows=tuple(_flat(roots, place)))


class _Branch:
    """A row and what stands beneath it."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.inner: list[_Branch] = []


def _flat(branches: list[_Branch], place: int) -> list[Row]:
    found: list[Row] = []
    for branch in sorted(branches, key=lambda one: _rank(one.row.cells[place])):
        found += [branch.row, *_flat(branch.inner, place)]
    return found


def _rank(cell: Cell) -> tuple[int, float, str]:
    value = raw(cell)
    if value is None:
        return 2, 0.0, ""
    return (1, 0.0, value) if isinstance(value, str) else (0, -float(value), "")
