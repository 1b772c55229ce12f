"""How records show themselves: `print(record)`, and a record that a notebook's cell ends with.

`archlab.records.display` asks for this module; a `Shown` record without a line in `TABLES` is shown field by field.
Beside its tables, `html` draws a small chart of a run and of a comparison, and a comparison begins with what was found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from archlab import records
from archlab.analysis.chance import chance_of, comparison_chance
from archlab.analysis.metrics import BY_NAME
from archlab.records.contents import Contents
from archlab.records.experiment import Experiment, ExperimentResult
from archlab.records.listed import ListedNetwork
from archlab.records.search import RateSearch
from archlab.records.soundness import StoreSoundness
from archlab.tables import markup
from archlab.tables.check import check_table
from archlab.tables.checkpoint import checkpoint_table
from archlab.tables.columns import NOTEBOOK_COLUMNS
from archlab.tables.comparison import comparison_tables, difference_table
from archlab.tables.decoding import decoding_tables
from archlab.tables.diff import diff_table
from archlab.tables.experiment import claim_table, result_table
from archlab.tables.fields import fields_table
from archlab.tables.graph import graph_table
from archlab.tables.growth import growth_table
from archlab.tables.landscape import landscape_table
from archlab.tables.memory import memory_table
from archlab.tables.networks import network_table
from archlab.tables.norm_health import health_tables
from archlab.tables.profile import profile_table
from archlab.tables.runs import run_table, store_table
from archlab.tables.search import search_table
from archlab.tables.settings import config_table
from archlab.tables.soundness import soundness_table
from archlab.tables.sparkline import intervals, picture
from archlab.tables.surgery import surgery_table
from archlab.tables.table import Table
from archlab.tables.text import text as lines_of
from archlab.tables.trace import trace_table
from archlab.tables.verdicts import verdict_sentence, verdicts_table
from archlab.tables.verification import verification_table

TEXT_WIDTH = 120
"""Columns of a printed table that holds prose; any other takes what it needs."""
TABLES: Mapping[type, Callable[[Any], Table | tuple[Table, ...]]] = {
    Experiment: claim_table,
    ExperimentResult: result_table,
    RateSearch: search_table,
    StoreSoundness: soundness_table,
    records.Check: check_table,
    records.Checkpoint: lambda found: checkpoint_table(found, None),
    Contents: lambda found: replace(store_table(found.runs, found.comparisons), footer=(f"Store: {found.path}",)),
    ListedNetwork: network_table,
    Table: lambda found: found,
    records.Comparison: comparison_tables,
    records.Decoding: decoding_tables,
    records.Diff: diff_table,
    records.Difference: difference_table,
    records.Examination: verdicts_table,
    records.Graph: graph_table,
    records.Growth: growth_table,
    records.Landscape: landscape_table,
    records.MemoryEstimate: memory_table,
    records.NormHealth: health_tables,
    records.Profile: profile_table,
    records.Run: run_table,
    records.Surgery: surgery_table,
    records.Trace: trace_table,
    records.TrainingConfig: config_table,
    records.Verification: verification_table,
}
"""Kind of record -> its table or tables. A single verdict is a sentence."""
_ACCURACY = BY_NAME["test_accuracy"]


def tables(record: object) -> tuple[Table, ...]:
    """The tables that a record is shown as.

    Raises:
        TypeError: it is no record.
    """
    found = TABLES.get(type(record), fields_table)(record)
    return found if isinstance(found, tuple) else (found,)


def text(record: object) -> str:
    """What `print(record)` prints: its tables, those that hold prose in `TEXT_WIDTH` columns."""
    if isinstance(record, records.Verdict):
        return verdict_sentence(record)
    drawn = [
        lines_of(table, TEXT_WIDTH if any(column.wraps for column in table.columns) else None)
        for table in tables(record)
    ]
    said = "\n".join(_sentences(record))
    return "\n\n".join([said, *drawn] if said else drawn)


def html(record: object) -> str:
    """A record as an HTML fragment for a notebook."""
    if isinstance(record, records.Verdict):
        return markup.sentences([verdict_sentence(record)])
    if isinstance(record, records.Trace):
        return markup.html(trace_table(record, columns=NOTEBOOK_COLUMNS))
    above = [markup.sentences(_sentences(record)), _chart(record)] if isinstance(record, records.Comparison) else []
    if isinstance(record, records.NormHealth):
        above = [markup.sentences(_sentences(record))]
    below = [_chart(record)] if isinstance(record, records.Run) else []
    return "\n".join([*above, *map(markup.html, tables(record)), *below])


def _sentences(record: object) -> tuple[str, ...]:
    if isinstance(record, records.NormHealth):
        return tuple(verdict_sentence(verdict) for verdict in record.alarming)
    return tuple(record.findings) if isinstance(record, records.Comparison) else ()


def _chart(record: records.Run | records.Comparison) -> str:
    if isinstance(record, records.Run):
        told = {
            "training": [epoch.train_accuracy for epoch in record.epochs],
            "test": [epoch.test_accuracy for epoch in record.epochs],
        }
        curves = {
            name: [math.nan if value is None else value for value in values]
            for name, values in told.items()
            if any(value is not None for value in values)
        }
        return picture(curves, "accuracy by epoch", _ACCURACY.written, chance_of([record.config])) if curves else ""
    estimates = {item.name: item.metrics[_ACCURACY.name] for item in record.variants if _ACCURACY.name in item.metrics}
    title, chance = _ACCURACY.titled(record.has_running), comparison_chance(record)
    return intervals(estimates, title, _ACCURACY.written, chance)
