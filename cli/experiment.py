"""`archlab experiment`: named claims of the literature, tried on this machine."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archlab.cli.common.console import emit, message, prints_aside, stopped_code, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_data_options
from archlab.cli.common.options import chosen_seeds
from archlab.cli.common.output import FileOutput, Format, Output, page_path
from archlab.cli.common.places import TrustOption, option
from archlab.cli.common.progress import announce, showing_progress
from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.records.settings import settings
from archlab.training.execution import Execution

if TYPE_CHECKING:
    from archlab.experiments.running import Plan
    from archlab.records import Trace
    from archlab.records.experiment import Experiment, ExperimentResult
    from archlab.store import Store
    from archlab.tables import Table

experiment = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""Try a claim of the literature, and say whether it comes out.

    An experiment is a file: a claim with its source, what is trained and what would refute it. Those that come with
    archlab have names; a file of yours is named by its path, FILE.toml.

    \b
    archlab experiment list
    archlab experiment show degradation
    archlab experiment run degradation
    archlab experiment run course --dataset fashion-mnist
    """,
)
_SETTINGS = settings(TrainingConfig)
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="As archlab experiment list shows it, or FILE.toml.")]


@experiment.command("list")
@grouped
def list_experiments(*, target: Output) -> None:
    """List the experiments that come with archlab.

    \b
    archlab experiment list
    """
    from archlab.experiments import experiment, names
    from archlab.tables.experiment import experiments_table

    found = [experiment(name) for name in names()]
    emit(target, lambda: experiments_table(found), lambda: _document(found))


@experiment.command("show")
@grouped
def show_experiment(
    name: NameArgument,
    file: Annotated[bool, typer.Option("--toml", help="Show the file itself, to begin one of your own with.")] = False,
    *,
    target: FileOutput,
) -> None:
    """Show an experiment's claim, protocol and expectations, and the commands that train the same.

    \b
    archlab experiment show degradation
    archlab experiment show degradation --toml -o mine.toml
    """
    from archlab.experiments import commands, experiment, location
    from archlab.tables.experiment import protocol_tables

    found = experiment(name)
    if file:
        if target.form is not Format.table:
            raise InputError(f"--toml shows the file as it is, not as {target.form}: leave one of them out")
        write(location(name).read_text(encoding="utf-8"), target.path)
        return
    if target.path is not None and target.path.suffix.lower() == ".toml":
        raise InputError(f"-o {target.path} names the experiment's file: add --toml, or choose another suffix")
    emit(target, lambda: protocol_tables(found, commands(found)), found.to_json)


@experiment.command("run")
@grouped
def run_experiment(
    context: typer.Context,
    name: NameArgument,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset", metavar="NAME", show_default=False, help=f"In place of digits: {_SETTINGS['dataset'].help}"
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            "--seeds",
            metavar="N",
            show_default=False,
            help="Runs per variant, from seed 0 on; or which seeds: 100-105, or 3,5,8. Default: the experiment's.",
        ),
    ] = None,
    epochs: Annotated[int | None, option(replace(_SETTINGS["epochs"], default=None))] = None,
    train_samples: Annotated[int | None, option(_SETTINGS["train_samples"])] = None,
    size: Annotated[int | None, option(_SETTINGS["size"])] = None,
    *,
    execution: Execution,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", show_default=False, help="Where the page goes. Default: into the store."
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no page.")] = False,
    trust: TrustOption = False,
    target: Output,
) -> None:
    """Run an experiment, and say whether its claim comes out.

    It comes out if every expectation holds; it does not if one fails; else these seeds can't tell, and about how many
    would is said. Runs that the store has are not trained again, so that an experiment that was stopped goes on where
    it was, and more --seeds add to it.

    \b
    archlab experiment run degradation
    archlab experiment run course --dataset fashion-mnist --report course.html
    archlab experiment run mine.toml --seeds 3
    """
    if report and no_report:
        raise InputError("--report and --no-report were both given: leave one of them out")
    page_path(report)
    refuse_data_options(context, dataset or "digits")
    from archlab.experiments import experiment, planned, run
    from archlab.training.preparation import Preparer

    given = {"dataset": dataset, "epochs": epochs, "train_samples": train_samples, "size": size}
    chosen: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    found = experiment(name)
    with prints_aside():
        plans = planned(found, seeds=None if seeds is None else chosen_seeds(seeds), chosen=chosen, trust=trust)
    home = execution.home
    execution = replace(execution, store=home)
    preparer = Preparer(execution)
    for plan in plans:
        rounds = plan.runs // len(plan.design.configs)
        announce(plan.design.configs * rounds, preparer, sought=rounds > 1)
    total = sum(plan.runs for plan in plans)
    command = shlex.join(["archlab", *sys.argv[1:]])
    with showing_progress(total) as watch:
        try:
            result = run(found, plans, execution, watch, command=command)
        except KeyboardInterrupt as error:
            message(f"stopped: {watch.ended} runs are in {home.path}, the same command goes on from there")
            raise typer.Exit(stopped_code(error)) from None
    _show(result, target)
    if not no_report:
        with prints_aside():
            networks = _networks(plans, preparer)
        written = _write_page(result, networks, home, report)
        tell = write if target == Output() else message
        tell(f"\nPage: {written}")
    if target == Output():
        from archlab.analysis.expectations import verdict_sentence

        write(f"\nVerdict: {verdict_sentence(result.outcomes)}")
    failed = [one.failed for held in result.comparisons for one in held.variants]
    failed += [one.failed for held in result.searches for one in held.variants]
    if any(failed):
        raise typer.Exit(1)


def _show(result: ExperimentResult, target: Output) -> None:
    from archlab.analysis.expectations import verdict_sentence
    from archlab.tables.experiment import claim_table, outcomes_table, result_table

    def tables() -> list[Table]:
        if target.form is Format.csv:
            return [outcomes_table(result)]
        found = result_table(result)
        if target != Output():  # at a terminal it is the last line
            found = replace(found, footer=(f"Verdict: {verdict_sentence(result.outcomes)}", *found.footer))
        return [claim_table(result.experiment), found]

    emit(target, tables, result.to_json)


def _networks(plans: Sequence[Plan], preparer: Any) -> list[Trace]:
    """A trace of each network of an experiment's variants, each once."""
    from archlab.comparing import traces

    found: list[Trace] = []
    for plan in plans:
        found += [one for one in traces(plan.design.variants, preparer) if one not in found]
    return found


def _write_page(result: ExperimentResult, networks: Sequence[Trace], home: Store, path: Path | None) -> Path:
    from archlab import files, reports

    target = path or home.report_path(f"{result.experiment.name}-{Path(result.dataset).name}")
    if path is None:
        files.make_folder(target.parent)
    return reports.save(target, [result, *networks], store=home, command=result.command)


def _document(found: Sequence[Experiment]) -> str:
    import json

    return json.dumps({"schema": "archlab.experiments/1", "experiments": [one.to_dict() for one in found]}, indent=2)
