"""The growth of a network as a table of bars."""

from __future__ import annotations

from archlab.analysis.wording import counted, shape_text
from archlab.records import Growth, Stage
from archlab.tables.columns import count_column, shapes_text
from archlab.tables.table import Column, Row, Table

_NOUNS = {"tokens": "token", "time": "step", "length": "position", "heads": "head", "": "position"}
_MAP = ("depth", "height", "width")


def growth_table(growth: Growth) -> Table:
    """One row per stage: channels and parameters with a bar each, and between them the map, the tokens or the steps."""
    most_channels = max((stage.channels for stage in growth.stages), default=0) or 1
    most_parameters = max((stage.parameters for stage in growth.stages), default=0) or 1
    rows = tuple(
        Row(
            (
                stage_name(stage),
                stage.channels or None,
                stage.channels / most_channels,
                size_text(stage) or None,
                stage.parameters,
                stage.parameters / most_parameters,
            )
        )
        for stage in growth.stages
    )
    has_sequences = any(name in ("tokens", "time", "") for stage in growth.stages for name in stage.axes)
    return Table(
        columns=(
            Column("stage", "stage", shrinks=True),
            count_column("channels", "features" if has_sequences else "channels"),
            Column("channels_bar", "", form="bar"),
            Column("size", "size", align="right"),
            count_column("parameters", "parameters", blank_zero=True),
            Column("parameters_bar", "", form="bar"),
        ),
        rows=rows,
        title=growth.network + (f" on {shapes_text(growth.inputs)}" if growth.inputs else ""),
        total=("total", None, None, None, sum(stage.parameters for stage in growth.stages), None),
        footer=tuple(_footer(growth, has_sequences)),
    )


def _footer(growth: Growth, has_sequences: bool) -> list[str]:
    lines = ["A stage is a block, or neighbouring layers that give the same shape."]
    if any(stage.repeats > 1 for stage in growth.stages):
        lines.append("Equal blocks in a row are one stage; its parameters are those of all.")
    if has_sequences:
        lines.append("Features are the channels of a map, or what each token, step or position holds.")
    return lines


def size_text(stage: Stage) -> str:
    """The axes beside the features as what they are: `48x48` for a map, `197 tokens`, `10 steps`.

    >>> size_text(Stage((), (), (197, 768), 0, 0, ("tokens", "features")))
    '197 tokens'
    """
    if not any(stage.positions):
        if stage.feature_axis is not None and stage.positions:
            return ", ".join(counted(size, "position") for size in stage.spatial)
        return shape_text(stage.spatial) if stage.spatial else ""
    pairs = list(zip(stage.spatial, stage.positions, strict=True))
    parts = [counted(size, _NOUNS[name]) for size, name in pairs if name not in _MAP]
    map_sizes = [size for size, name in pairs if name in _MAP]
    return ", ".join([*parts, *([shape_text(map_sizes)] if map_sizes else [])])


def stage_name(stage: Stage) -> str:
    """The layers of the stage: `conv .. relu`, `layers.0-79 x80`."""
    copies = stage.repeats
    first = _series(stage.paths[0], stage.paths[copies - 1])
    last = _series(stage.paths[-copies], stage.paths[-1])
    name = first if len(stage.paths) == copies else f"{first} .. {last}"
    return name if copies == 1 else f"{name} x{copies}"


def _series(first: str, last: str) -> str:
    """One path for both: `blocks.0-11.conv` for `blocks.0.conv` and `blocks.11.conv`.

    >>> _series("stages.0.blocks.0", "stages.3.blocks.5")
    'stages.0-3.blocks.0-5'
    """
    parts, others = first.split("."), last.split(".")
    if len(parts) != len(others):
        return f"{first}-{last}"
    return ".".join(
        left if left == right else f"{left}-{right.removeprefix(left.rstrip('0123456789'))}"
        for left, right in zip(parts, others, strict=True)
    )
