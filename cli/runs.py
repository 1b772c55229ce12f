"""`archlab runs`: what the store holds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.common.completion import run_keys
from archlab.cli.common.console import emit, message, progress, write
from archlab.cli.common.curves import show_course, show_courses
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_idle
from archlab.cli.common.keys import find, matching
from archlab.cli.common.listing import WhereOption
from archlab.cli.common.output import Format, Output
from archlab.cli.common.places import StoreOption
from archlab.cli.common.pruning import prune_runs
from archlab.cli.common.upkeep import repair_runs, verify_runs
from archlab.cli.common.verdicts import show_run_verdicts, show_worst_verdicts
from archlab.errors import StoreError

runs = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="""List, show, export, delete, verify and repair what is kept.

    The store holds runs and comparisons.

    \b
    archlab runs list
    archlab runs show KEY
    archlab runs delete KEY KEY
    archlab runs prune --where "status=failed" --dry-run
    """,
)


@runs.command("list")
@grouped
def list_runs(
    context: typer.Context,
    store: StoreOption = None,
    where: WhereOption = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD",
            show_default=False,
            help="key, status, epochs, test_accuracy (the best first), created, or a field of --where. Default: the "
            "oldest first.",
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            show_default=False,
            help="The newest N, or with --sort the first N; 0 for all. Default: 1,000, in JSON and CSV all.",
        ),
    ] = None,
    *,
    target: Output,
) -> None:
    """List runs and comparisons as one table, the oldest first.

    \b
    archlab runs list
    archlab runs list --sort test_accuracy --limit 20
    archlab runs list --where "network=lenet and test_accuracy>0.9"
    archlab runs list --format csv -o runs.csv
    """
    if target.form is Format.json:
        refuse_idle(context, ("sort",), "orders tables, and JSON keeps the order of the store")
    from archlab.cli.common.listing import listed
    from archlab.store import open_store

    listed(open_store(store), where, sort, limit, target)


@runs.command("show")
@grouped
def show_run(
    key: Annotated[
        str,
        typer.Argument(
            metavar="KEY",
            help="Of a run or a comparison, as archlab runs list names it; or its start, its last twelve letters, or "
            "newest.",
            autocompletion=run_keys,
        ),
    ],
    store: StoreOption = None,
    *,
    target: Output,
) -> None:
    """Show the epochs of a run, or the tables of a comparison, and what is wrong with them.

    \b
    archlab runs show newest
    archlab runs show lenet-digits-4f2a91c03b7e
    archlab runs show 4f2a91c03b7e --json
    """
    from archlab.cli.compare import show as show_comparison  # a list needs none of it
    from archlab.records import Run
    from archlab.store import open_store, unreadable
    from archlab.tables.runs import run_table

    home = open_store(store)
    found = find(home, matching(home, key))
    if isinstance(found, Run):
        emit(target, lambda: run_table(found), found.to_json)
        show_run_verdicts(found, home, target)
        show_course(found, home, target)
    else:
        for reason in unreadable(home, found.runs):
            message(f"warning: {reason}")
        show_comparison(found, target)
        show_courses(found, home, target)
        show_worst_verdicts(found, home, target)


@runs.command("export")
def export_runs(
    keys: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KEY]...",
            show_default=False,
            help="Of runs and comparisons. Default: all runs.",
            autocompletion=run_keys,
        ),
    ] = None,
    to: Annotated[
        str, typer.Option("--to", metavar="FORM", help="csv, parquet, tensorboard or mlflow; all but csv are extras.")
    ] = "csv",
    folder: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="An earlier export there is replaced.")
    ] = Path("export"),
    store: StoreOption = None,
) -> None:
    """Write runs for other tools: epochs, steps, probes, settings and tags; of a comparison all its runs.

    \b
    archlab runs export -o tables
    archlab runs export lenet-digits-4f2a91c03b7e --to parquet -o tables
    archlab runs export --to tensorboard -o logs        then: tensorboard --logdir logs
    archlab runs export --to mlflow -o mlruns           then: mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db
    """
    from archlab.exporting import export
    from archlab.records import Run
    from archlab.store import open_store

    home = open_store(store)
    found = [find(home, matching(home, key)) for key in keys] if keys else home.runs()
    chosen = [run for item in found for run in ([item] if isinstance(item, Run) else map(home.run, item.runs))]
    count = len({run.key for run in chosen})
    with progress() as bars:
        task = bars.add_task(f"exporting to {to}", total=count, note="")
        written = export(
            chosen,
            to,
            folder,
            store=home,
            progress=lambda done: bars.update(task, completed=done, note=f"{done}/{count}"),
        )
    message(f"{'1 run' if count == 1 else f'{count} runs'} exported")
    write(str(written))


@runs.command("delete")
def delete_runs(
    keys: Annotated[
        list[str], typer.Argument(metavar="KEY...", help="Of runs and comparisons.", autocompletion=run_keys)
    ],
    store: StoreOption = None,
) -> None:
    """Delete runs or comparisons for good; a comparison's runs stay.

    \b
    archlab runs delete lenet-digits-4f2a91c03b7e
    """
    from archlab.store import open_store

    home = open_store(store)
    for key in keys:  # all of them, before the first is gone
        with contextlib.suppress(StoreError):  # what can't be read can be deleted
            find(home, key)
    for key in keys:
        home.delete(key)
        message(f"deleted {key}")


runs.command("prune")(prune_runs)
runs.command("verify")(verify_runs)
runs.command("repair")(repair_runs)
