"""`archlab diff`: two networks side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from archlab.cli.common.console import emit, message
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_for_traces, refuse_idle
from archlab.cli.common.options import (
    BatchOption,
    HubOptions,
    InputOption,
    NetworkArgument,
    OptionOption,
    both,
    depth_limit,
    is_trace,
    network_options,
    traced,
)
from archlab.cli.common.output import Format, Output


@grouped
def diff(
    context: typer.Context,
    before: NetworkArgument,
    after: NetworkArgument,
    inputs: InputOption = None,
    batch: BatchOption = None,
    depth: Annotated[str, typer.Option(metavar="N|all", help="Levels of the tree of layers to show.")] = "all",
    before_options: Annotated[
        list[str] | None,
        typer.Option("--before", metavar="K=V", show_default=False, help="Option of the first network; repeatable."),
    ] = None,
    after_options: Annotated[
        list[str] | None,
        typer.Option("--after", metavar="K=V", show_default=False, help="Option of the second network; repeatable."),
    ] = None,
    options: OptionOption = None,
    *,
    hub: HubOptions,
    everything: Annotated[bool, typer.Option("--all", help="Show the layers that are equal too.")] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Measure both on this machine, and show the time of their layers.")
    ] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if the networks differ.")] = False,
    target: Output,
) -> None:
    """Show what sets two networks apart.

    \b
    archlab diff resnet18 resnet34 --depth 2
    archlab diff lenet lenet --after norm=none
    archlab diff committed.json resnet18 --exit-code
    archlab diff resnet18 resnet34 --profile --depth 1
    archlab diff resnet densenet -o F.html                both diagrams side by side

    --input and --option go to both networks; a FILE.json of archlab shapes --depth all --json stands for one.
    """
    limit = depth_limit(depth)
    from archlab.analysis.diff import diff as compare
    from archlab.tables.diff import diff_table

    columns = ("time",) if profile else ()
    for network, side in ((before, "before_options"), (after, "after_options")):
        if is_trace(network):
            refuse_idle(context, (side,), f"is for a network, and {network} is measured already")
    if is_trace(before) and is_trace(after):
        refuse_idle(context, ("profile",), f"measures networks, and {before} and {after} are measured already")
    refuse_for_traces(context, (before, after), columns)
    if target.form is Format.json:
        refuse_idle(
            context, ("depth", "everything"), "is for tables and pictures, and JSON holds every layer that differs"
        )
    sides = []
    for network, own in ((before, before_options), (after, after_options)):
        if is_trace(network):
            sides.append(traced(network))
        else:
            chosen = both(network_options([*(options or ()), *(own or ())]), hub)
            sides.append(traced(network, inputs, batch, chosen, columns))
    found = compare(*sides)
    if target.form is Format.html and target.path is not None:
        from archlab.reports.diagram import save_pair

        message(f"wrote {save_pair(target.path, *sides, levels=limit, everything=everything)}")
    else:
        emit(target, lambda: diff_table(found, limit, everything=everything), found.to_json)
    if exit_code and not found.is_empty:
        raise typer.Exit(1)
