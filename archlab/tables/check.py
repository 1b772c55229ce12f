"""A check as a table: what was held to what, and whether it keeps to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records import Check


def check_table(found: Check) -> Table:
    """One row per thing that was checked."""
    failed = sum(not finding.passed for finding in found.findings)
    return Table(
        columns=(
            Column("subject", "checked", shrinks=True),
            Column("result", "result"),
            Column("text", "found", wraps=True),
        ),
        rows=tuple(
            Row(
                (finding.subject, "ok" if finding.passed else "failed", finding.text),
                emphasis="good" if finding.passed else "bad",
            )
            for finding in found.findings
        ),
        title=found.network,
        footer=(f"{failed} of {len(found.findings)} failed." if failed else "All as agreed.",),
    )
