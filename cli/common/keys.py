"""Names of runs and comparisons, as users write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.cli.common.console import message
from archlab.errors import InputError, StoreError, nearest

if TYPE_CHECKING:
    from archlab.records import Comparison, Run
    from archlab.store import Store

NEWEST = "newest"
DIGEST_LETTERS = 12
"""At the end of every key, made from what decides a result."""


def matching(store: Store, name: str) -> str:
    """The key that a name stands for: itself, the only key that begins so or has this end, or the newest.

    Raises:
        InputError: several keys begin so, or the store is empty and the newest is asked for.
    """
    comparisons = store.comparisons()
    folders = [folder.key for folder in store.run_folders()]
    known = sorted({*folders, *(one.key for one in comparisons)})
    if name == NEWEST:
        for problem in store.problems():  # which may be newer
            message(f"warning: {problem.error}")
        made = [(run.created, 0, run.key) for run in store.listing().entries]
        made += [(one.created, 1, one.key) for one in comparisons]  # made after its runs, perhaps in the same second
        if not made:
            raise InputError(f"{store.path} holds no run yet, and no newest one: archlab compare --bn off makes some")
        return max(made)[2]
    if name in known or not name:
        return name
    found = [key for key in known if key.startswith(name) or name == key[-DIGEST_LETTERS:]]
    if len(found) > 1:
        listed = ", ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
        raise InputError(f"{name!r} is the start of {len(found)} keys: {listed}. Give more of the one that is meant")
    return found[0] if found else name


def find(store: Store, key: str) -> Run | Comparison:
    """The run or the comparison of that name.

    Raises:
        InputError: there is neither, with the nearest names.
        StoreError: it is there and can't be read.
    """
    for read in (store.comparison, store.run):
        try:
            return read(key)
        except InputError:
            continue
        except StoreError as error:
            raise StoreError(f"{error}. `archlab runs delete {key}` removes it") from error
    known = {folder.key for folder in store.run_folders()} | {comparison.key for comparison in store.comparisons()}
    raise InputError(f"no run or comparison {key!r} in {store.path}: {nearest(key, known)}")
