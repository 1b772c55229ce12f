"""`archlab shapes`: what each layer of a network takes, gives, holds and costs."""

from __future__ import annotations

from typing import Annotated

import typer

from archlab.cli.console import emit, output
from archlab.cli.options import (
    BatchOption,
    BnOption,
    DepthOption,
    FileOption,
    FormatOption,
    InputOption,
    JsonOption,
    NetworkArgument,
    OptionOption,
    SkipOption,
    depth_limit,
    network_options,
)


def shapes(
    network: NetworkArgument,
    inputs: InputOption = None,
    batch: BatchOption = None,
    depth: DepthOption = "1",
    columns: Annotated[str, typer.Option("--columns", metavar="A,B", show_default=False, help="Columns.")] = "",
    options: OptionOption = None,
    bn: BnOption = None,
    skip: SkipOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 where an operation has no formula.")] = False,
    form: FormatOption = None,
    as_json: JsonOption = False,
    path: FileOption = None,
) -> None:
    """Show the shapes, parameters and cost of each layer of a network.

    \b
    archlab shapes densenet --input 96
    archlab shapes resnet --depth all --columns +share,saved
    """
    target = output(form, as_json, path)
    limit = depth_limit(depth)
    from archlab.tables.trace import chosen_columns, costly_columns, trace_table

    chosen = chosen_columns([name for name in columns.split(",") if name])
    from archlab.tracing import trace

    traced = trace(
        network,
        inputs or None,
        batch=batch,
        columns=costly_columns(chosen),
        strict=strict,
        **network_options(options, bn, skip),
    )
    emit(target, lambda: trace_table(traced, limit, chosen), lambda: traced.to_depth(limit).to_json())
