"""`archlab shapes`: what each layer of a network takes, gives, holds and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import emit, message, prints_aside
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import DepthOption, Subject, depth_limit
from archlab.cli.common.output import Format, Output
from archlab.errors import ForwardError, InputError

if TYPE_CHECKING:
    from archlab.records import Trace

COLUMNS_HELP = (
    "Columns behind the path, separated by commas; +NAME adds to the default kind,layer,output-shape,parameters,macs. "
    "'--columns help' lists all."
)
FITS_HELP = (
    "Show the memory that a training step takes at its peak instead, and the largest batch that fits into SIZE: 24GB, "
    "80G (10^9 bytes) or 24GiB (2^30); exit 1 if the batch that --batch names does not fit."
)
DECODE_HELP = (
    "Show what a decoder takes instead: a prompt of N tokens at once (prefill), and one token behind N in the cache "
    "(decode): MACs, bytes of the cache, weights at fp32, bf16, int8 and int4, FLOPs per byte."
)


@grouped
def shapes(
    subject: Subject,
    *,
    depth: DepthOption = "1",
    columns: Annotated[str, typer.Option(metavar="A,B", show_default=False, help=COLUMNS_HELP)] = "",
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
    archlab shapes torchvision:resnet50 --fits 24GB --batch 256
    archlab shapes hf:FOLDER --seq 512 --depth 2
    archlab shapes hf:ORG/NAME --download --decode 4096

    Repeated equal blocks are one row (x12), and containers of a single module take no level; JSON and CSV always hold
    every layer down to the depth.
    """
    limit = depth_limit(depth)
    if columns == "help":
        _show_columns(target)
        return
    if subject.network.endswith((".safetensors", ".safetensors.index.json")):
        _checkpoint(target, subject, limit)
        return
    from archlab.tables.columns import chosen_columns, costly_columns

    chosen = chosen_columns([name.strip() for name in columns.split(",") if name.strip()])
    if budget is not None:
        _fits(target, subject, budget, optimizer, precision)
        return
    if decode is not None:
        _decode(target, subject, decode)
        return
    if verify:
        _verify(target, subject)
        return
    try:
        found = subject.trace(costly_columns(chosen))
    except ForwardError as error:
        if error.trace is not None:
            _show(target, error.trace, limit, chosen, unfold)
        raise
    _show(target, found, limit, chosen, unfold)
    if strict and found.totals.uncounted_operations:
        missing = ", ".join(found.totals.uncounted_operations)
        message(f"strict: the cost of these operations is not known: {missing}. archlab.tracing.register_cost adds one")
        raise typer.Exit(1)


def _show(target: Output, found: Trace, limit: int | None, chosen: tuple[str, ...], unfold: bool) -> None:
    from archlab.tables.trace import trace_table

    emit(
        target,
        lambda: trace_table(found, limit, chosen, unfold=unfold or target.form is Format.csv),
        lambda: found.to_depth(limit).to_json(),
    )


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
    emit(target, lambda: memory_table(found), found.to_json)
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
