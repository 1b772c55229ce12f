from __future__ import annotations

import pytest

from archlab.analysis.wording import shape_text
from archlab.errors import InputError
from archlab.records import Layer, ReceptiveField, Totals
from archlab.tables.columns import (
    COLUMNS,
    DEFAULT_COLUMNS,
    GROUPS,
    chosen_columns,
    columns_table,
    costly_columns,
    field_text,
    kind_text,
    shapes_text,
)
from archlab.tables.table import AtLeast, Cell
from tests.traces import layer

TOTALS = Totals(
    parameters=200,
    trainable_parameters=150,
    buffers=5,
    macs=1000,
    flops=2000,
    elementwise=7,
    output_bytes=64,
    backward_macs=1600,
    recomputed_macs=300,
    step_macs=2900,
)
FULL = layer(
    "head",
    parameters=50,
    trainable_parameters=40,
    own_parameters=30,
    buffers=5,
    macs=250,
    elementwise=7,
    output_bytes=32,
    saved_bytes=16,
    backward_macs=400,
    recomputed_macs=100,
    dtype="float32",
    detail="causal",
    source="net.py:3",
    call=2,
    calls=3,
    receptive_field=ReceptiveField((435, 435), (32, 32), "exact"),
    seconds=0.125,
)


@pytest.mark.parametrize(
    ("name", "cell", "total"),
    [
        ("kind", "Linear, call 2 of 3", None),
        ("layer", "8 -> 8", None),
        ("input-shape", "1x8", None),
        ("output-shape", "1x8", None),
        ("parameters", 50, 200),
        ("own-parameters", 30, None),
        ("trainable", 40, 150),
        ("buffers", 5, 5),
        ("macs", 250, 1000),
        ("flops", 500, 2000),  # 2 x 250
        ("backward", 400, 1600),
        ("recomputed", 100, 300),
        ("elementwise", 7, 7),
        ("output", 32, 64),
        ("saved", 16, None),
        ("receptive-field", "435, jump 32", None),
        ("time", 0.125, None),
        ("share-parameters", 0.25, None),  # 50 / 200
        ("share-macs", 0.25, None),  # 250 / 1000
        ("dtype", "float32", None),
        ("calls", "2 of 3", None),
        ("detail", "causal", None),
        ("source", "net.py:3", None),
    ],
)
def test_what_each_column_says(name: str, cell: Cell, total: Cell) -> None:
    assert COLUMNS[name].value(FULL, TOTALS) == cell
    assert COLUMNS[name].total(TOTALS) == total


def test_every_column_is_tested_above() -> None:
    parameters = next(mark for mark in test_what_each_column_says.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert [case[0] for case in parameters.args[1]] == list(COLUMNS)


def test_totals_are_lower_bounds_where_something_is_not_counted() -> None:
    totals = Totals(0, 0, 0, 1000, 2000, {"fft": 1})
    assert COLUMNS["macs"].total(totals) == AtLeast(1000)
    assert COLUMNS["flops"].total(totals) == AtLeast(2000)
    totals = Totals(0, 0, 0, 1000, 2000, backward_macs=1500, uncounted_backward_operations={"fft_backward": 1})
    assert COLUMNS["backward"].total(totals) == AtLeast(1500)
    assert COLUMNS["macs"].total(totals) == 1000


def test_a_share_of_nothing_is_empty() -> None:
    assert COLUMNS["share-macs"].value(layer("a"), Totals(0, 0, 0, 0, 0)) is None


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (layer("a"), "Linear"),
        (layer("a", detail="5x5"), "Linear"),
        (layer("a", "cat", operation=True, detail="64+32 -> 96"), "cat 64+32 -> 96"),
        (layer("a", call=0), "Linear, unused"),
        (layer("a", call=1, calls=3), "Linear, call 1 of 3"),
    ],
)
def test_kind(item: Layer, text: str) -> None:
    assert kind_text(item) == text


def test_shapes() -> None:
    assert shape_text((1, 64, 48, 48)) == "1x64x48x48"
    assert shape_text(()) == "scalar"
    assert shapes_text(((1, 2), (3,))) == "1x2, 3"
    assert shapes_text(((1,),) * 6) == "1, 1, 1, 1, +2"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (None, None),
        (ReceptiveField((435, 435), (32, 32), "exact"), "435, jump 32"),
        (ReceptiveField((7, 3), (2, 1), "exact"), "7x3, jump 2x1"),
        (ReceptiveField((9, 9), (0.5, 0.5), "exact"), "9, jump 0.5"),
        (ReceptiveField((2071, 2071), (32, 32), "upper bound"), "<= 2071, jump 32"),
        (ReceptiveField((), (), "whole input"), "whole input"),
    ],
)
def test_receptive_field(field: ReceptiveField | None, text: str | None) -> None:
    assert field_text(field) == text


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], DEFAULT_COLUMNS),
        (["macs"], ("macs",)),
        (["macs", "macs"], ("macs",)),
        (["+saved"], (*DEFAULT_COLUMNS, "saved")),
        (["+saved", "dtype"], (*DEFAULT_COLUMNS, "saved", "dtype")),
        (["share"], ("share-parameters", "share-macs")),
    ],
)
def test_choosing_columns(names: list[str], chosen: tuple[str, ...]) -> None:
    assert chosen_columns(names) == chosen


def test_an_unknown_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="there is no column 'mac': did you mean macs"):
        chosen_columns(["mac"])


def test_only_costly_columns_are_measured_on_demand() -> None:
    assert costly_columns(tuple(COLUMNS)) == ("backward", "recomputed", "saved", "receptive-field", "time", "source")


def test_every_column_and_group_is_explained() -> None:
    rows = {row.cells[0]: row.cells[1] for row in columns_table().rows}
    assert list(rows) == [*COLUMNS, *GROUPS]
    assert all(rows.values())
