"""Verdicts as a table, and one of them as a sentence."""

from __future__ import annotations

from archlab.analysis.wording import counted
from archlab.records import Examination, Verdict
from archlab.tables.table import Column, Emphasis, Row, Table

EMPHASIS: dict[str, Emphasis] = {"problem": "bad", "warning": "changed", "good": "good"}


def verdicts_table(examination: Examination) -> Table:
    """One row per verdict, the worst first: its level, the check, what it is about, what was found and what to do."""
    return Table(
        columns=(
            Column("level", "level"),
            Column("check", "check"),
            Column("subject", "about", shrinks=True),
            Column("text", "found, and what to do", wraps=True),
        ),
        rows=tuple(
            Row(
                (verdict.level, verdict.title, verdict.subject, _found(verdict)),
                emphasis=EMPHASIS.get(verdict.level, ""),
            )
            for verdict in examination.verdicts
        ),
        title=f"Verdicts on {counted(len(examination.runs), 'run')}",
        footer=(f"{examination.headline or 'No problem, no warning'}.",),
    )


def verdict_sentence(verdict: Verdict, subject: str | None = None) -> str:
    """The level, the check, what it is about (its own subject, unless another is given), what was found, what to do.

    >>> verdict_sentence(Verdict("batch-noise", "warning", "Batches have 2 images.", layer="norm_1"))
    'Warning: batch noise (norm_1). Batches have 2 images.'
    """
    about = verdict.subject if subject is None else subject
    about = f" ({about})" if about else ""
    return f"{verdict.level.capitalize()}: {verdict.title}{about}. {_found(verdict)}"


def _found(verdict: Verdict) -> str:
    return verdict.text + (f" What to do: {verdict.remedy}" if verdict.remedy else "")
