"""What was changed in a network, as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records.surgery import Cut, Surgery

TITLES = {"fold": "BatchNorm folded", "norm": "normalisation replaced", "skip": "skip connections switched off"}


def surgery_table(done: Surgery) -> Table:
    """One row per layer or addition that was looked at; those that were left as they were are marked."""
    to = f" by {done.to}" if done.to else ""
    before, after = done.parameters
    footer = [f"{len(done.done)} of {len(done.cuts)} changed; parameters: {before:,} before, {after:,} after."]
    if done.biases:
        footer.append(
            f"{len(done.biases)} {'layers' if len(done.biases) > 1 else 'layer'} given a bias: {_listed(done.biases)}."
        )
    if done.removed:
        footer.append(f"Removed, since nothing uses what they give: {_listed(done.removed)}.")
    return Table(
        columns=(
            Column("path", "path", shrinks=True),
            Column("kind", "kind", shrinks=True),
            Column("channels", "channels", "right", optional=True),
            Column("into", "now"),
            Column("reason", "reason", wraps=True, optional=True),
        ),
        rows=tuple(map(_row, done.cuts)),
        title=f"{done.network}: {TITLES[done.action]}{to}",
        footer=(*footer, *done.notes),
    )


def _row(cut: Cut) -> Row:
    cells = (cut.path, cut.kind, cut.channels or None, cut.into or "as it was", cut.reason)
    return Row(cells, emphasis="" if cut.done else "bad")


def _listed(paths: tuple[str, ...]) -> str:
    return ", ".join(paths)
