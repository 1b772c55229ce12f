"""Records that show themselves: drawn by tables, which records never import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import archlab
from archlab import records
from archlab.analysis.diff import diff
from archlab.analysis.growth import stages as growth
from archlab.analysis.statistics import paired_difference
from archlab.records import Verdict
from archlab.records.display import Displayed, Shown
from archlab.tables import display
from archlab.tracing import fits

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


@pytest.mark.parametrize(
    ("record", "first", "holds"),
    [
        (growth(archlab.trace("lenet")), "lenet on 1x1x28x28", "conv_1"),
        (diff(archlab.trace("lenet"), archlab.trace("lenet", norm="none")), "lenet", "norm_1"),
        (fits("lenet", batch=8), "lenet, a training step on 8x1x28x28", "peak"),
        (records.TrainingConfig(epochs=2), "Training of lenet", "epochs"),
        (paired_difference([1.0, 2.0, 3.0], [2.0, 3.0, 5.0]), "Paired difference", "variant minus baseline"),
        (records.Examination((Verdict("seeds", "warning", "Two."),)), "Verdicts on 0 runs", "1 warning."),
    ],
)
def test_print_gives_the_table_and_no_repr(record: Shown, first: str, holds: str) -> None:
    printed = str(record)
    assert printed.startswith(first)
    assert holds in printed
    assert f"{type(record).__name__}(" not in printed
    assert '<table class="archlab-table">' in record._repr_html_()


def test_text_stays_left_where_a_notebook_sets_cells_to_the_right() -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="drives a browser")
    if not Path("/usr/bin/chromium").exists():
        pytest.skip("needs Chromium")
    theirs = ".jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th, .jp-RenderedHTMLCommon tr { text-align: right }"
    html = records.Examination((Verdict("seeds", "warning", "Two."),))._repr_html_()
    html += archlab.trace("lenet")._repr_html_()
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page()
        page.set_content(f'<div class="jp-RenderedHTMLCommon">{html}</div><style>{theirs}</style>')
        script = "cells => cells.map(cell => [cell.className, getComputedStyle(cell).textAlign])"
        found = page.eval_on_selector_all(".archlab-table th, .archlab-table td", script)
        browser.close()
    assert {align for name, align in found if name != "right"} == {"left"}
    assert {align for name, align in found if name == "right"} == {"right"}
