"""Runs as tables: a list of them, and the epochs of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from archlab.analysis.metrics import EVALUATION, NATS, PRECISE, SHARE, STATISTICS_NOTE
from archlab.analysis.wording import counted
from archlab.records import Comparison, Run, TrainingConfig
from archlab.records.entry import Entry, entry_of
from archlab.records.settings import phrases
from archlab.tables.table import Column, Emphasis, Row, Table

_EMPHASIS: dict[str, Emphasis] = {
    "failed": "bad",
    "diverged": "bad",
    "interrupted": "dim",
    "running": "changed",
}
_LOSS, _SHARE = f".{NATS.digits}f", f".{SHARE.digits}%"
COLUMNS = (
    Column("key", "run"),
    Column("status", "status"),
    Column("epochs", "epochs", "right"),
    Column("test_accuracy", "test acc.", "right", _SHARE),
    Column("created", "started"),
)


def runs_table(runs: Sequence[Run | Entry], title: str = "Runs", *footer: str) -> Table:
    """One row per run: what was trained, how far it came, what it reached at last."""
    entries = [entry_of(run) if isinstance(run, Run) else run for run in runs]
    tested = any(entry.test_accuracy_running is not None for entry in entries)
    notes = [f"test acc.: with {PRECISE} where the network has BatchNorm."] if tested else []
    return Table(columns=COLUMNS, rows=tuple(map(_row, entries)), title=title, footer=(*notes, *footer))


def _row(run: Run | Entry) -> Row:
    entry = entry_of(run) if isinstance(run, Run) else run
    return Row(
        (
            entry.key,
            entry.status,
            str(entry.done) if entry.is_watched else f"{entry.done}/{entry.config.epochs}",
            entry.test_accuracy,
            _minute(entry),
        ),
        emphasis=_EMPHASIS.get(entry.status, ""),
    )


def store_table(runs: Sequence[Run | Entry], comparisons: Sequence[Comparison]) -> Table:
    """For people: runs and comparisons as one table, the oldest first."""
    items: list[Run | Entry | Comparison] = [*runs, *comparisons]
    title = f"{counted(len(runs), 'run')}, {counted(len(comparisons), 'comparison')}"
    return listed_table(sorted(items, key=lambda item: item.created), title)


def listed_table(items: Sequence[Run | Entry | Comparison], title: str, *footer: str) -> Table:
    """For people: runs and comparisons as one table, in the order in which they are given.

    A key that is too long for the screen keeps its last twelve letters, by which `archlab runs show` finds it too.
    """
    key, status, epochs, *others = COLUMNS
    return Table(
        columns=(replace(key, title="run or comparison", shrinks=True), status, epochs, *others),
        rows=tuple(
            Row((item.key, "comparison", f"{len(item.runs)} runs", None, _minute(item)), emphasis="strong")
            if isinstance(item, Comparison)
            else _row(item)
            for item in items
        ),
        title=title,
        footer=footer,
    )


def _minute(record: Entry | Comparison) -> str:
    return record.created[:16].replace("T", " ")


def run_table(run: Run) -> Table:
    """One row per epoch; the columns with running statistics only where the network has BatchNorm."""
    has_running = any(epoch.test_accuracy_running is not None for epoch in run.epochs)
    columns = [
        (Column("epoch", "epoch", "right"), "epoch"),
        (Column("train_loss", "train loss", "right", _LOSS), "train_loss"),
        (Column("train_accuracy", "train acc.", "right", _SHARE), "train_accuracy"),
        (Column("test_loss", "test loss", "right", _LOSS), "test_loss"),
        (Column("test_accuracy", "precise acc." if has_running else "test acc.", "right", _SHARE), "test_accuracy"),
        (Column("test_accuracy_running", "running acc.", "right", _SHARE), "test_accuracy_running"),
        (Column("seconds", "seconds", "right", ".2f"), "seconds"),
    ]
    shown = [
        (column, field)
        for column, field in columns
        if (has_running or field != "test_accuracy_running")
        and not (run.watched and all(getattr(epoch, field) is None for epoch in run.epochs))
    ]
    return Table(
        columns=tuple(column for column, _ in shown),
        rows=tuple(Row(tuple(getattr(epoch, field) for _, field in shown)) for epoch in run.epochs),
        title=_run_title(run),
        footer=_run_notes(run, has_running),
    )


def _run_title(run: Run) -> str:
    config = run.config
    if run.watched:
        return f"{config.label} on {Path(config.dataset).name}: a watched training"
    named = [config.variant or " ".join(f"{name}={value}" for name, value in config.options.items())]
    settings = {name: value for name, value in config.deciding.items() if name != "epochs"}  # those are the rows
    named += [f"seed {config.seed}", *phrases(TrainingConfig, settings)]
    return f"{config.network} on {Path(config.dataset).name}: " + ", ".join(part for part in named if part)


def _run_notes(run: Run, has_running: bool) -> tuple[str, ...]:
    notes = [f"{run.parameters:,d} parameters." if run.parameters else ""]
    if run.watched:
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in run.watched.settings.items())
        notes += [f"Known of its settings: {told}." if told else "", *run.watched.notes]
    if batch := next((epoch.test_batch for epoch in run.epochs if epoch.test_batch), None):
        notes.append(
            f"{'All test accuracies and losses' if has_running else 'test acc., test loss'}: in batches of "
            f"{counted(batch, 'image')}, by whose own mean and variance BatchNorm layers normalise: another batch "
            "gives other values."
        )
    if has_running:
        notes.append(
            f"precise acc., test loss: of the test images with {PRECISE}; running acc.: in {EVALUATION}. "
            f"{STATISTICS_NOTE}"
        )
    if run.resumed:
        notes.append(f"Stopped and gone on with from a checkpoint: {counted(run.resumed, 'time')}.")
    if run.status != "finished":
        notes.append(f"{run.status}: {run.error}" if run.error else f"This run is {run.status}.")
    return (*(note for note in notes if note), f"Run {run.key}")
