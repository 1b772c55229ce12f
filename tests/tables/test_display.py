"""Records that show themselves: drawn by tables, which records never import."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import is_dataclass
from pathlib import Path

import numpy as np
import pytest

import archlab
from archlab import comparing, networks, records, store, training
from archlab import tables as tables_room
from archlab.analysis.diff import diff
from archlab.analysis.growth import stages as growth
from archlab.analysis.statistics import paired_difference
from archlab.records import Verdict
from archlab.records.display import Displayed, Shown
from archlab.tables import display
from archlab.tables.fields import described
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


PUBLIC = {
    name: getattr(module, name)
    for module in (archlab, records, networks, training, store, comparing, tables_room)
    for name in module.__all__
}
DATA = [item for item in PUBLIC.values() if isinstance(item, type) and (is_dataclass(item) or item is store.Store)]


@pytest.mark.parametrize(
    "kind", {item for item in PUBLIC if isinstance(item, type) and is_dataclass(item)} | {store.Store}
)
def test_every_public_object_shows_itself(kind: type) -> None:
    named = {"Cell", "AtLeast", "Column", "Row"}  # a few words long
    assert kind.__name__ in named or "__str__" in {name for base in kind.__mro__[:-1] for name in vars(base)}
    assert kind.__name__ in named or hasattr(kind, "_repr_html_")


def test_every_table_is_of_a_record_that_shows_itself() -> None:
    assert set(display.TABLES) <= set(Shown.__subclasses__()) | set(Displayed.__subclasses__())


def test_what_nothing_draws_is_an_error_that_says_so() -> None:
    with pytest.raises(TypeError, match="nothing draws a int"):
        display.html(3)


def test_other_objects_show_their_fields(tmp_path: Path) -> None:
    home = store.open_store(tmp_path)
    runs = str(home)
    assert runs.startswith("0 runs, 0 comparisons\n")
    assert runs.endswith(f"Store: {tmp_path}")
    assert repr(home) == f"Store({str(tmp_path)!r})"
    assert "store               Store(" in str(training.Execution(store=home))
    assert "norm=batch, norm=none" in str(comparing.design("lenet", bn="off"))  # variants by their labels
    assert str(networks.resolve("lenet", {"norm": "none"})).startswith("lenet\n\noption")
    assert "what normalises" in networks.entry("lenet")._repr_html_()
    layer = str(archlab.trace("lenet").layers[0])
    assert layer.startswith("Layer\n")
    assert "\noutput_shapes         1x6x24x24\n" in layer
    assert "uncounted_operations" not in str(archlab.trace("lenet").totals)  # there are none


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((1, 3, 8, 8), "1x3x8x8"),
        (((1, 2), (3, 4)), "1x2, 3x4"),
        (tuple(range(9)), "9 x int"),
        (["a", "b"], "a, b"),
        ({"norm": "none", "depth": 20}, "norm none, depth 20"),
        ({"a": [1, 2]}, "a"),
        ({f"layer_{number}": [1] for number in range(9)}, "9 names"),
        (np.zeros((2, 3), np.float32), "2x3 numbers (float32)"),
        ((Verdict("seeds", "warning", "T" * 200),), "1 x Verdict"),
        ("", None),
        ((), None),
        ({}, None),
        (None, None),
        (False, False),
    ],
)
def test_a_value_is_described_in_a_few_words(value: object, text: object) -> None:
    assert described(value) == text


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
