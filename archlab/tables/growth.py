"""The growth of a network as a table of bars."""

from __future__ import annotations

from archlab.analysis.wording import shape_text
from archlab.records import Growth, Stage
from archlab.tables.columns import count_column, shapes_text
from archlab.tables.table import Column, Row, Table


def growth_table(growth: Growth) -> Table:
    """One row per stage: channels and parameters with a bar each, and the spatial size between them."""
    most_channels = max((stage.channels for stage in growth.stages), default=0) or 1
    most_parameters = max((stage.parameters for stage in growth.stages), default=0) or 1
    rows = tuple(
        Row(
            (
                stage_name(stage),
                stage.channels,
                stage.channels / most_channels,
                shape_text(stage.spatial) if stage.spatial else None,
                stage.parameters,
                stage.parameters / most_parameters,
            )
        )
        for stage in growth.stages
    )
    return Table(
        columns=(
            Column("stage", "stage", shrinks=True),
            count_column("channels", "channels"),
            Column("channels_bar", "", form="bar"),
            Column("size", "size", align="right"),
            count_column("parameters", "parameters", blank_zero=True),
            Column("parameters_bar", "", form="bar"),
        ),
        rows=rows,
        title=growth.network + (f" on {shapes_text(growth.inputs)}" if growth.inputs else ""),
        total=("total", None, None, None, sum(stage.parameters for stage in growth.stages), None),
        footer=("A stage is a block, or neighbouring layers that give the same shape.",),
    )


def stage_name(stage: Stage) -> str:
    """The layers of the stage: `conv .. relu`."""
    first, *rest = stage.paths
    return f"{first} .. {rest[-1]}" if rest else first
