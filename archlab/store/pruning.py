"""Which runs of a store are to go, and which of them stay nevertheless."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from archlab.store.conditions import chosen, started_before

if TYPE_CHECKING:
    from archlab.records.entry import Entry


@dataclass(frozen=True, slots=True)
class Pruning:
    """What goes, the oldest first, and how many stay though the conditions hold for them."""

    going: Sequence[Entry]
    running: int
    compared: int
    """Those that a comparison names."""
    kept: int
    """The newest ones."""


def pruned(
    entries: Sequence[Entry],
    compared: Collection[str],
    *,
    where: str | None = None,
    before: datetime | None = None,
    keep: int = 0,
) -> Pruning:
    """The runs to go: those for which all that is given holds, but none that runs, and none that is compared.

    Args:
        entries: all runs, the oldest first.
        compared: keys of the runs that stay since a comparison names them.
        where: conditions.
        before: when they were started, at the latest.
        keep: how many stay of those that would go, the newest.

    Raises:
        InputError: as `conditions.chosen` does.
    """
    found = list(entries) if where is None else chosen(entries, where)
    if before is not None:
        found = started_before(found, before)
    ended = [entry for entry in found if entry.status != "running"]
    loose = [entry for entry in ended if entry.key not in compared]
    going = loose[: max(0, len(loose) - keep)]
    return Pruning(going, len(found) - len(ended), len(ended) - len(loose), len(loose) - len(going))
