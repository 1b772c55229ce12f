"""A comparison as tables: the variants' means, and what sets them apart from the baseline.

*Counting semantics.* n is the number of seeds whose runs finished. An interval is a 95 % one over the seeds: where the
mean of many more would lie, not where a single run would. `archlab.analysis.statistics` says how intervals and p values
are made. Differences of percentages are percentage points.
"""

from __future__ import annotations

from pathlib import Path

from archlab.analysis.answers import tone, verdict_notes, verdict_text
from archlab.analysis.claims import family
from archlab.analysis.contrasts import interaction_name
from archlab.analysis.metrics import BY_NAME, METRICS, STATISTICS_NOTE
from archlab.analysis.wording import left_out, p_text
from archlab.records import Comparison, Difference, TrainingConfig, VariantResult
from archlab.records.settings import phrases
from archlab.tables.table import Column, Row, Table


def comparison_tables(comparison: Comparison) -> tuple[Table, ...]:
    """For people: the means of every metric, then the paired differences; values are texts with their units."""
    means = _means_table(comparison)
    return (means, _differences_table(comparison)) if comparison.differences else (means,)


def answer_table(comparison: Comparison) -> Table:
    """The primary metric alone: the variants' means, their paired differences, and what is claimed of each."""
    metric = BY_NAME[comparison.metric]
    rows = [
        Row((one.name, found.n, metric.written(found.mean), metric.unit.interval(found) or None, None))
        for one in comparison.variants
        if (found := one.metrics.get(metric.name)) is not None
    ]
    asked = [difference for difference in comparison.differences if difference.metric == metric.name]
    named = [(f"{one.variant} minus {one.baseline}", one) for one in asked]
    named += [(interaction_name(one), one) for one in comparison.interactions]
    for name, one in named:
        interval = metric.unit.interval(one, "+") or None
        cells = (name, one.n, metric.difference(one.mean), interval, verdict_text(one))
        rows.append(Row(cells, emphasis=tone(one)))
    return Table(
        columns=(
            Column("variant", metric.title, wraps=True),
            Column("n", "n", "right"),
            Column("mean", "mean", "right"),
            Column("interval", "95 % interval", "right"),
            Column("verdict", "verdict", wraps=True),
        ),
        rows=tuple(rows),
        title=_title(comparison),
        footer=(
            *verdict_notes(comparison),
            *(_left_out(variant) for variant in comparison.variants if variant.failed or variant.diverged),
        ),
    )


def comparison_table(comparison: Comparison) -> Table:
    """For programs: one row per mean, difference and interaction, all numbers in full, shares as fractions."""
    shared = ("metric", "variant", "baseline", "n", "mean", "low", "high", "p_value", "correlation")
    claims = ("factor", "interval_p_value", "adjusted_p_value", "conclusion", "seeds_needed")
    nothing = (None,) * (len(claims) + 2)
    rows = [
        Row((name, variant.name, None, estimate.n, estimate.mean, estimate.low, estimate.high, *nothing))
        for variant in comparison.variants
        for name, estimate in variant.metrics.items()
    ]
    rows += [
        Row(tuple(getattr(difference, name) for name in (*shared, *claims)))
        for difference in (*comparison.differences, *comparison.interactions)
    ]
    return Table(tuple(Column(name, name.replace("_", " ")) for name in (*shared, *claims)), tuple(rows))


def _means_table(comparison: Comparison) -> Table:
    rows: list[Row] = []
    for metric in METRICS:
        holders = [variant for variant in comparison.variants if metric.name in variant.metrics]
        if holders:
            rows.append(Row((metric.titled(comparison.has_running), None, None, None), emphasis="strong"))
        for variant in holders:
            estimate = variant.metrics[metric.name]
            interval = metric.unit.interval(estimate) or None
            rows.append(Row((variant.name, estimate.n, metric.written(estimate.mean), interval), depth=1))
    if any(variant.parameters for variant in comparison.variants):
        rows.append(Row(("parameters", None, None, None), emphasis="strong"))
        rows += [Row((item.name, None, f"{item.parameters:,d}", None), depth=1) for item in comparison.variants]
    return Table(
        columns=(
            Column("variant", "", wraps=True),
            Column("n", "n", "right"),
            Column("mean", "mean", "right"),
            Column("interval", "95 % interval", "right"),
        ),
        rows=tuple(rows),
        title=_title(comparison),
        footer=_mean_notes(comparison),
    )


