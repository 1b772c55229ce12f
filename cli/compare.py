"""`archlab compare`: a paired experiment, with a report."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.analysis.claims import PRIMARY, USUAL_METRICS, checked_margin, claimable
from archlab.cli.common.completion import network_names
from archlab.cli.common.console import emit, message, prints_aside, stopped_code, write, write_item, write_line
from archlab.cli.common.console import show as show_tables
from archlab.cli.common.curves import show_courses
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_data_options, refuse_idle
from archlab.cli.common.options import BN, OptionOption, SeedsOption, chosen_seeds, network_options
from archlab.cli.common.output import Format, Output, page_path
from archlab.cli.common.planning import show_plan
from archlab.cli.common.progress import announce, showing_progress
from archlab.cli.common.settings import Levels
from archlab.cli.common.sharding import part, show_part
from archlab.cli.common.verdicts import show_worst_verdicts, write_verdict_line
from archlab.cli.report import networks_of
from archlab.cli.serve import follow
from archlab.errors import InputError
from archlab.records import TrainingConfig
from archlab.records.settings import varying
from archlab.training.execution import Execution

if TYPE_CHECKING:
    from archlab.comparing import Design
    from archlab.records import Comparison, Trace, Value
    from archlab.store import Store
    from archlab.tables import Table


@grouped
def compare(
    context: typer.Context,
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="A built-in name or another source, as for archlab shapes.",
            autocompletion=network_names,
        ),
    ] = "lenet",
    bn: Annotated[
        str | None,
        typer.Option("--bn", metavar=BN, show_default=False, help="Its BatchNorm against this, in any network."),
    ] = None,
    skip: Annotated[
        str | None,
        typer.Option(
            "--skip",
            metavar="off|on",
            show_default=False,
            help="Its skip connections against this, in any network with residual blocks.",
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            "--vary",
            metavar="K=V,V",
            show_default=False,
            help=f"An option of the network, or {', '.join(varying(TrainingConfig))}; the baseline's value first; "
            "repeated ones are crossed.",
        ),
    ] = None,
    options: OptionOption = None,
    seeds: SeedsOption = "6",
    metric: Annotated[
        str,
        typer.Option(
            "--metric", metavar="NAME", help=f"What claims are about, the others are shown: {', '.join(USUAL_METRICS)}."
        ),
    ] = PRIMARY,
    margin: Annotated[
        float | None,
        typer.Option(
            "--margin",
            metavar="X",
            show_default=False,
            help="Differences of --metric up to this count as equal: percentage points of an accuracy (default 1), "
            "nats of a loss (default 0.02).",
        ),
    ] = None,
    *,
    levels: Levels,
    execution: Execution,
    max_lr: Annotated[
        str | None,
        typer.Option(
            "--max-lr",
            metavar="LOW,HIGH",
            show_default=False,
            help="Seek the largest learning rate between these that doesn't diverge, by bisection, for each variant "
            "and seed; 0.0001,100 takes 6 runs each.",
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE", show_default=False, help="Where the report goes. Default: into the store."
        ),
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Show every metric, curve, finding and verdict too, as the report does.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Show the runs on a local page as they go (archlab[serve]).")
    ] = False,
    opened: Annotated[bool, typer.Option("--open", help="With --live: open the page in the browser.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Train nothing: show the runs, and what each takes in time and memory.")
    ] = False,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            show_default=False,
            help="Train only the I-th of N parts of the runs: for an array of jobs with one store. The same command "
            "without it compares them.",
        ),
    ] = None,
    target: Output,
) -> None:
    """Train variants, and say what sets them apart.

    All variants of a network are trained with the same seeds. The network as it is stands against what --bn, --skip,
    --vary or several values of a setting (--lr A,B) make of it. Runs that the store has are not trained again, so that
    a comparison that was stopped goes on where it was, and more --seeds add to it.

    A run whose loss stops being finite, or is above ten times that of guessing over the last tenth of the steps, has
    diverged: that is a result, which is counted and in no mean. Only runs that failed make the command leave with 1.

    It ends with the answer in one line; above it stands the table of --metric. Everything else is in the report, in
    --json and in files, and at the terminal with --full.

    \b
    archlab compare --bn off
    archlab compare resnet20 --skip off --epochs 2
    archlab compare --vary norm=batch,group,none --lr 0.001,0.01 --seeds 8
    archlab compare --bn off --probe-every 5 --landscape 21
    archlab compare --bn off --seeds 20 --dry-run
    archlab compare --bn off --seeds 20 --shard 1/4
    archlab compare --bn off --until accuracy=0.9 --epochs 20
    archlab compare --bn off --optimizer sgd --max-lr 0.001,100 --epochs 1
    archlab compare densenet --bn off --dataset fashion-mnist --train-samples 900
    """
    if opened and not live:
        raise InputError("--open opens the page of --live, which was not given: add it, or leave --open out")
    if report and no_report:
        raise InputError("--report and --no-report were both given: leave one of them out")
    page_path(report)
    if dry_run:
        others = ("full", "live", "opened", "report", "no_report", "max_lr")
        refuse_idle(context, others, "is for runs that are trained, and --dry-run trains none")
    if shard is not None:
        shown = ("full", "opened", "report", "no_report", "metric", "margin", "max_lr")
        refuse_idle(context, shown, "is for a comparison, and --shard trains a part of its runs")
    if target != Output():
        refuse_idle(context, ("full",), "is for the terminal, and files and other forms hold everything")
    if max_lr is not None:
        refuse_idle(context, ("full",), "is for a comparison, and --max-lr makes none")
        refuse_idle(context, ("metric", "margin"), "says what a comparison claims, and --max-lr makes none")
        pages = ("report", "no_report", "live", "opened")
        refuse_idle(context, pages, "is about a page, and --max-lr makes no report and no live page")
        refuse_idle(context, ("learning_rate",), "is what --max-lr seeks")
    refuse_data_options(context, levels["dataset"])
    unit = claimable(metric).unit
    stated = None if margin is None else checked_margin(margin) / unit.scale
    varied, shared = _varied(vary), network_options(options)
    from archlab.analysis.answers import answer
    from archlab.comparing import conduct
    from archlab.comparing.asked import AskedDesign
    from archlab.comparing.designing import seeds_of
    from archlab.tables.comparison import answer_table
    from archlab.training.engine import all_stored, starting, train_all

    home = execution.home
    execution = replace(execution, store=home)
    chosen = chosen_seeds(seeds)
    asked = AskedDesign(network, home, bn=bn, skip=skip, vary=varied, seeds=chosen, options=shared, **levels)
    is_ahead = not (asked.is_known or dry_run or shard or max_lr)
    if is_ahead:  # torch takes seconds to load: here and in the workers at once
        context.with_resource(starting(execution, 2 * len(seeds_of(chosen))))
    with prints_aside():
        designed = asked.design
    if max_lr is not None:
        _search(designed, execution, max_lr, target)
        return
    configs = designed.configs if shard is None else part(designed.configs, shard)
    if dry_run:
        from archlab.training.preparation import Preparer

        show_plan(configs, Preparer(execution), target)
        return
    followed = follow(context, home, configs, fresh=execution.fresh, show=opened) if live else None
    networks = None
    if not all_stored(configs, execution):
        if not is_ahead:
            context.with_resource(starting(execution, len(configs)))
        networks = _announced(designed, configs, execution)
    with showing_progress(len(configs)) as watch:
        try:
            command = shlex.join(["archlab", *sys.argv[1:]])
            if shard is not None:
                runs = train_all(configs, execution, watch, designed.sources)
            else:
                comparison = conduct(designed, execution, watch, command=command, metric=metric, margin=stated)
        except KeyboardInterrupt as error:
            message(
                f"stopped: {watch.ended} of {len(configs)} runs are in {home.path}, the same command goes on from there"
            )
            raise typer.Exit(stopped_code(error)) from None
    asked.keep()
    if shard is not None:
        show_part(home, runs, f"part {shard}, {len(runs)} of {len(designed.configs)} runs", target)
        return
    if followed is not None:
        followed.last_message = "The comparison has ended: its command shows the result."
    short = target == Output() and not full
    if short:
        show_tables([answer_table(comparison)])
        write("")
        write_verdict_line(home.available(comparison.runs), home, comparison)
    else:
        show(comparison, target, answer_last=True)
        show_courses(comparison, home, target)
        show_worst_verdicts(comparison, home, target)
    if not no_report:
        written = write_report(comparison, networks, home, report)
        tell = write if target == Output() else message
        tell(f"Report: {written}" if short else f"\nReport: {written}")
        if followed is not None:
            followed.last_message = f"The comparison has ended. Its report stays: {written.resolve()}"
    if target == Output():
        if short:
            write(f"More: archlab runs show {comparison.key}, or --full")
        elif comparison.findings:
            write(f"\n{comparison.findings[0]}")
        write("")
        write_line(*answer(comparison))  # what was asked, where people look
    if any(variant.failed for variant in comparison.variants):
        raise typer.Exit(1)


def _announced(designed: Design, configs: Sequence[TrainingConfig], execution: Execution) -> list[Trace]:
    """The networks that are to be trained, after it was said how long that will take.

    Raises:
        InputError: a network does not take the images.
    """
    from archlab.comparing import traces
    from archlab.training.preparation import Preparer

    preparer = Preparer(execution)
    with prints_aside():
        found = traces(designed.variants, preparer)
    announce(configs, preparer)
    return found


def _search(designed: Design, execution: Execution, bounds: str, target: Output) -> None:
    """Find the largest learning rates, and show them."""
    from archlab.comparing.searching import rate_grid, rounds, search
    from archlab.tables.search import search_table
    from archlab.training.preparation import Preparer

    values = replace(varying(TrainingConfig)["lr"], name="max_lr").parse_several(bounds)
    if len(values) != 2:
        raise InputError(f"--max-lr is {bounds!r}, expected LOW,HIGH: 0.0001,100 for instance")
    grid = rate_grid(*values)
    most = len(designed.configs) * rounds(grid)
    announce(designed.configs * rounds(grid), Preparer(execution), sought=True)
    with showing_progress(most) as watch:
        try:
            found = search(designed, execution, watch, grid=grid, command=shlex.join(["archlab", *sys.argv[1:]]))
        except KeyboardInterrupt as error:
            message(f"stopped: {watch.ended} runs are in {execution.home.path}, the same command goes on from there")
            raise typer.Exit(stopped_code(error)) from None
    emit(target, lambda: search_table(found), found.to_json)
    if any(variant.failed for variant in found.variants):
        raise typer.Exit(1)


def show(comparison: Comparison, target: Output, *, answer_last: bool = False) -> None:
    """Write a comparison in the form that was asked for; its findings stand under the tables.

    Args:
        comparison: what is shown.
        target: where and how.
        answer_last: leave out the first finding, which the caller writes at the very end.
    """
    from archlab.tables.comparison import comparison_table, comparison_tables

    def tables() -> list[Table]:
        if target.form is Format.csv:
            return [comparison_table(comparison)]
        *others, last = comparison_tables(comparison)
        if target == Output():  # the terminal's footers are dim, and what was found is the point
            return [*others, last]
        return [*others, replace(last, footer=(*comparison.findings, *last.footer))]

    emit(target, tables, comparison.to_json)
    sentences = comparison.findings[1:] if answer_last else comparison.findings
    if target == Output() and sentences:
        write("\nFindings\n")
        for sentence in sentences:
            write_item(sentence)


def write_report(comparison: Comparison, traces: Sequence[Trace] | None, store: Store, path: Path | None) -> Path:
    """The path of the report on a comparison, now written.

    Args:
        comparison: what is shown.
        traces: its networks; None for those that the store has.
        store: of its runs, and of the report where no path is given.
        path: where it goes; one in the store that shows the same is left.
    """
    from archlab import files
    from archlab.cli.common.store_pages import save_once

    def page() -> str:
        from archlab import reports

        networks = networks_of([comparison], store, data_dir=None, trust=False) if traces is None else traces
        return reports.page([comparison, *networks], store=store, command=comparison.command)

    if path is not None:
        return files.save(path, page())
    target = store.report_path(comparison.key)
    files.make_folder(target.parent)
    save_once(target, replace(comparison, created="").to_dict(), page)
    return target


def _varied(vary: list[str] | None) -> list[tuple[str, list[Value]]]:
    """The names and values of `--vary`."""
    varied: list[tuple[str, list[Value]]] = []
    for entry in vary or ():
        name, mark, values = entry.partition("=")
        name = name.strip().replace("-", "_")
        if not mark or not name or not values:
            raise InputError(
                f"--vary {entry!r} is no K=V,V: expected a name and its values, norm=batch,none for instance"
            )
        varied.append((name, [value.strip() for value in values.split(",")]))
    return varied
