from __future__ import annotations

from archlab.records import Discrepancy, Verification
from archlab.tables import text
from archlab.tables.verification import verification_table

BIAS = Discrepancy("fc", "Linear", "macs", "2480", "2490", "10 biases")
STRANGE = Discrepancy("", "Net", "macs", "1", "2")


def test_differences_with_their_explanation() -> None:
    found = Verification("net", "torchinfo 1.8", 12, (BIAS, STRANGE), ("A note.",), ((1, 8),))
    assert text(verification_table(found)).splitlines() == [
        "net on 1x8: archlab and torchinfo 1.8",
        "",
        "path     kind    quantity  archlab  torchinfo  explanation",
        "------------------------------------------------------------",
        "fc       Linear  macs        2,480      2,490  10 biases",
        "(total)  Net     macs            1          2  not explained",
        "",
        "12 values compared, 2 different, 1 of them unexplained.",
        "A note.",
    ]
    assert [row.emphasis for row in verification_table(found).rows] == ["", "bad"]


def test_agreement() -> None:
    assert verification_table(Verification("net", "torchinfo 1.8", 12)).footer == ("12 values compared, 0 different.",)
    explained = Verification("net", "torchinfo 1.8", 12, (BIAS,))
    assert verification_table(explained).footer == ("12 values compared, 1 different, none of them unexplained.",)