def _differences_table(comparison: Comparison) -> Table:
    rows: list[Row] = []
    by_pair: dict[tuple[str, str], list[Difference]] = {}
    for difference in comparison.differences:
        by_pair.setdefault((difference.baseline, difference.variant), []).append(difference)
    for (baseline, variant), mine in by_pair.items():
        rows.append(_heading(f"{variant} minus {baseline}", mine[0].n))
        rows += [_difference_row(difference, comparison.has_running) for difference in mine]
    for interaction in comparison.interactions:
        rows.append(_heading(interaction_name(interaction), interaction.n))
        rows.append(_difference_row(interaction, comparison.has_running))
    return Table(
        columns=(
            Column("metric", "", wraps=True, shrinks=True),
            Column("difference", "difference", "right"),
            Column("interval", "95 % interval", "right"),
            Column("p", "p", "right"),
            Column("adjusted", "adj. p", "right"),
            Column("correlation", "corr.", "right"),
        ),
        rows=tuple(rows),
        title="Differences, paired by seed",
        footer=_difference_notes(comparison),
    )


def difference_table(difference: Difference) -> Table:
    """One paired difference in numbers, in the unit of the values that it was made of."""
    sides = f"{difference.variant or 'variant'} minus {difference.baseline or 'baseline'}"
    metric = BY_NAME[difference.metric].title if difference.metric in BY_NAME else difference.metric
    numbers = ("mean", "low", "high", "p_value", "interval_p_value", "adjusted_p_value", "correlation")
    shown = [name for name in numbers if getattr(difference, name) is not None]
    titles = {"low": "95 % from", "high": "to", "p_value": "p (sign flips)", "interval_p_value": "p (interval)"}
    return Table(
        columns=(
            Column("difference", "difference"),
            Column("n", "n", "right"),
            *(Column(name, titles.get(name, name.replace("_", " ")), "right", ".4g") for name in shown),
        ),
        rows=(Row((sides, difference.n, *(getattr(difference, name) for name in shown))),),
        title="Paired difference" + (f", {metric}" if metric else ""),
        footer=(f"{difference.conclusion.capitalize()}.",) if difference.conclusion else (),
    )


def _heading(text: str, pairs: int) -> Row:
    return Row((f"{text} (n = {pairs})", *[None] * 5), emphasis="strong")


def _difference_row(difference: Difference, has_running: bool) -> Row:
    metric = BY_NAME[difference.metric]
    marked = difference.conclusion == "different"
    return Row(
        (
            metric.titled(has_running) + ("*" if marked else ""),
            metric.difference(difference.mean),
            metric.unit.interval(difference, "+") or None,
            _p_value(difference.interval_p_value),
            _p_value(difference.adjusted_p_value),
            None if difference.correlation is None else f"{difference.correlation:+.2f}",
        ),
        depth=1,
        emphasis="changed" if marked else "",
    )


def _p_value(value: float | None) -> str | None:
    return None if value is None else p_text(value)


def _difference_notes(comparison: Comparison) -> tuple[str, ...]:
    return (
        (
            f"*: adj. p < 0.05. p: of the interval. adj. p: by Holm over {family(comparison)}; the other metrics "
            "are claimed only where it differs, training time never."
        ),
        "corr.: how far both sides go up and down together over the seeds, which is what pairing gains.",
    )


def _title(comparison: Comparison) -> str:
    parts = phrases(TrainingConfig, comparison.settings)
    return f"{comparison.network} on {Path(comparison.dataset).name}: " + ", ".join(parts)


def _mean_notes(comparison: Comparison) -> tuple[str, ...]:
    notes = []
    if comparison.has_running:
        notes.append(
            f"{STATISTICS_NOTE} Without BatchNorm there is one test accuracy, which stands with the precise ones."
        )
    notes += [_left_out(variant) for variant in comparison.variants if variant.failed or variant.diverged]
    return tuple(notes)


def _left_out(variant: VariantResult) -> str:
    return f"{variant.name}: {', '.join(left_out(variant))}; they are in no mean."
