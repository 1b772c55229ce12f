"""A configuration as a table: what decides its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archlab.analysis.wording import assigned
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records import TrainingConfig


def config_table(config: TrainingConfig) -> Table:
    """One row per setting that decides the training, options of the network among them, then the seed."""
    values = {**{name: value for name, value in config.deciding.items() if name != "network"}, "seed": config.seed}
    parts = (assigned(name, value).partition("=") for name, value in values.items())
    return Table(
        columns=(Column("setting", "setting"), Column("value", "value")),
        rows=tuple(Row((name, value)) for name, _, value in parts),
        title=f"Training of {config.network}" + (f", {config.variant}" if config.variant else ""),
    )
