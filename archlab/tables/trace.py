"""Traces as tables: one row per layer; repeated blocks are one row, unless they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from archlab.analysis.folding import Fold, fold
from archlab.records import Totals, Trace
from archlab.tables.columns import (
    BARS,
    COLUMNS,
    DEFAULT_COLUMNS,
    OF_LAYERS_ALONE,
    SPARED_COLUMNS,
    Measure,
    network_text,
    shapes_text,
    subject_text,
)
from archlab.tables.table import Column, Row, Table

MACS_NOTE = (
    "MACs: multiply-accumulates of convolutions, linear layers, matrix products, recurrent layers and attention, "
    "biases not counted."
)
FOLDING_NOTE = (
    "xN: N equal layers in one row; counts there and beneath are sums over all of them, shapes are those of one."
)


def trace_table(
    trace: Trace, depth: int | None = 1, columns: Sequence[str] = DEFAULT_COLUMNS, *, unfold: bool = False
) -> Table:
    """The layers as a table, with totals and the counting convention.

    Args:
        trace: the network.
        depth: levels of the tree of layers to show; None for all.
        columns: names in `COLUMNS` and `BARS`.
        unfold: give each of the repeated blocks its row, and each container its level.
    """
    measures = [(COLUMNS | BARS)[name] for name in columns]
    shown = [Fold(layer, layer.depth) for layer in trace.rows(depth)] if unfold else fold(trace, depth)
    failed, totals = trace.failure, trace.totals
    layers = [row.layer for row in shown]
    names = [marked(row.layer.path, row.count) for row in shown]
    values = [[measure.value(layer, totals) for layer in layers] for measure in measures]  # a network has thousands
    rows = tuple(
        [
            Row(
                cells,
                row.depth - 1,
                "bad" if failed and row.layer.path == failed.path else "" if row.layer.call else "dim",
                marked(row.name, row.count) if row.name else "",
            )
            for row, cells in zip(shown, zip(names, *values, strict=True), strict=True)
        ]
    )
    series = any(row.count > 1 for row in shown)
    return Table(
        columns=(Column("path", "path", shrinks=True), *_columns(columns, measures)),
        rows=rows,
        title=subject_text(trace),
        total=("total", *(measure.total(trace.totals) for measure in measures)),
        footer=(*([FOLDING_NOTE] if series else []), *footer(trace)),
    )


def traces_table(
    traces: Sequence[Trace],
    depth: int | None = 0,
    columns: Sequence[str] = DEFAULT_COLUMNS,
    *,
    unfold: bool = False,
    flat: bool = False,
) -> Table:
    """Several networks as one table: a row for each with its totals, its layers beneath.

    Args:
        traces: the networks.
        depth: levels of the trees of layers to show beneath the networks; 0 for none, None for all.
        columns: as for `trace_table`; the kind of a network is its name, and its output that of its last layer.
        unfold: as for `trace_table`.
        flat: a column of its own for the network, as programs want it; a row of totals has no path.
    """
    if depth == 0:
        columns = [name for name in columns if name not in OF_LAYERS_ALONE]
    parts = [trace_table(trace, depth, columns, unfold=unfold) for trace in traces]
    rows: list[Row] = []
    for trace, part in zip(traces, parts, strict=True):
        name = subject_text(trace) if flat or depth == 0 else network_text(trace)  # layers leave it little room
        totals = (part.total or ())[1:]
        own = tuple(
            shapes_text(trace.layers[-1].output_shapes) if column == "output-shape" and trace.layers else total
            for column, total in zip(columns, totals, strict=True)
        )
        rows.append(Row((name, None, *own) if flat else (name, *own), emphasis="" if flat or depth == 0 else "strong"))
        for row in part.rows if depth != 0 else ():
            cells = (name, *row.cells) if flat else row.cells
            rows.append(Row(cells, row.depth + 1, row.emphasis, row.label))
    head = (Column("network", "network", shrinks=True),)
    uncounted = [
        f"{trace.network}: MACs are lower bounds, not counted: {', '.join(trace.totals.uncounted_operations)}."
        for trace in traces
        if trace.totals.uncounted_operations
    ]
    return Table(
        columns=(*head, *parts[0].columns) if flat else (*head, *parts[0].columns[1:]),
        rows=tuple(rows),
        footer=(MACS_NOTE, *uncounted),
    )


def _columns(names: Sequence[str], measures: Sequence[Measure]) -> list[Column]:
    """The columns; where nobody chose them, some are optional."""
    spared = SPARED_COLUMNS if tuple(names[: len(DEFAULT_COLUMNS)]) == DEFAULT_COLUMNS else ()
    return [replace(item.column, optional=name in spared) for name, item in zip(names, measures, strict=True)]


def step_sentence(totals: Totals) -> str:
    """What a training step takes, pass by pass.

    >>> step_sentence(Totals(0, 0, 0, 100, 200, backward_macs=150, recomputed_macs=0, step_macs=250))
    'Training step: forward 100 + backward 150 = 250 MACs.'
    """
    again = f" + recomputation {totals.recomputed_macs:,}" if totals.recomputed_macs else ""
    sentence = f"Training step: forward {totals.macs:,} + backward {totals.backward_macs:,}{again}"
    missing = totals.uncounted_backward_operations
    if not missing:
        return f"{sentence} = {totals.step_macs:,} MACs{' at least' if totals.uncounted_operations else ''}."
    listed = ", ".join(f"{name} ({count})" for name, count in missing.items())
    return f"{sentence} = {totals.step_macs:,} MACs at least: in the backward pass without a formula: {listed}."


def marked(name: str, count: int) -> str:
    """The name with the number of layers that it stands for: `blocks.0-11 x12 (sum)`."""
    return f"{name} x{count} (sum)" if count > 1 else name


def footer(trace: Trace) -> tuple[str, ...]:
    """What the numbers mean, and what they leave out."""
    totals = trace.totals
    frozen = totals.parameters - totals.trainable_parameters
    sentences = [
        f"Parameters: {totals.trainable_parameters:,} trainable, {frozen:,} frozen. Buffers: {totals.buffers:,}.",
        f"{MACS_NOTE} FLOPs = 2 x MACs = {totals.flops:,}.",
        f"Normalisation, activation and pooling are counted apart: {totals.elementwise:,} elementwise operations.",
    ]
    if totals.uncounted_operations:
        known = totals.counted_operations
        total = known + sum(totals.uncounted_operations.values())
        missing = ", ".join(f"{name} ({count})" for name, count in totals.uncounted_operations.items())
        sentences.append(f"MACs and FLOPs are lower bounds: counted {known:,} of {total:,} operations, not {missing}.")
    if totals.step_macs is not None:
        sentences.append(step_sentence(totals))
    if trace.failure:
        where = trace.failure.path or "the network itself"
        sentences.append(
            f"The forward pass failed at {where}: parameters are the whole network's, MACs those up to there."
        )
    return (*sentences, *trace.notes)
