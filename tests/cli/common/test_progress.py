from __future__ import annotations

import pytest

from archlab.analysis.wording import spoken_time


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (7.4, "7 s"), (89, "89 s"), (150, "2 minutes"), (1500, "25 minutes"), (7260, "2.0 hours")],
)
def test_times_are_said_as_people_do(seconds: float, text: str) -> None:
    assert spoken_time(seconds) == text
