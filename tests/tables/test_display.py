"""Records that show themselves: drawn by tables, which records never import."""

from __future__ import annotations

import subprocess
import sys

import pytest

from archlab import records
from archlab.records import Verdict
from archlab.records.display import Displayed, Shown
from archlab.tables import display

PROGRAM = """
import sys
from archlab.records import Totals, Trace
trace = Trace("net", ((1, 8),), (), Totals(0, 0, 0, 0, 0))
assert not {name for name in sys.modules if name.startswith(("archlab.tables", "archlab.analysis"))}
print(trace, trace._repr_html_())
"""


def test_a_trace_shows_itself_though_nothing_that_draws_was_imported() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("net on 1x8\n")
    assert '<table class="archlab-table">' in done.stdout


def test_every_record_that_shows_itself_can_be_drawn() -> None:
    kinds = {item for item in vars(records).values() if isinstance(item, type) and issubclass(item, Shown)}
    assert {"Trace", "Profile", "Run", "Comparison", "Diff", "Growth", "MemoryEstimate"} < {k.__name__ for k in kinds}
    assert kinds - {Verdict} <= set(display.TABLES)  # a verdict is a sentence
    assert set(display.TABLES) <= set(Shown.__subclasses__()) | set(Displayed.__subclasses__())


def test_what_nothing_draws_is_an_error_that_says_so() -> None:
    with pytest.raises(TypeError, match="nothing draws a int"):
        display.html(3)
