import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows copies no processes")
def test_some_command_lines_end_as_promised() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.faults.commands", "--tries", "20", "--seed", "5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 command lines as promised" in done.stdout
