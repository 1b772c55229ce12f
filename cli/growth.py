"""`archlab growth`: channels, spatial size and parameters, stage by stage."""

from __future__ import annotations

from archlab.cli.common.console import emit
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import DepthOption, Subject, depth_limit
from archlab.cli.common.output import Output


@grouped
def growth(
    subject: Subject,
    *,
    depth: DepthOption = "1",
    target: Output,
) -> None:
    """Show channels, sizes and parameters as bars.

    A stage is a block, or neighbouring layers that give the same shape.

    \b
    archlab growth densenet --input 96
    archlab growth resnet18 --depth 2 --format csv
    """
    limit = depth_limit(depth)
    from archlab.analysis.growth import stages
    from archlab.tables.growth import growth_table

    grown = stages(subject.trace(), limit)
    emit(target, lambda: growth_table(grown), grown.to_json)
