"""`archlab runs prune`: runs that are not needed any more go together."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import is_terminal, message, progress, show
from archlab.cli.common.listing import SHOWN, WhereOption
from archlab.cli.common.places import StoreOption
from archlab.errors import InputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archlab.store import Store
    from archlab.store.pruning import Pruning


def prune_runs(
    store: StoreOption = None,
    where: WhereOption = None,
    older: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", show_default=False, help="Those that were started longer ago: 30d, 12h, 2w or 45m."
        ),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, show_default=False, help="The newest N of those that would go stay."),
    ] = None,
    comparisons: Annotated[
        bool, typer.Option("--comparisons", help="Runs that a comparison names go too; the comparison stays.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and leave it.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
) -> None:
    """Delete many runs for good: those for which --where, --older and --keep hold.

    They are listed, and go after a yes. What is running stays, and so does what a comparison names.

    \b
    archlab runs prune --where "status=failed" --dry-run
    archlab runs prune --where "network=lenet and test_accuracy<0.5" --older 30d
    archlab runs prune --keep 1000 --yes
    """
    from archlab.analysis.wording import counted
    from archlab.store import open_store
    from archlab.store.conditions import age
    from archlab.store.pruning import pruned
    from archlab.tables.runs import runs_table

    if where is None and older is None and keep is None:
        raise InputError("nothing says which runs are to go: give --where, --older or --keep")
    before = None if older is None else datetime.now().astimezone() - age(older)
    home = open_store(store)
    named = frozenset() if comparisons else {key for one in home.comparisons() for key in one.runs}
    found = pruned(home.listing().entries, named, where=where, before=before, keep=keep or 0)
    count = counted(len(found.going), "run")
    if found.going:
        left = f"The first {SHOWN:,d} of {count}." if len(found.going) > SHOWN else ""
        show([runs_table(found.going[:SHOWN], f"{count} to go", *([left] if left else []))])
    _tell_what_stays(found)
    if not found.going or dry_run:
        message(f"{count} would go" if dry_run else "no run is to go")
        return
    if not yes and not _agreed(count):
        message("nothing was deleted")
        return
    keys = [entry.key for entry in found.going]
    message(f"{counted(_delete(home, keys), 'run')} deleted")


def _tell_what_stays(found: Pruning) -> None:
    from archlab.analysis.wording import counted

    for number, why in (
        (found.running, "running"),
        (found.compared, "named by a comparison (--comparisons takes them too)"),
        (found.kept, "kept as the newest"),
    ):
        if number:
            message(f"{counted(number, 'run')} of those will stay: {why}")


def _agreed(count: str) -> bool:
    """Whether the user says yes.

    Raises:
        InputError: nobody is there to ask.
    """
    if not is_terminal(sys.stdin):
        raise InputError(f"{count} would go, and nobody can be asked here: --yes deletes them, --dry-run lists them")
    return typer.confirm("Delete them for good?", err=True)


def _delete(store: Store, keys: Sequence[str]) -> int:
    """How many runs are gone; of those that can't be deleted a warning says why."""
    with progress() as bars:
        task = bars.add_task("deleting", total=len(keys), note="")
        gone = 0
        for place, error in enumerate(store.delete_runs(keys), start=1):
            gone += error is None
            if isinstance(error, StoreError):
                message(f"warning: {error}")
            bars.update(task, completed=place, note=f"{place}/{len(keys)}")
    return gone
