"""The largest learning rates as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.records import Difference, Estimate, TrainingConfig
from archlab.records.settings import phrases
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records.search import RateSearch, VariantRates


def search_table(search: RateSearch) -> Table:
    """One row per variant: its largest learning rate over the seeds, and how many times the baseline's that is."""
    ratios = {one.variant: one for one in search.differences}
    return Table(
        columns=(
            Column("variant", "variant", wraps=True),
            Column("n", "n", "right"),
            Column("max_lr", "largest lr", "right", ".3g"),
            Column("interval", "95 % interval", "right"),
            Column("ratio", "ratio", "right", ".3g"),
            Column("ratio_interval", "95 % interval", "right"),
            Column("interval_p_value", "p", "right", ".3f"),
        ),
        rows=tuple(_row(variant, ratios.get(variant.name)) for variant in search.variants),
        title=f"{search.network} on {search.dataset}, the largest learning rate that does not diverge: "
        + ", ".join([f"{len(search.seeds)} seeds", *phrases(TrainingConfig, search.settings)]),
        footer=_notes(search),
    )


def _row(variant: VariantRates, ratio: Difference | None) -> Row:
    found = variant.log10
    return Row(
        (
            variant.name,
            found.n if found else 0,
            10**found.mean if found else None,
            _interval(found),
            10**ratio.mean if ratio else None,
            _interval(ratio),
            ratio.interval_p_value if ratio else None,
        )
    )


def _interval(found: Estimate | Difference | None) -> str:
    if found is None or found.low is None or found.high is None:
        return ""
    return f"{10**found.low:.3g} to {10**found.high:.3g}"


def _notes(search: RateSearch) -> tuple[str, ...]:
    low, high = search.grid[0], search.grid[-1]
    baseline = search.variants[0].name
    notes = [
        f"Found by bisection among {len(search.grid)} rates from {low:g} to {high:g}: the next larger one diverged.",
        "largest lr: geometric mean over seeds.",
        f"ratio: to {baseline}, paired by seed; p belongs to its interval, for each variant alone.",
    ]
    for variant in search.variants:
        runs = len(variant.rates)
        if variant.above:
            notes.append(
                f"{variant.name}: {variant.above} of {runs} seeds did not diverge at {high:g} either and count with "
                "it: theirs may be larger."
            )
        if variant.below:
            notes.append(
                f"{variant.name}: {variant.below} of {runs} seeds diverged at {low:g} already and are in no mean, "
                "which is too high for that."
            )
        if variant.failed:
            notes.append(f"{variant.name}: {variant.failed} of {runs} seeds have no rate, since a run failed.")
    return tuple(notes)
