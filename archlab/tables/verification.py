"""The comparison with another tool as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.tables.columns import shapes_text
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records import Discrepancy, Verification


def verification_table(verification: Verification) -> Table:
    """One row per value that the other tool has otherwise, with where the difference comes from."""
    witness = verification.witness
    different, open_ones = len(verification.discrepancies), len(verification.unexplained)
    verdict = "none of them unexplained" if not open_ones else f"{open_ones:,} of them unexplained"
    on = f" on {shapes_text(verification.inputs)}" if verification.inputs else ""
    return Table(
        columns=(
            Column("path", "path", shrinks=True),
            Column("kind", "kind", shrinks=True),
            Column("quantity", "quantity"),
            Column("ours", "archlab", "right"),
            Column("theirs", witness.split()[0], "right"),
            Column("explanation", "explanation", wraps=True),
        ),
        rows=tuple(map(_row, verification.discrepancies)),
        title=f"{verification.network}{on}: archlab and {witness}",
        footer=(
            f"{verification.compared:,} values compared, {different:,} different"
            + (f", {verdict}." if different else "."),
            *verification.notes,
        ),
    )


def _row(item: Discrepancy) -> Row:
    return Row(
        (
            item.path or "(total)",
            item.kind,
            item.quantity,
            _number(item.ours),
            _number(item.theirs),
            item.explanation or "not explained",
        ),
        emphasis="" if item.explanation else "bad",
    )


def _number(text: str) -> int | str:
    """The number that the text is, or the text."""
    return int(text) if text.isdecimal() else text
