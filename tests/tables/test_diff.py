from __future__ import annotations

import pytest
from hypothesis import given, settings

from archlab.analysis.diff import diff
from archlab.records import Trace
from archlab.tables import text
from archlab.tables.diff import diff_table
from tests.traces import block, layer, trace, traces

BEFORE = trace(*block("stem"), layer("norm", "BatchNorm2d", parameters=16), layer("head", parameters=28, macs=36))
AFTER = trace(*block("stem", 90), layer("head", parameters=28, macs=40), layer("out", "Softmax"), network="other")


def test_only_what_differs_is_shown_beneath_what_holds_it() -> None:
    assert text(diff_table(diff(BEFORE, AFTER))).splitlines() == [
        "net on 1x8 -> other on 1x8",
        "",
        "path       change   kind         output shape  parameters  par. +/-  MACs  MACs +/-  output +/-",
        "-----------------------------------------------------------------------------------------------",
        "stem       changed  Block        1x8                   90       +18    64",  # 90 - 72 = 18
        "  stem.fc  changed  Linear       1x8                   90       +18    64",
        "norm       removed  BatchNorm2d  1x8                   16       -16",
        "head       changed  Linear       1x8                   28              40        +4",  # 40 - 36 = 4
        "out        added    Softmax      1x8",
        "-----------------------------------------------------------------------------------------------",
        "total                                                 118        +2   104        +4",  # 118 - 116, 104 - 100
        "",
        "Layers: 1 added, 1 removed, 3 changed, 1 equal. 5 of 6 are shown.",
        "Counts are those of the second network (of the first for what was removed), +/- is second minus first.",
    ]


def test_an_equal_parent_is_shown_for_its_child() -> None:
    before = trace(layer("stem", "Block"), layer("stem.fc", detail="a"), layer("head"))
    after = trace(layer("stem", "Block"), layer("stem.fc", detail="b"), layer("head"))
    rows = diff_table(diff(before, after)).rows
    assert [(row.cells[0], row.cells[1], row.emphasis, row.label) for row in rows] == [
        ("stem", None, "dim", "stem"),
        ("stem.fc", "changed", "changed", "fc"),
    ]


def test_everything_on_request_and_down_to_a_depth() -> None:
    found = diff(BEFORE, AFTER)
    assert len(diff_table(found, everything=True).rows) == len(found.layers)
    assert [row.cells[0] for row in diff_table(found, 1).rows] == ["stem", "norm", "head", "out"]


def test_changes_of_kind_and_shape_show_both() -> None:
    before = trace(layer("norm", "BatchNorm2d", output_shapes=((1, 8),)))
    after = trace(layer("norm", "GroupNorm", output_shapes=((1, 4),)))
    (row,) = diff_table(diff(before, after)).rows
    assert row.cells[2:4] == ("BatchNorm2d -> GroupNorm", "1x8 -> 1x4")


def test_a_renamed_layer_says_what_it_was() -> None:
    (row,) = diff_table(diff(trace(layer("0", "ReLU")), trace(layer("1", "ReLU")))).rows
    assert row.cells[:2] == ("1 (was 0)", "renamed")


def test_no_difference_is_said() -> None:
    table = diff_table(diff(BEFORE, BEFORE))
    assert table.rows == ()
    assert table.footer == ("No difference: 5 layers are equal. --all shows them.",)


@pytest.mark.parametrize(("column", "name"), [(5, "parameters"), (7, "macs")])
@settings(deadline=None, max_examples=30)
@given(before=traces(), after=traces())
def test_the_differences_at_depth_one_sum_to_that_of_the_totals(
    column: int, name: str, before: Trace, after: Trace
) -> None:
    table = diff_table(diff(before, after), 1)
    total = sum(cell for row in table.rows if isinstance(cell := row.cells[column], int))
    assert total == getattr(after.totals, name) - getattr(before.totals, name)


def test_a_block_that_one_network_has_around_its_layers_says_what_is_new_in_it() -> None:
    flat = trace(layer("conv", "Conv2d", parameters=90), layer("fc", parameters=20))
    whole = layer("features", "Body", parameters=100)
    around = trace(whole, layer("features.conv", "Conv2d", parameters=100), layer("fc", parameters=20))
    for before, after, sign in ((flat, around, 1), (around, flat, -1)):
        rows = diff_table(diff(before, after)).rows
        found = {str(row.cells[0]).split()[0]: row.cells[5] for row in rows}
        assert found["features.conv" if sign > 0 else "conv"] == 10 * sign
        assert found["features"] == (10 if sign > 0 else 0)  # beneath it, and beside it


def test_at_80_columns_no_column_stands_alone_and_no_heading_twice() -> None:
    drawn = text(diff_table(diff(BEFORE, AFTER)), 80).splitlines()
    assert max(map(len, drawn)) <= 80
    heads = [line.split("  ") for line in drawn if line.startswith("path ")]
    named = [[head.strip() for head in line if head.strip()] for line in heads]
    assert len(named) == 2
    assert all(len(line) > 2 for line in named)
    assert len({head for line in named for head in line[1:]}) == sum(len(line) - 1 for line in named)


def test_a_shallow_table_counts_what_it_shows() -> None:
    shallow = diff_table(diff(BEFORE, AFTER), 1)
    assert "4 of 6 are shown." in shallow.footer[0]
    assert len(shallow.rows) == 4
    assert diff_table(diff(BEFORE, BEFORE)).title.endswith(": no difference")
