import random
import signal
from pathlib import Path

import pytest

from archlab.training import Execution, train_all
from tests.faults.writers import configs, disturb


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="Windows stops no processes")
def test_runs_that_several_want_are_trained_once_each_whoever_dies(tmp_path: Path) -> None:
    expected = train_all(configs(2), Execution(store=tmp_path / "whole", device="cpu"))
    room = tmp_path / "try"
    room.mkdir()
    assert disturb(room, writers=2, kills=2, chance=random.Random(3), expected=expected) == []
