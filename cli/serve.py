"""`archlab serve`: a local page that fills as runs go."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import message
from archlab.cli.common.places import StoreOption
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import TrainingConfig
    from archlab.reports.live import Live
    from archlab.store import Store


def serve(
    store: StoreOption = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="N",
            min=1,
            max=65535,
            show_default=False,
            help="Of 127.0.0.1. Default: the last one of this store, else 8420, else any that is free.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            show_default=False,
            help="In the page's address. Default: the last one of this store, else a random one.",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show runs on a local page as they go.

    The page shows what the store holds and fills until Ctrl-C ends it.

    Only this machine can reach the page, and only with the token in its address. It needs `pip install
    'archlab[serve]'`.

    \b
    archlab serve
    archlab serve --store runs --port 8421 --open
    """
    from archlab.reports.live import Live
    from archlab.store import open_store

    home = open_store(store)
    if store is not None and not home.path.exists():
        raise InputError(
            f"--store {store}: there is no such folder, expected a store. archlab train and archlab compare make one"
        )
    with Live(home, port=port, token=token) as live:
        _announce(live, show)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    message("stopped")


def follow(context: typer.Context, store: Store, plan: Sequence[TrainingConfig], *, fresh: bool, show: bool) -> Live:
    """A page on the runs of a plan, which ends with the command; its address stands on stderr."""
    from archlab.reports.live import Live

    live = context.with_resource(Live(store, plan=plan, fresh=fresh))
    _announce(live, show)
    return live


def _announce(live: Live, show: bool) -> None:
    message(f"Live: {live.url}")
    if not live.is_kept:
        message("The store can't be written: the next server will have another address.")
    if show:
        import webbrowser

        webbrowser.open(live.url)
