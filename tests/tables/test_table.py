from __future__ import annotations

import pytest

from archlab.tables.table import AtLeast, Cell, Column, Row, Table, bar, byte_size, raw, written


@pytest.mark.parametrize(
    ("cell", "column", "text"),
    [
        (None, Column("a", "a"), ""),
        (1234567, Column("a", "a"), "1,234,567"),
        (0, Column("a", "a"), "0"),
        (0, Column("a", "a", blank_zero=True), ""),
        (0.0, Column("a", "a", form=".1%", blank_zero=True), ""),
        (True, Column("a", "a"), "yes"),
        ("1x64", Column("a", "a"), "1x64"),
        (AtLeast(2480), Column("a", "a"), ">= 2,480"),
        (0.1724, Column("a", "a", form=".1%"), "17.2%"),
        (-452, Column("a", "a", form="+,d"), "-452"),
        (452, Column("a", "a", form="+,d"), "+452"),
        (3.14159265, Column("a", "a"), "3.142"),
        (589824, Column("a", "a", form="bytes"), "576.0 KiB"),  # 589824 / 1024 = 576
        (-13824, Column("a", "a", form="+bytes"), "-13.5 KiB"),  # 13824 / 1024 = 13.5
        (AtLeast(2048), Column("a", "a", form="bytes"), ">= 2.0 KiB"),
        (0.5, Column("a", "a", form="bar"), "█" * 12),  # half of 24
    ],
)
def test_a_cell_is_written_for_people(cell: Cell, column: Column, text: str) -> None:
    assert written(cell, column) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1,023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**2, "5.0 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (2048 * 1024**4, "2,048.0 TiB"),
    ],
)
def test_bytes_have_a_unit(count: int, text: str) -> None:
    assert byte_size(count) == text


@pytest.mark.parametrize(("fraction", "text"), [(0, ""), (0.001, "▏"), (7 / 16, "███▌"), (1, "████████")])
def test_a_bar_shows_anything_above_nothing(fraction: float, text: str) -> None:
    assert bar(fraction, width=8) == text


def test_programs_get_the_number_itself() -> None:
    assert [raw(cell) for cell in (AtLeast(2480), 0.25, None, "x")] == [2480, 0.25, None, "x"]


@pytest.mark.parametrize("table", [{"rows": (Row(("a",)),)}, {"rows": (), "total": ("a",)}])
def test_a_row_has_a_cell_for_each_column(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="2 columns, but a row of 1 cells"):
        Table(columns=(Column("a", "a"), Column("b", "b")), **table)  # type: ignore[arg-type]
