from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings

import archlab
from archlab.errors import InputError
from archlab.records import Failure, Trace
from archlab.tables import text
from archlab.tables.trace import FOLDING_NOTE, trace_table
from tests.traces import block, layer, trace, traces

DENSENET = """\
densenet on 1x1x96x96

path           kind               layer        output shape  parameters         MACs
------------------------------------------------------------------------------------
conv           Conv2d             7x7, 64, /2  1x64x48x48         3,200    7,225,344
norm           BatchNorm2d                     1x64x48x48           128
relu           ReLU                            1x64x48x48             0
maxpool        MaxPool2d          3x3, /2      1x64x24x24             0
dense_block_0  DenseBlock                      1x192x24x24      130,048   74,317,824
transition_0   Transition                      1x96x12x12        18,912   10,616,832
dense_block_1  DenseBlock                      1x224x12x12      167,168   23,887,872
transition_1   Transition                      1x112x6x6         25,648    3,612,672
dense_block_2  DenseBlock                      1x240x6x6        185,728    6,635,520
transition_2   Transition                      1x120x3x3         29,400    1,036,800
dense_block_3  DenseBlock                      1x248x3x3        195,008    1,741,824
final_norm     BatchNorm2d                     1x248x3x3            496
final_relu     ReLU                            1x248x3x3              0
pool           AdaptiveAvgPool2d               1x248x1x1              0
linear         FlatLinear                      1x10               2,490        2,480
------------------------------------------------------------------------------------
total                                                           758,226  129,077,168

Parameters: 758,226 trainable, 0 frozen. Buffers: 6,629."""

RESNET = """\
resnet on 1x1x224x224

path     kind               layer        output shape  parameters           MACs
--------------------------------------------------------------------------------
conv     Conv2d             7x7, 64, /2  1x64x112x112       3,200     39,337,984
norm     BatchNorm2d                     1x64x112x112         128
relu     ReLU                            1x64x112x112           0
maxpool  MaxPool2d          3x3, /2      1x64x56x56             0
stage_1  Sequential                      1x64x56x56       148,224    462,422,016
stage_2  Sequential                      1x128x28x28      525,952    411,041,792
stage_3  Sequential                      1x256x14x14    2,100,480    411,041,792
stage_4  Sequential                      1x512x7x7      8,395,264    411,041,792
pool     AdaptiveAvgPool2d               1x512x1x1              0
linear   FlatLinear                      1x10               5,130          5,120
--------------------------------------------------------------------------------
total                                                  11,178,378  1,734,890,496

Parameters: 11,178,378 trainable, 0 frozen. Buffers: 7,825."""


@pytest.mark.parametrize(
    ("network", "size", "expected"),
    [("densenet", "96", DENSENET), ("resnet", "224", RESNET)],
    ids=["densenet", "resnet"],
)
def test_the_tables_of_the_course(network: str, size: str, expected: str) -> None:
    drawn = text(trace_table(archlab.trace(network, size)))
    assert drawn.startswith(expected + "\n")
    assert "FLOPs = 2 x MACs = " in drawn


def test_lenet_of_the_course() -> None:
    found = archlab.trace("lenet", "28")
    rows = [(row.cells[3], row.cells[4]) for row in trace_table(found).rows]
    assert rows == [
        ("1x6x24x24", 156),  # 1 * 6 * 5 * 5 + 6
        ("1x6x24x24", 12),
        ("1x6x24x24", 0),
        ("1x6x12x12", 0),
        ("1x16x8x8", 2416),  # 6 * 16 * 5 * 5 + 16
        ("1x16x8x8", 32),
        ("1x16x8x8", 0),
        ("1x16x4x4", 0),
        ("1x256", 0),
        ("1x120", 30840),  # 256 * 120 + 120
        ("1x120", 240),
        ("1x120", 0),
        ("1x84", 10164),  # 120 * 84 + 84
        ("1x84", 168),
        ("1x84", 0),
        ("1x10", 850),  # 84 * 10 + 10
    ]
    assert (found.totals.parameters, found.totals.buffers, found.totals.macs) == (44878, 456, 281640)


