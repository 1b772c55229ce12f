"""`archlab shapes`: what each layer of a network takes, gives, holds and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.completion import column_names
from archlab.cli.common.console import emit, message, prints_aside
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import OF_NETWORKS, given, refuse_for_traces, refuse_idle
from archlab.cli.common.options import Subject, Subjects, depth_limit, is_trace
from archlab.cli.common.output import Format, Output
from archlab.errors import ForwardError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archlab.records import Trace
    from archlab.tables import Table

COLUMNS_HELP = (
    "Columns behind the path, separated by commas; +NAME adds to the default kind,layer,output-shape,parameters,macs. "
    "'--columns help' lists all."
)
FITS_HELP = (
    "Show the memory that a training step takes at its peak instead, and the largest batch that fits into SIZE: 24GB, "
    "80G (10^9 bytes) or 24GiB (2^30), always with a unit; exit 1 if the batch that --batch names does not fit."
)
DECODE_HELP = (
    "Show what a decoder takes instead: a prompt of N tokens at once (prefill), and one token behind N in the cache "
    "(decode): MACs, bytes of the cache, weights at fp32, bf16, int8 and int4, FLOPs per byte."
)
SORT_HELP = (
    "Order by this column, which is shown then: numbers from the largest down, names from A to Z, layers within what "
    "holds them."
)
OF_LAYERS = ("depth", "columns", "sort", "unfold", "strict")
"""Options of the table of layers, which other tables have no use for."""
OTHER_TABLES = {"budget": "--fits", "decode": "--decode", "verify": "--verify"}
"""Parameters that ask for another table, and their options."""


@grouped
def shapes(
    context: typer.Context,
    subjects: Subjects,
    *,
    depth: Annotated[
        str | None,
        typer.Option(
            "--depth",
            metavar="N|all",
            show_default=False,
            help="Levels of the tree of layers to show. Default: 1; of several networks their totals alone.",
        ),
    ] = None,
    columns: Annotated[
        str, typer.Option(metavar="A,B", show_default=False, help=COLUMNS_HELP, autocompletion=column_names)
    ] = "",
    sort: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", show_default=False, help=SORT_HELP, autocompletion=column_names),
    ] = None,
    unfold: Annotated[
        bool, typer.Option("--unfold", help="A row for each of the repeated blocks, a level for each container.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 if the cost of an operation is not known.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare with torchinfo instead; exit 1 if a difference is unexplained.")
    ] = False,
    budget: Annotated[
        str | None,
        typer.Option("--fits", metavar="SIZE", show_default=False, help=FITS_HELP),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="For --fits: sgd, sgd-momentum, adam or adamw.")
    ] = "adam",
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="For --fits: fp32, or bf16 for mixed precision.")
    ] = "fp32",
    decode: Annotated[int | None, typer.Option(metavar="N", min=1, show_default=False, help=DECODE_HELP)] = None,
    target: Output,
) -> None:
    """Show the shapes, parameters and cost of layers.

    \b
    archlab shapes densenet --input 96
    archlab shapes resnet18 --depth 2 --columns +share,saved
    archlab shapes torchvision:vit_b_16 --depth all --format csv -o vit.csv
    archlab shapes torchvision:resnet50 --fits 24GB --batch-size 256
    archlab shapes hf:FOLDER --seq 512 --depth 2
    archlab shapes hf:ORG/NAME --download --decode 4096
    archlab shapes resnet18 resnet34 torchvision:vgg16 --sort macs
    archlab shapes resnet50 --depth all --sort macs --unfold

    Repeated equal blocks are one row (x12), and containers of a single module take no level; JSON and CSV always hold
    every layer down to the depth.
    """
    several = len(subjects.networks) > 1
    limit = (0 if several else 1) if depth is None else depth_limit(depth)
    if columns == "help":
        shown = (*OF_LAYERS[2:], "depth", *OTHER_TABLES, *OF_NETWORKS)
        refuse_idle(context, shown, "shows nothing beside '--columns help', which lists columns alone")
        _show_columns(target)
        return
    checkpoints = [name for name in subjects.networks if name.endswith((".safetensors", ".safetensors.index.json"))]
    _refuse(context, subjects.networks, bool(checkpoints), target, totals=limit == 0)
    subject = subjects.each[0]
    if checkpoints:
        _checkpoint(target, subject, limit)
        return
    from archlab.tables.columns import chosen_columns, costly_columns

    asked = [name.strip() for name in columns.split(",") if name.strip()]
    chosen = chosen_columns(asked)
    if sort not in (None, "path", "network"):
        chosen = chosen_columns([*(asked or chosen), sort])
    measured = costly_columns(chosen)
    refuse_for_traces(context, subjects.networks, measured)
    if target.form is Format.json and not measured:
        refuse_idle(context, ("columns",), "chooses what a table shows, and JSON holds all of it")
    if budget is not None:
        _fits(target, subject, budget, optimizer, precision)
        return
    if decode is not None:
        _decode(target, subject, decode)
        return
    if verify:
        _verify(target, subject)
        return
    if several:
        traces = [one.trace(measured) for one in subjects.each]
        _show_several(target, traces, limit, chosen, unfold, sort)
    else:
        try:
            traces = [subject.trace(measured)]
        except ForwardError as error:
            if error.trace is not None:
                _show(target, error.trace, limit, chosen, unfold, sort)
            raise
        _show(target, traces[0], limit, chosen, unfold, sort)
    unknown = {name: None for found in traces for name in found.totals.uncounted_operations}
    if strict and unknown:
        missing = ", ".join(unknown)
        message(f"strict: the cost of these operations is not known: {missing}. archlab.tracing.register_cost adds one")
        raise typer.Exit(1)


def _refuse(context: typer.Context, networks: Sequence[str], checkpoint: bool, target: Output, *, totals: bool) -> None:
    """Refuse options that contradict each other or would do nothing."""
    several = len(networks) > 1
    others = [OTHER_TABLES[name] for name in OTHER_TABLES if given(context, (name,))]
    if len(others) > 1:
        raise InputError(f"{others[0]} and {others[1]} each show a table of their own: leave one of them out")
    if several and (others or checkpoint):
        raise InputError(f"{others[0] if others else 'a checkpoint'} is for one network at a time: name one")
    if checkpoint:
        refuse_idle(context, (*OF_LAYERS[1:], *OTHER_TABLES), "is for layers, and a checkpoint holds weights alone")
    if others:
        refuse_idle(context, OF_LAYERS, f"is for the table of layers, and {others[0]} shows another")
    if "--fits" not in others:
        refuse_idle(context, ("optimizer", "precision"), "has no effect without --fits SIZE")
    if target.form is Format.json:
        refuse_idle(context, ("sort",), "orders tables, and JSON keeps the order of the network")
    if target.form in (Format.json, Format.csv):
        refuse_idle(context, ("unfold",), f"is for tables, and {target.form} has a row for each layer anyway")
    if totals:
        refuse_idle(context, ("unfold",), "is for layers, and only totals are shown; --depth 1 shows layers")
    for kept in filter(is_trace, networks if several else ()):
        refuse_idle(context, OF_NETWORKS, f"is for a network, and {kept} is measured already")


def _show(
    target: Output, found: Trace, limit: int | None, chosen: tuple[str, ...], unfold: bool, sort: str | None
) -> None:
    from archlab.tables.trace import trace_table

    def table() -> Table:
        return _sorted(trace_table(found, limit, chosen, unfold=unfold or target.form is Format.csv), sort)

    emit(target, table, lambda: found.to_depth(limit).to_json())


def _show_several(
    target: Output,
    found: Sequence[Trace],
    limit: int | None,
    chosen: tuple[str, ...],
    unfold: bool,
    sort: str | None,
) -> None:
    import json

    from archlab.tables.trace import traces_table

    flat = target.form is Format.csv

    def table() -> Table:
        return _sorted(traces_table(found, limit, chosen, unfold=unfold or flat, flat=flat), sort)

    def document() -> str:
        listed = [json.loads(one.to_depth(limit).to_json()) for one in found]
        return json.dumps({"schema": "archlab.traces/1", "traces": listed}, indent=2)

    emit(target, table, document)


def _sorted(table: Table, sort: str | None) -> Table:
    if sort is None:
        return table
    from archlab.tables.columns import COLUMNS, GROUPS
    from archlab.tables.sorting import by_column

    first = GROUPS.get(sort, (sort,))[0]
    return by_column(table, COLUMNS[first].column.name if first in COLUMNS else first)


def _verify(target: Output, subject: Subject) -> None:
    from archlab.networks import resolve
    from archlab.tables.verification import verification_table
    from archlab.tracing import verify

    with prints_aside():
        found = verify(resolve(subject.network, subject.chosen), subject.inputs or None, batch=subject.batch)
    emit(target, lambda: verification_table(found), found.to_json)
    if found.unexplained:
        raise typer.Exit(1)


def _fits(target: Output, subject: Subject, budget: str, optimizer: str, precision: str) -> None:
    from archlab.networks import resolve
    from archlab.tables.memory import memory_table
    from archlab.tracing import fits

    with prints_aside():
        found = fits(
            resolve(subject.network, subject.chosen),
            subject.inputs or None,
            budget=budget,
            optimizer=optimizer,
            precision=precision,
            batch=subject.batch,
        )
    emit(target, lambda: memory_table(found, budget), found.to_json)
    if found.fits is False:
        raise typer.Exit(1)


def _checkpoint(target: Output, subject: Subject, limit: int | None) -> None:
    if subject.inputs or subject.batch or subject.chosen:
        raise InputError(f"{subject.network} holds weights and builds no network: leave inputs and options out")
    from archlab.networks import checkpoint
    from archlab.tables.checkpoint import checkpoint_table

    found = checkpoint(subject.network)
    emit(target, lambda: checkpoint_table(found, limit), found.to_json)


def _decode(target: Output, subject: Subject, tokens: int) -> None:
    if subject.inputs:
        raise InputError("--decode makes its own inputs, a prompt of N tokens: leave --input out")
    from archlab.networks import resolve
    from archlab.tables.decoding import decoding_tables
    from archlab.tracing import decoding

    with prints_aside():
        found = decoding(resolve(subject.network, subject.chosen), tokens, batch=subject.batch)
    emit(target, lambda: decoding_tables(found), found.to_json)


def _show_columns(target: Output) -> None:
    import msgspec

    from archlab.tables.columns import columns_table

    listed = columns_table()
    emit(
        target,
        lambda: listed,
        lambda: msgspec.json.format(
            msgspec.json.encode({str(row.cells[0]): row.cells[1] for row in listed.rows})
        ).decode(),
    )
