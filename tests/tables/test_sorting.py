from __future__ import annotations

import pytest

from archlab.errors import InputError
from archlab.tables import AtLeast, Column, Row, Table
from archlab.tables.sorting import by_column

TABLE = Table(
    columns=(Column("path", "path"), Column("macs", "MACs")),
    rows=(
        Row(("a", 3)),
        Row(("a.x", 1), depth=1),
        Row(("a.y", 2), depth=1),
        Row(("b", None)),
        Row(("c", AtLeast(5))),
        Row(("c.z", 5), depth=1),
    ),
)


@pytest.mark.parametrize(
    ("name", "order"),
    [("macs", ["c", "c.z", "a", "a.y", "a.x", "b"]), ("path", ["a", "a.x", "a.y", "b", "c", "c.z"])],
)
def test_rows_are_ordered_within_what_holds_them(name: str, order: list[str]) -> None:
    assert [row.cells[0] for row in by_column(TABLE, name).rows] == order


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="--sort 'mac' is no column of this table: did you mean macs"):
        by_column(TABLE, "mac")