@settings(deadline=None, max_examples=40)
@given(traces())
def test_the_columns_at_depth_one_sum_to_the_totals(found: Trace) -> None:
    for unfold in (False, True):
        table = trace_table(found, 1, ("parameters", "macs"), unfold=unfold)
        sums = [sum(cell for row in table.rows if isinstance(cell := row.cells[k], int)) for k in (1, 2)]
        assert sums == [found.totals.parameters, found.totals.macs]
        assert table.total == ("total", *sums)


def test_repeated_blocks_are_one_row_and_the_footer_says_so() -> None:
    found = trace(*block("layers.0"), *block("layers.1"), layer("head"))
    folded = trace_table(found, None, ("parameters",))
    assert folded.rows[0].cells == ("layers.0-1 x2 (sum)", 144)  # 2 * 72
    assert FOLDING_NOTE in folded.footer
    unfolded = trace_table(found, None, ("parameters",), unfold=True)
    assert [row.cells[0] for row in unfolded.rows] == [item.path for item in found.layers]
    assert FOLDING_NOTE not in unfolded.footer


def test_the_tree_names_a_layer_beneath_its_parent() -> None:
    found = trace(*block("stem"), layer("head"))
    assert [row.label for row in trace_table(found, None).rows] == ["stem", "fc", "relu", "head"]


def test_what_is_unused_is_dim_and_what_failed_is_marked() -> None:
    failure = Failure("head", "Linear", "", "", "", "", "boom")
    found = replace(trace(layer("stem", call=0, calls=0), layer("head")), failure=failure)
    table = trace_table(found)
    assert [row.emphasis for row in table.rows] == ["dim", "bad"]
    assert any("failed at head" in sentence for sentence in table.footer)


def test_an_operation_without_a_formula_makes_the_totals_lower_bounds() -> None:
    found = trace(layer("a", macs=64), uncounted={"fft": 2}, notes=("Built on the CPU.",))
    found = replace(found, totals=replace(found.totals, counted_operations=10))
    lines = text(trace_table(found)).splitlines()
    assert any(line.startswith("total") and line.endswith(">= 64") for line in lines)
    assert "MACs and FLOPs are lower bounds: counted 10 of 12 operations, not fft (2)." in lines
    assert lines[-1] == "Built on the CPU."


def test_the_title_names_options_and_inputs() -> None:
    assert trace_table(trace(layer("a"), options={"norm": "none"})).title == "net (norm=none) on 1x8"


def test_a_trace_prints_as_its_table() -> None:
    found = trace(*block("stem"))
    assert str(found) == text(trace_table(found))
    assert "<table" in found._repr_html_()
    assert '<i style="width:' in found._repr_html_()  # the bars of its parameters


def test_a_trace_as_a_dataframe() -> None:
    pytest.importorskip("pandas")
    found = trace(*block("stem"), layer("head", parameters=8))
    frame = found.to_dataframe()
    assert list(frame.path) == ["stem", "stem.fc", "stem.relu", "head"]
    assert frame[frame.depth == 1].parameters.sum() == 80  # 72 + 8


def test_a_dataframe_without_pandas_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        trace(layer("a")).to_dataframe()


def test_zero_and_not_counted_look_different() -> None:
    found = trace(layer("counted", "ReLU"), layer("strange", uncounted=1), uncounted={"fft": 1})
    lines = {line.split()[0]: line for line in text(trace_table(found)).splitlines() if line}
    assert lines["counted"].endswith("0")  # of parameters; its MACs are blank
    assert lines["strange"].endswith(">= 0")


def test_kernels_stand_in_the_table_where_there_is_room() -> None:
    table = trace_table(archlab.trace("lenet", "28"))
    wide, narrow = text(table), text(table, 60)
    assert "conv_1     Conv2d       5x5, 6, padding 0" in wide
    assert "5x5" not in narrow
    assert text(table, max(map(len, wide.partition("\n\nParameters")[0].splitlines()))).count("5x5") == 2
    assert "5x5" in text(trace_table(archlab.trace("lenet", "28"), columns=("layer", "macs")), 30), "asked for"
    assert "layer" not in text(trace_table(trace(layer("relu", "ReLU")))).splitlines()[2], "nothing to say"
