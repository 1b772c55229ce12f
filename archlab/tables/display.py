"""How records show themselves: `print(trace)`, and a trace, a profile, a run or a comparison in a notebook.

`archlab.records.display` asks for this module; a new `Displayed` record needs an implementation of `html`.
"""

from __future__ import annotations

from functools import singledispatch

from archlab.analysis.metrics import BY_NAME
from archlab.records import Comparison, Profile, Run, Trace
from archlab.tables import markup
from archlab.tables.columns import NOTEBOOK_COLUMNS
from archlab.tables.comparison import comparison_tables
from archlab.tables.profile import profile_table
from archlab.tables.runs import run_table
from archlab.tables.sparkline import intervals, picture
from archlab.tables.text import text as lines_of
from archlab.tables.trace import trace_table

_ACCURACY = BY_NAME["test_accuracy"]


def text(trace: Trace) -> str:
    """What `print(trace)` prints: the table of its outermost layers."""
    return lines_of(trace_table(trace))


@singledispatch
def html(record: object) -> str:
    """A record as an HTML fragment for a notebook.

    Raises:
        TypeError: nothing here draws such a record.
    """
    raise TypeError(f"nothing draws a {type(record).__name__}: expected a Trace, Profile, Run or Comparison")


@html.register
def _(trace: Trace) -> str:
    """The table of its outermost layers, with bars."""
    return markup.html(trace_table(trace, columns=NOTEBOOK_COLUMNS))


@html.register
def _(profile: Profile) -> str:
    """The times of its outermost layers."""
    return markup.html(profile_table(profile))


@html.register
def _(run: Run) -> str:
    """The epochs as a table, with a small chart."""
    curves = {"training": [epoch.train_accuracy for epoch in run.epochs]}
    curves |= {"test": [epoch.test_accuracy for epoch in run.epochs]}
    return markup.html(run_table(run)) + picture(curves, "accuracy by epoch", _ACCURACY.written)


@html.register
def _(comparison: Comparison) -> str:
    """Findings, a small chart and the tables."""
    variants = (item for item in comparison.variants if _ACCURACY.name in item.metrics)
    chart = intervals(
        {item.name: item.metrics[_ACCURACY.name] for item in variants},
        _ACCURACY.titled(comparison.has_running),
        _ACCURACY.written,
    )
    tables = map(markup.html, comparison_tables(comparison))
    return "\n".join([markup.sentences(comparison.findings), chart, *tables])
