"""`archlab runs verify` and `archlab runs repair`: whether what the store holds is as it was written."""

from __future__ import annotations

from typing import Annotated

import typer

from archlab.cli.common.completion import run_keys
from archlab.cli.common.console import emit, message, write_item
from archlab.cli.common.groups import grouped
from archlab.cli.common.keys import matching
from archlab.cli.common.output import Output
from archlab.cli.common.places import StoreOption

SomeKeys = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY]...",
        show_default=False,
        help="Of runs and comparisons. Default: all that the store holds.",
        autocompletion=run_keys,
    ),
]


@grouped
def verify_runs(keys: SomeKeys = None, store: StoreOption = None, *, target: Output) -> None:
    """Read every file once and hold it against the hash that was written with it; exit code 1 where one is damaged.

    Runs of an older archlab have no hashes: of these it is tried whether they can be read.

    \b
    archlab runs verify
    archlab runs verify lenet-digits-seed0-4f2a91c03b7e --json
    """
    from archlab.store import open_store
    from archlab.store.verifying import verify
    from archlab.tables.soundness import soundness_table

    home = open_store(store)
    found = verify(home, [matching(home, key) for key in keys or ()])
    emit(target, lambda: soundness_table(found), found.to_json)
    if found.damaged:
        raise typer.Exit(1)


def repair_runs(
    keys: SomeKeys = None,
    store: StoreOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
) -> None:
    """Do what can be done about what archlab runs verify finds, and say it.

    Damaged files and runs are moved into the folder damaged of the store; what was cut short loses its last line; what
    processes left behind that are gone is removed; runs of an older archlab get hashes, of their files as they are.

    \b
    archlab runs repair --dry-run
    archlab runs repair
    """
    from archlab import files
    from archlab.store import open_store
    from archlab.store.repairing import repairs

    home = open_store(store)
    done = 0
    for repair in repairs(home, [matching(home, key) for key in keys or ()]):
        with files.writing(home.path):
            if not dry_run:
                repair.act()
        write_item(("would " if dry_run else "") + repair.said)
        done += 1
    if not done:
        message(f"{home.path}: there is nothing to do")
