"""`archlab profile`: where a network's time goes on this machine, layer by layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.common.console import emit, message, prints_aside, progress
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_idle
from archlab.cli.common.options import DepthOption, Subject, depth_limit
from archlab.cli.common.output import Format, Output, page_path
from archlab.errors import InputError


@grouped
def profile(
    context: typer.Context,
    subject: Subject,
    *,
    depth: DepthOption = "1",
    backward: Annotated[
        bool, typer.Option("--backward", help="Time the backward pass too, in training mode: a step without optimiser.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option(metavar="NAME", show_default=False, help="cpu, cuda, ... Default: an accelerator if any."),
    ] = None,
    repeats: Annotated[
        int | None,
        typer.Option(
            metavar="N", show_default=False, help="Passes, 5 or more. Default: as many as fit into a few seconds."
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write a page too: times, roofline, diagram."),
    ] = None,
    target: Output,
) -> None:
    """Measure where the time goes, layer by layer.

    The network runs with weights on this machine, several times: the table has the median time of each layer, its
    quartiles and its share, the FLOP/s that it reaches, and whether memory or arithmetic bounds it. What lies between
    the layers is the row `rest`, and the sum is held against whole passes with nothing attached.

    \b
    archlab profile resnet18                              a forward pass, as in inference
    archlab profile torchvision:vit_b_16 --batch-size 8 --depth 3
    archlab profile resnet18 --backward                   forward and backward, as in training
    archlab profile resnet18 --device cuda --json -o resnet18.json
    archlab profile resnet18 --report resnet18.html       with a roofline picture

    archlab report resnet18.json makes the page of a profile that was kept. Only an idle machine gives steady times;
    threads are torch's (OMP_NUM_THREADS). As a column: archlab shapes NETWORK --columns +time; as colours: archlab
    graph NETWORK --colour time; of two networks: archlab diff A B --profile.
    """
    limit = depth_limit(depth)
    page_path(report)
    if target.form is Format.json:
        refuse_idle(context, ("depth",), "is for tables, and JSON holds every layer")
    if subject.network.endswith(".json"):
        raise InputError(
            f"{subject.network} is a record, and has no weights to be run with: expected a network's source. archlab "
            "report shows a profile that was kept"
        )
    import archlab
    from archlab.networks import resolve
    from archlab.tables.profile import profile_table

    with prints_aside(), progress() as bars:
        task = bars.add_task("passes", total=None, note="warming up")
        found = archlab.profile(
            resolve(subject.network, subject.chosen),
            subject.inputs or None,
            batch=subject.batch,
            backward=backward,
            device=device,
            repeats=repeats,
            progress=lambda done, total: bars.update(task, completed=done, total=total, note=f"{done}/{total}"),
        )
    emit(target, lambda: profile_table(found, limit), found.to_json)
    if report is not None:
        from archlab.reports import save

        message(f"wrote {save(report, [found])}")
