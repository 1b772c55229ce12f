from __future__ import annotations

from archlab.records import Failure
from archlab.tables.failure import failure_lines


def test_the_picture_of_a_failure() -> None:
    failure = Failure(
        path="linear_1",
        kind="Linear",
        source="net.py:12",
        got="1x400",
        expected="1x256",
        remedy="in_features=400",
        error="mat1 and mat2 shapes\ncannot be multiplied",
    )
    assert failure_lines(failure).splitlines() == [
        "  layer     linear_1 (Linear)",
        "  source    net.py:12",
        "  got       1x400",
        "  expected  1x256",
        "  mend      in_features=400",
        "  torch     mat1 and mat2 shapes",
        "            cannot be multiplied",
    ]


def test_what_is_not_known_is_left_out() -> None:
    assert failure_lines(Failure("", "Net", "", "1x400", "", "", "boom")).splitlines() == [
        "  layer     Net",
        "  got       1x400",
        "  torch     boom",
    ]
