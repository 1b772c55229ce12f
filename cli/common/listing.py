"""What `archlab runs list` and `archlab runs prune` show of a store: which runs, in which order, how many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from archlab.cli.common.console import emit, message
from archlab.cli.common.output import Format, Output

if TYPE_CHECKING:
    from archlab.records import Comparison, Document
    from archlab.records.entry import Entry
    from archlab.store import Store
    from archlab.tables import Table

    Item: TypeAlias = Entry | Comparison

SHOWN = 1000
"""Rows that people are shown where no limit is given."""
WhereOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="CONDITIONS",
        show_default=False,
        help="Runs alone for which these hold: FIELD=VALUE, also with !=, <, <=, > or >=, several joined by and. A "
        "field is key, status, created, seed, epochs, parameters, test_accuracy, test_accuracy_running, test_loss, "
        "train_accuracy, train_loss, seconds, a setting (network, lr), or an option of the network (norm).",
    ),
]


def listed(store: Store, where: str | None, sort: str | None, limit: int | None, target: Output) -> None:
    """List runs and comparisons; with conditions, runs alone."""
    from archlab.analysis.wording import counted
    from archlab.store.conditions import chosen, conditions
    from archlab.tables.runs import listed_table, runs_table

    if where is not None:
        conditions(where)  # what is no condition is said before the work
    listing, comparisons, problems = store.scan()
    for problem in (*listing.problems, *problems):
        message(f"warning: {problem.error}")
    entries, comparisons = (listing.entries, comparisons) if where is None else (chosen(listing.entries, where), [])
    if not listing.entries and not comparisons:
        message(f"{store.path} holds no runs yet: archlab compare --bn off makes some")
    elif not entries and not comparisons:
        message(f"none of {counted(len(listing.entries), 'run')} has {where}")
    for_people = target.form not in (Format.json, Format.csv)
    comparisons = [] if target.form is Format.csv else comparisons
    total, limit = len(entries) + len(comparisons), SHOWN if limit is None and for_people else limit or 0
    newest = entries[-limit:] if limit and sort is None else entries  # the others need not be read
    shown: list[Item] = _in_order([*newest, *comparisons], entries, sort)
    if limit:
        shown = shown[-limit:] if sort is None else shown[:limit]
    runs, others = _divided(shown)

    def table() -> Table:  # CSV has the runs alone, of which there is more to reckon with
        if target.form is Format.csv:
            return runs_table(runs)
        title = counted(len(entries), "run")
        title += f", {counted(len(comparisons), 'comparison')}" if where is None else ""
        left = f"The {'newest' if sort is None else 'first'} {len(shown):,d} of {total:,d}: --limit 0 shows all."
        return listed_table(shown, title, *([left] if len(shown) < total else []))

    emit(target, table, lambda: document(store, runs, others))


def _in_order(items: list[Item], entries: Sequence[Entry], sort: str | None) -> list[Item]:
    """The oldest first, or by a field; comparisons have a key, a status and a time."""
    from archlab.records import Comparison
    from archlab.store.conditions import field, rank

    if sort is None:
        return sorted(items, key=lambda item: item.created)
    name = sort.replace("-", "_")
    read = field(entries, name, "--sort")

    def value(item: Item) -> object:
        if isinstance(item, Comparison):
            return {"key": item.key, "status": "comparison", "created": item.created}.get(name)
        return read(item)

    return sorted(items, key=lambda item: rank(value(item)))


def _divided(items: Sequence[Item]) -> tuple[list[Entry], list[Comparison]]:
    from archlab.records import Comparison

    runs: list[Entry] = []
    comparisons: list[Comparison] = []
    for item in items:
        if isinstance(item, Comparison):
            comparisons.append(item)
        else:
            runs.append(item)
    return runs, comparisons


def document(store: Store, runs: Sequence[Entry], comparisons: Sequence[Comparison]) -> Iterator[str]:
    """The document in pieces, with one run in memory at a time."""
    yield '{\n  "schema": "archlab.runs/1",\n  "runs": '
    yield from _items(run for entry in runs for run in store.available([entry.key]))
    yield ',\n  "comparisons": '
    yield from _items(comparisons)
    yield "\n}\n"


def _items(records: Iterable[Document]) -> Iterator[str]:
    """A list of records as JSON, two levels deep in a document."""
    opening = "[\n    "
    for record in records:
        yield opening + record.to_json().replace("\n", "\n    ")  # a text in JSON holds no line break
        opening = ",\n    "
    yield "[]" if opening.startswith("[") else "\n  ]"
