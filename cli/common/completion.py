"""What the shell proposes where a network, a run or a column is typed: `archlab --install-completion`.

A function takes the beginning of a word, and gives the words that begin so. A key press must not wait, and must not
fail: what can't be read proposes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

ZOOS = ("torchvision:", "timm:", "hf:")


def network_names(incomplete: str) -> list[str]:
    """Built-in networks and those of other packages; behind `torchvision:` and `timm:` those of the zoo."""
    from importlib.metadata import entry_points  # both take longer than many a command

    from archlab.circumstances import BUILT_IN

    known: Iterable[str] = (*BUILT_IN, *(point.name for point in entry_points(group="archlab.networks")), *ZOOS)
    if ":" in incomplete:
        with contextlib.suppress(Exception):
            from archlab import networks

            known = networks.zoo_names(incomplete.partition(":")[0])
    return [name for name in known if name.startswith(incomplete)]


def column_names(incomplete: str) -> list[str]:
    """Columns of the table of layers, behind those that are there already: `kind,sha` gives `kind,share`."""
    from archlab.tables.columns import COLUMNS, GROUPS

    there, comma, last = incomplete.rpartition(",")
    plus = "+" if last.startswith("+") else ""
    taken = {name.strip().removeprefix("+") for name in there.split(",")}
    return [
        f"{there}{comma}{plus}{name}"
        for name in (*COLUMNS, *GROUPS)
        if name.startswith(last.removeprefix("+")) and name not in taken
    ]


def run_keys(incomplete: str) -> list[str]:
    """Runs and comparisons of the store that `ARCHLAB_STORE` names, else of `archlab-runs`, and `newest`."""
    known = ["newest"]
    with contextlib.suppress(Exception):
        from archlab.store import open_store

        store = open_store()
        known += [folder.key for folder in store.run_folders()] + [one.key for one in store.comparisons()]
    return [key for key in known if key.startswith(incomplete)]


def names_or_keys(incomplete: str) -> list[str]:
    """Both, for a command that shows either."""
    return [*run_keys(incomplete), *network_names(incomplete)]
