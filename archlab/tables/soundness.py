"""What is whole and what is damaged in a store, as a table."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archlab.analysis.wording import counted
from archlab.tables.table import Column, Emphasis, Row, Table

if TYPE_CHECKING:
    from archlab.records.soundness import Soundness, StoreSoundness

_ROLES: dict[str, Emphasis] = {"damaged": "bad", "newer": "changed", "no access": "changed", "interrupted": "dim"}


def soundness_table(found: StoreSoundness) -> Table:
    """One row per run, comparison and trace; beneath, how many are in which state, and what may be done."""
    states = Counter(one.state for one in found.found)
    footer = [
        ", ".join(f"{count:,} {state}" for state, count in states.items()) + "." if states else "Nothing is there."
    ]
    if states["no hashes"]:
        footer.append("no hashes: an older archlab wrote it; it can be read. archlab runs repair writes them.")
    if states["damaged"]:
        footer.append("archlab runs repair --dry-run says what can be done.")
    if found.leftovers:
        left = counted(len(found.leftovers), "leftover")
        named = ", ".join((*found.leftovers[:3], *(("...",) if len(found.leftovers) > 3 else ())))
        footer.append(f"{left} of processes that are gone, which archlab runs repair clears: {named}.")
    return Table(
        columns=(
            Column("name", "run, comparison or trace", shrinks=True),
            Column("kind", "kind"),
            Column("state", "state"),
            Column("files", "files", "right"),
            Column("said", "what was found", wraps=True),
        ),
        rows=tuple(_row(one, f"{found.path}/") for one in found.found),
        title=f"{found.path}: {counted(len(found.damaged), 'record')} damaged",
        footer=tuple(footer),
    )


def _row(one: Soundness, store: str) -> Row:
    return Row(
        (one.name, one.kind, one.state, one.files or None, "; ".join(one.said).replace(store, "")),
        emphasis=_ROLES.get(one.state, ""),
    )
