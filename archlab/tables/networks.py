"""What can be built as tables: the networks, and the options of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from archlab.analysis.wording import shape_text
from archlab.tables.table import Column, Row, Table

if TYPE_CHECKING:
    from archlab.records.listed import ListedNetwork


def networks_table(networks: Sequence[ListedNetwork]) -> Table:
    """One row per network."""
    return Table(
        columns=(Column("network", "network"), Column("input", "input"), Column("summary", "what it is", wraps=True)),
        rows=tuple(
            Row((item.name, shape_text(item.input_shape) if item.input_shape else None, item.summary))
            for item in networks
        ),
        footer=(
            "archlab networks NAME lists a network's options.",
            "Others by their source: torchvision:NAME, timm:NAME, FILE.py:FACTORY, package.module:FACTORY, FILE.pt2,",
            "hf:ORG/NAME, hf:FOLDER. archlab networks SOURCE lists its options too.",
            "FILE.onnx is a graph, which can't be built: shapes, growth, diff, check, graph and report measure it.",
        ),
    )


def network_table(network: ListedNetwork) -> Table:
    """One row per option of a network; what else is known of it stands beneath."""
    facts = [network.summary, f"Paper: {network.paper}" if network.paper else ""]
    if network.parameters is not None:
        facts.append(f"{network.parameters:,} parameters.")
    if network.inputs:
        facts.append(f"Inputs by themselves: {', '.join(f'{name} {text}' for name, text in network.inputs.items())}.")
    made_for = f"Made for inputs of {shape_text(network.input_shape)}." if network.input_shape else ""
    return Table(
        columns=(
            Column("option", "option"),
            Column("type", "type", wraps=True),
            Column("default", "default"),
            Column("help", "meaning", wraps=True),
        ),
        rows=tuple(
            Row((option.name, option.type.replace("|", " | "), option.default, option.help))
            for option in network.options
        ),
        title=network.name,
        footer=tuple(sentence for sentence in (*facts, made_for, "Set one with --option NAME=VALUE.") if sentence),
    )
