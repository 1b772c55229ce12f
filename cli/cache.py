"""`archlab cache`: what is kept of earlier looks at networks."""

from __future__ import annotations

import typer

from archlab.cli.common.console import message, write

cache = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""What is kept of earlier looks at networks.

    `archlab shapes`, `growth`, `graph`, `diff`, `check` and `report` keep the traces of archlab's own networks, of
    torchvision's and timm's, and answer the same question again without torch. Files and modules of yours are never
    kept. ARCHLAB_CACHE names the folder (`off` for none); --no-cache asks anew.

    \b
    archlab cache show
    archlab cache clear
    """,
)


@cache.command("show")
def show_cache() -> None:
    """Say where it lies, and how much it holds."""
    from archlab.cli.common.answers import MOST_BYTES, cache_folder, held

    folder = cache_folder()
    if folder is None:
        write("ARCHLAB_CACHE is off: nothing is kept")
        return
    count, size = held()
    write(f"{folder}: {count:,} traces, {size / 1e6:.1f} of at most {MOST_BYTES / 1e6:.0f} MB")


@cache.command("clear")
def clear_cache() -> None:
    """Forget all of it."""
    from archlab.cli.common.answers import clear

    count, size = clear()
    message(f"{count:,} traces forgotten, {size / 1e6:.1f} MB")
