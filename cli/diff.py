"""`archlab diff`: two networks side by side."""

from __future__ import annotations

from typing import Annotated

import typer

from archlab.cli.common.completion import network_names
from archlab.cli.common.console import emit, message
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_for_traces, refuse_idle
from archlab.cli.common.options import (
    BN,
    BatchOption,
    HubOptions,
    InputOption,
    NetworkArgument,
    NoCacheOption,
    OptionOption,
    TimeoutOption,
    both,
    depth_limit,
    is_trace,
    network_options,
    traced,
)
from archlab.cli.common.output import Format, Output
from archlab.errors import InputError


@grouped
def diff(
    context: typer.Context,
    before: NetworkArgument,
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="[NETWORK]",
            show_default=False,
            help="The other one. Default: the same with what --after, --bn and --skip change.",
            autocompletion=network_names,
        ),
    ] = None,
    inputs: InputOption = None,
    batch: BatchOption = None,
    timeout: TimeoutOption = None,
    no_cache: NoCacheOption = False,
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
    bn: Annotated[
        str | None,
        typer.Option("--bn", metavar=BN, show_default=False, help="What normalises in the second network."),
    ] = None,
    skip: Annotated[
        str | None,
        typer.Option("--skip", metavar="on|off", show_default=False, help="Skip connections of the second network."),
    ] = None,
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
    archlab diff lenet --after norm=none
    archlab diff torchvision:resnet18 --bn group          as it is, and with group normalisation
    archlab diff committed.json resnet18 --exit-code
    archlab diff resnet18 resnet34 --profile --depth 1
    archlab diff resnet densenet -o F.html                both diagrams side by side

    --input and --option go to both networks, --bn and --skip to the second; a FILE.json of archlab shapes --depth all
    --json stands for one.
    """
    limit = depth_limit(depth)
    if after is None and not (after_options or bn or skip):
        raise InputError(
            f"one network was given, {before}, and nothing that changes it: name the other one, or say what changes by "
            "--bn, --skip or --after K=V"
        )
    from archlab.analysis.diff import diff as compare
    from archlab.tables.diff import diff_table

    columns = ("time",) if profile else ()
    other = after or before
    for network, names in ((before, ("before_options",)), (other, ("after_options", "bn", "skip"))):
        if is_trace(network):
            refuse_idle(context, names, f"is for a network, and {network} is measured already")
    if is_trace(before) and is_trace(other):
        refuse_idle(context, ("profile",), f"measures networks, and {before} and {other} are measured already")
    refuse_for_traces(context, (before, other), columns)
    if target.form is Format.json:
        refuse_idle(
            context, ("depth", "everything"), "is for tables and pictures, and JSON holds every layer that differs"
        )
    sides = []
    for network, own, *switches in ((before, before_options), (other, after_options, bn, skip)):
        if is_trace(network):
            sides.append(traced(network))
        else:
            chosen = both(network_options([*(options or ()), *(own or ())], *switches), hub)
            sides.append(traced(network, inputs, batch, chosen, columns, anew=no_cache))
    found = compare(*sides)
    if target.form is Format.html and target.path is not None:
        from archlab.reports.diagram import save_pair

        message(f"wrote {save_pair(target.path, *sides, levels=limit, everything=everything)}")
    else:
        emit(target, lambda: diff_table(found, limit, everything=everything), found.to_json)
    if exit_code and not found.is_empty:
        raise typer.Exit(1)
