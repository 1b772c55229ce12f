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


def test_sequences_name_their_axes_and_series_their_copies() -> None:
    copies = tuple(f"layers.{number}" for number in range(3))
    grown = Growth(
        "net",
        ((1, 10),),
        (
            Stage(("embed",), ("Embedding",), (10, 8), 80, 0, ("tokens", "features")),
            Stage(copies, ("Block",) * 3, (10, 8), 300, 0, ("tokens", "features"), 3),
            Stage(("raw",), ("relu",), (10, 8), 0, 0, ("", "")),
        ),
    )
    assert csv(growth_table(grown)).splitlines() == [
        "stage,channels,size,parameters",
        "embed,8,10 tokens,80",
        "layers.0-2 x3,8,10 tokens,300",
        "raw,,10x8,0",
    ]
    assert text(growth_table(grown)).splitlines()[2].split() == ["stage", "features", "size", "parameters"]
