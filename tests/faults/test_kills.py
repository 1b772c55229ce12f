import random
import sys
from pathlib import Path

import pytest

from archlab.training import Execution, train_all
from tests.faults import kills


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills otherwise")
def test_comparisons_that_are_killed_go_on_and_end_as_if_they_were_not(tmp_path: Path) -> None:
    whole, tally = tmp_path / "whole", kills.Tally()
    expected = train_all(kills.configs(), Execution(store=whole, device="cpu", workers=2, checkpoint_seconds=0))
    kills.once(tmp_path, random.Random(1), tally, expected, whole, kills=2)
    assert tally.violations == []
    assert sum(tally.kills.values()) == 2
