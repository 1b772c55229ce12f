"""`archlab growth`: channels, spatial size and parameters, stage by stage."""

from __future__ import annotations

from archlab.cli.common.console import emit, output
from archlab.cli.common.options import (
    BatchOption,
    BnOption,
    DepthOption,
    FileOption,
    FormatOption,
    InputOption,
    JsonOption,
    NetworkArgument,
    OptionOption,
    SkipOption,
    depth_limit,
    network_options,
    traced,
)


def growth(
    network: NetworkArgument,
    inputs: InputOption = None,
    batch: BatchOption = None,
    depth: DepthOption = "1",
    options: OptionOption = None,
    bn: BnOption = None,
    skip: SkipOption = None,
    form: FormatOption = None,
    as_json: JsonOption = False,
    path: FileOption = None,
) -> None:
    """Show channels, sizes and parameters as bars.

    A stage is a block, or neighbouring layers that give the same shape.

    \b
    archlab growth densenet --input 96
    archlab growth resnet18 --depth 2 --format csv
    """
    target = output(form, as_json, path)
    limit = depth_limit(depth)
    from archlab.analysis.growth import stages
    from archlab.tables.growth import growth_table

    grown = stages(traced(network, inputs, batch, network_options(options, bn, skip)), limit)
    emit(target, lambda: growth_table(grown), grown.to_json)
