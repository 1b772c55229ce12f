import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from archlab.store import open_store
from archlab.training import Execution, train_all
from tests.faults import kills


@pytest.mark.skipif(sys.platform == "win32", reason="Windows kills otherwise")
def test_comparisons_that_are_killed_go_on_and_end_as_if_they_were_not(tmp_path: Path) -> None:
    whole, tally = tmp_path / "whole", kills.Tally()
    expected = train_all(kills.configs(2), Execution(store=whole, device="cpu", workers=2, checkpoint_seconds=0))
    kills.once(tmp_path, random.Random(1), tally, expected, whole, kills=1)
    assert tally.violations == []
    assert sum(tally.kills.values()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_command_after_its_step_and_it_goes_on_from_there(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", "from archlab.cli.app import main; main()", "train", "lenet", "--epochs", "30"]
    command += ["--train-samples", "600", "--store", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)
    while process.poll() is None and not list(tmp_path.glob("runs/*.partial/steps.bin")):
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=120)[1]
    assert (process.returncode, len(list(tmp_path.glob("runs/*.partial/checkpoint-*")))) == (code, 1), said
    assert "stopping at the end of the step" in said
    assert "the same call goes on from there" in said
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert "goes on after step" in again.stderr
    (run,) = open_store(tmp_path).runs()
    assert (run.status, run.resumed) == ("finished", 1)
