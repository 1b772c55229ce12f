"""`archlab landscape`: the loss around the weights of a run that has ended."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.completion import run_keys
from archlab.cli.common.console import emit, message
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_data_options
from archlab.cli.common.keys import matching
from archlab.cli.common.output import Output
from archlab.cli.common.places import TrustOption
from archlab.cli.common.progress import showing_progress
from archlab.cli.common.settings import InProcess

if TYPE_CHECKING:
    from archlab.records import Landscape


@grouped
def landscape(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Its key, as archlab runs show takes it.", autocompletion=run_keys)
    ],
    points: Annotated[
        int, typer.Option("--points", metavar="N", help="On each side of the grid, odd: 21 take 441 forward passes.")
    ] = 21,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what the run has, from the start.")] = False,
    trust: TrustOption = False,
    *,
    execution: InProcess,
    target: Output,
) -> None:
    """Measure the loss around the weights of a run that has ended.

    In a plane of two random directions that are scaled to the filters (Li et al. 2018). The store keeps no weights, so
    the run is trained again first, which builds its network: on the same machine and versions it gives the same bits,
    and where its losses differ from the stored ones the command refuses. Ctrl-C stops it; the same command goes on
    where it was. archlab report RUN draws the landscape. (train and compare measure it at once with --landscape N.)

    \b
    archlab landscape lenet-digits-seed0-4f2a91c03b7e
    archlab landscape lenet-digits-seed0-4f2a91c03b7e --points 51
    """
    from archlab.tables.landscape import landscape_table
    from archlab.training import measure_landscape

    home = execution.home
    run = matching(home, run)
    found_run = home.run(run)
    refuse_data_options(context, found_run.config.dataset)
    before = None if fresh else home.probes(found_run.key)
    known = before.landscape if before else None
    with showing_progress(1) as watch:
        found = measure_landscape(
            run, points, execution=replace(execution, store=home, fresh=fresh), progress=watch, trust=trust
        )
    emit(target, lambda: landscape_table(found), lambda: _document(run, found))
    if known is not None and len(known.coordinates) == points:
        message(f"{run} has this landscape already (--fresh measures it again)")
    message(f"kept with the run; archlab report {run} draws it")


def _document(run: str, found: Landscape) -> str:
    document = {
        "schema": "archlab.landscape/1",
        "run": run,
        "images": found.images,
        "coordinates": found.coordinates.tolist(),
        "losses": [[loss if abs(loss) < float("inf") else str(loss) for loss in row] for row in found.losses.tolist()],
    }
    return json.dumps(document, indent=2)
