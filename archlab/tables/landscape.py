"""A loss landscape as a table: the loss at the trained weights, and where it is least and greatest around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.analysis.probing import unbounded
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records import Landscape


def landscape_table(landscape: Landscape) -> Table:
    """Three rows, with the place in the plane of each loss; a footnote counts what is not finite."""
    import numpy as np

    losses, places = landscape.losses, landscape.coordinates
    finite = np.where(np.isfinite(losses), losses, np.nan)
    middle = len(places) // 2
    rows = [("at the trained weights", (middle, middle))]
    if np.isfinite(losses).any():
        rows += [
            (name, divmod(int(find(finite)), len(places)))
            for name, find in (("least", np.nanargmin), ("greatest", np.nanargmax))
        ]
    holes = unbounded(losses)
    return Table(
        columns=(
            Column("point", "point"),
            Column("loss", "loss", "right", ".4g"),
            Column("first", "first direction", "right", ".2f"),
            Column("second", "second direction", "right", ".2f"),
        ),
        rows=tuple(
            Row((name, float(losses[row, column]), float(places[column]), float(places[row])))
            for name, (row, column) in rows
        ),
        title=f"Loss landscape, {len(places)} x {len(places)} points",
        footer=(
            (
                f"Cross-entropy in nats of {landscape.images:,} training images. At a distance of 1 along a direction "
                "every filter has changed by its own norm (Li et al. 2018)."
            ),
            *((f"{holes:,} of {losses.size:,} losses are not finite.",) if holes else ()),
        ),
    )
