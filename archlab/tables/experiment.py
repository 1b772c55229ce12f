"""Experiments as tables: which there are, and what came of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from archlab.analysis.expectations import asked_text, metric_title, worded
from archlab.analysis.metrics import STATISTICS_NOTE
from archlab.tables.table import Column, Emphasis, Row, Table

if TYPE_CHECKING:
    from archlab.records.experiment import Experiment, ExperimentResult, Outcome, Part

EMPHASIS: dict[str, Emphasis] = {"holds": "good", "fails": "bad", "open": "changed"}


def experiments_table(experiments: Sequence[Experiment]) -> Table:
    """One row per experiment: its name, its claim, and who says so."""
    return Table(
        columns=(
            Column("name", "name"),
            Column("claim", "claim", wraps=True),
            Column("source", "source", wraps=True),
        ),
        rows=tuple(Row((one.name, one.claim, one.source)) for one in experiments),
        footer=("archlab experiment show NAME prints the protocol, archlab experiment run NAME tries the claim.",),
    )


def claim_table(experiment: Experiment) -> Table:
    """What is claimed, by whom, and what would refute it."""
    return _texts(
        experiment.name,
        experiment.title,
        {"claim": experiment.claim, "source": experiment.source, "refuted if": experiment.refuted},
    )


def protocol_tables(experiment: Experiment, commands: Mapping[str, str]) -> tuple[Table, ...]:
    """The whole protocol: the texts, then part by part what is expected and what would train the same.

    Args:
        experiment: which one.
        commands: name of a part -> the command; empty where there is none.
    """
    texts = _texts(
        experiment.name,
        experiment.title,
        {
            "claim": experiment.claim,
            "source": experiment.source,
            "protocol": experiment.protocol,
            "refuted if": experiment.refuted,
            "look at": experiment.look,
        },
    )
    return (texts, *(_part_table(part, commands[part.name]) for part in experiment.parts))


def _texts(name: str, title: str, texts: Mapping[str, str]) -> Table:
    rows = tuple(Row((name, " ".join(text.split()))) for name, text in texts.items())
    return Table((Column("what", name), Column("text", title, wraps=True)), rows)


def _part_table(part: Part, command: str) -> Table:
    rows = []
    for expected in part.expect:
        asked = asked_text(expected)
        rows.append(Row((asked, expected.direction, expected.published or None)))
    return Table(
        columns=(
            Column("difference", "", wraps=True),
            Column("expected", "expected"),
            Column("published", "published", wraps=True),
        ),
        rows=tuple(rows),
        title=f"{part.name}: {metric_title(part.metric)}",
        footer=(command or "Different networks, which archlab experiment run alone compares: " + _networks(part),),
    )


def _networks(part: Part) -> str:
    texts = []
    for one in part.networks:
        options = ", ".join(f"{name}={value}" for name, value in one.options.items())
        texts.append(one.network + (f" ({options})" if options else ""))
    return "; ".join(texts)


def result_table(result: ExperimentResult) -> Table:
    """For people: part by part what is expected, what was found, and whether it holds."""
    rows: list[Row] = []
    place = ""
    for outcome in result.outcomes:
        text = worded(outcome)
        if outcome.part != place:
            place = outcome.part
            rows.append(Row((f"{place}: {text.metric}", *[None] * 4), emphasis="strong"))
        expected = outcome.expectation.direction
        rows.append(
            Row(
                (text.asked, expected, text.difference or None, text.interval or None, text.conclusion),
                depth=1,
                emphasis=EMPHASIS[outcome.fulfilment],
            )
        )
    return Table(
        columns=(
            Column("difference", "", wraps=True),
            Column("expected", "expected"),
            Column("found", "found", "right"),
            Column("interval", "95 % interval", "right"),
            Column("conclusion", "conclusion", wraps=True),
        ),
        rows=tuple(rows),
        title=f"{result.experiment.title}, on {result.dataset}",
        footer=_notes(result),
    )


def outcomes_table(result: ExperimentResult) -> Table:
    """For programs: one row per expectation, all numbers in full, shares as fractions, logarithms as such."""
    names = ("part", "metric", "variant", "baseline", "expected", "fulfilment", "n", "mean", "low", "high")
    shown = (*names, "adjusted_p_value", "conclusion", "seeds_needed", "published")
    return Table(
        tuple(Column(name, name.replace("_", " ")) for name in shown), tuple(map(_outcome_row, result.outcomes))
    )


def _outcome_row(outcome: Outcome) -> Row:
    expected, found = outcome.expectation, outcome.difference
    asked = (outcome.part, outcome.metric, expected.variant, expected.baseline or None, expected.direction)
    numbers = (
        (None,) * 7
        if found is None
        else (found.n, found.mean, found.low, found.high, found.adjusted_p_value, found.conclusion, found.seeds_needed)
    )
    return Row((*asked, outcome.fulfilment, *numbers, expected.published or None))


def _notes(result: ExperimentResult) -> tuple[str, ...]:
    notes = [STATISTICS_NOTE] if any(comparison.has_running for comparison in result.comparisons) else []
    for outcome in result.outcomes:
        text = worded(outcome)
        sides = f"{text.sides}" if text.sides else text.difference
        if text.published:
            notes.append(f"{text.asked}: {sides or 'nothing'} here. Published: {text.published}.")
    return tuple(notes)
