from __future__ import annotations

from archlab.records import Growth, Stage
from archlab.tables import csv, text
from archlab.tables.growth import growth_table

GROWTH = Growth(
    "net",
    ((1, 1, 96, 96),),
    (
        Stage(("conv", "norm", "relu"), ("Conv2d", "BatchNorm2d", "ReLU"), (64, 48, 48), 640, 10),
        Stage(("block",), ("Block",), (128, 24, 24), 1280, 30),
        Stage(("head",), ("Linear",), (10,), 0, 0),
    ),
)


def test_bars_are_fractions_of_the_largest_stage() -> None:
    full, half, least = "#" * 24, "#" * 12, "##"  # 10 / 128 of 24 columns is 1.9
    lines = text(growth_table(GROWTH)).splitlines()
    assert lines[4:7] == [
        f"conv .. relu        64  {half}              48x48         640  {half}",
        f"block              128  {full}  24x24       1,280  {full}",
        f"head                10  {least}",
    ]
    assert lines[8].split() == ["total", "1,920"]  # 640 + 1280


def test_the_numbers_without_bars() -> None:
    assert csv(growth_table(GROWTH)).splitlines() == [
        "stage,channels,size,parameters",
        "conv .. relu,64,48x48,640",
        "block,128,24x24,1280",
        "head,10,,0",
    ]


def test_a_network_without_stages_is_an_empty_table() -> None:
    assert growth_table(Growth("net", (), ())).rows == ()
