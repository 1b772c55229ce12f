"""`archlab cache`: what is kept of earlier looks at networks and of earlier trainings."""

from __future__ import annotations

import typer

from archlab.analysis.wording import counted
from archlab.cli.common.console import message, write

cache = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="""What is kept of earlier looks and trainings.

    `archlab shapes`, `growth`, `graph`, `diff`, `check` and `report` keep the traces of archlab's own networks, of
    torchvision's and timm's, and answer the same question again without torch. Trainings keep how long a run took, from
    which the next one is estimated. Nothing is kept of files and modules of yours. ARCHLAB_CACHE names the folder
    (`off` for none); --no-cache asks for a trace anew.

    \b
    archlab cache show
    archlab cache clear
    """,
)


@cache.command("show")
def show_cache() -> None:
    """Say where it lies, and how much it holds."""
    from archlab import kept

    folder = kept.folder()
    if folder is None:
        write("ARCHLAB_CACHE is off: nothing is kept")
        return
    count, size = kept.held()
    write(f"{folder}: {counted(count, 'answer')}, {size / 1e6:.1f} of at most {kept.MOST_BYTES / 1e6:.0f} MB")


@cache.command("clear")
def clear_cache() -> None:
    """Forget all of it."""
    from archlab import kept

    count, size = kept.clear()
    message(f"{counted(count, 'answer')} forgotten, {size / 1e6:.1f} MB")
