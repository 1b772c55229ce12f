"""`archlab train`: one run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from archlab.cli.common.completion import network_names
from archlab.cli.common.console import emit, message, prints_aside, write
from archlab.cli.common.curves import show_course
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_data_options
from archlab.cli.common.options import NetworkOptions
from archlab.cli.common.output import Output
from archlab.cli.common.progress import announce, showing_progress
from archlab.cli.common.settings import Chosen, InProcess
from archlab.cli.common.verdicts import write_verdict_line
from archlab.records.config import configured, consistent


@grouped
def train(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            show_default=False,
            help="A built-in name or another source, as for archlab shapes.",
            autocompletion=network_names,
        ),
    ],
    *,
    given: NetworkOptions,
    chosen: Chosen,
    execution: InProcess,
    target: Output,
) -> None:
    """Train a network once, and keep the run.

    The table holds loss and accuracy of every epoch; the store keeps them, and what each step gave. A run whose loss
    stops being finite, or is above ten times that of guessing over the last tenth of the steps, has diverged: it is
    shown and kept, and the command leaves with 1.

    \b
    archlab train lenet
    archlab train resnet --dataset fashion-mnist --train-samples 2000
    archlab train lenet --bn off --lr 0.01 --seed 3 --json
    archlab train lenet --probe-every 5 --landscape 21
    archlab train resnet20 --dataset cifar10 --optimizer sgd --sgd-momentum 0.9 --lr 0.1 --weight-decay 0.0001
        --schedule step --flip 0.5 --crop 4 --batch-size 128 --epochs 164
    """
    refuse_data_options(context, chosen["dataset"])
    from archlab import training
    from archlab.networks import resolve
    from archlab.tables.runs import run_table
    from archlab.training.preparation import Preparer

    with prints_aside():
        source = resolve(network, given)
    config = consistent(configured(network, {**chosen, "options": dict(source.options)}))
    home = execution.home
    where = replace(execution, store=home)
    announce([config], Preparer(where))
    with showing_progress(1) as watch:
        run = training.train(config, execution=where, progress=watch)
    emit(target, lambda: run_table(run), run.to_json)
    show_course(run, home, target)
    if target == Output():
        write("")
        write_verdict_line([run], home)
        write(f"Next: archlab runs show {run.key} has each verdict,")
        write(f"      archlab report {run.key} draws the run as a page")
    message(f"kept in {home.path} as {run.key}")
    if run.status == "diverged":
        message(f"diverged: {run.error}")
        raise typer.Exit(1)
