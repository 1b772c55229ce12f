"""`archlab networks`: what can be built, and with which options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import emit
from archlab.cli.common.groups import grouped
from archlab.cli.common.output import Output

if TYPE_CHECKING:
    from archlab.networks import Entry
    from archlab.networks.options import Option
    from archlab.records import Value
    from archlab.tables import Table


@grouped
def networks(
    network: Annotated[
        str | None, typer.Argument(metavar="NETWORK", show_default=False, help="One whose options are listed.")
    ] = None,
    *,
    target: Output,
) -> None:
    """List the networks, or the options of one.

    \b
    archlab networks
    archlab networks resnet
    """
    from archlab.networks import entry, names

    entries = [entry(name) for name in ([network] if network else names())]
    emit(
        target,
        lambda: _options_table(entries[0]) if network else _list_table(entries),
        lambda: _document(entries),
    )


def _list_table(entries: list[Entry]) -> Table:
    from archlab.analysis.wording import shape_text
    from archlab.tables import Column, Row, Table

    return Table(
        columns=(Column("network", "network"), Column("input", "input"), Column("summary", "what it is", wraps=True)),
        rows=tuple(
            Row((item.name, shape_text(item.input_shape) if item.input_shape else None, item.summary))
            for item in entries
        ),
        footer=(
            "archlab networks NAME lists a network's options.",
            "Others by their source: torchvision:NAME, timm:NAME, FILE.py:FACTORY, package.module:FACTORY, FILE.pt2.",
            "FILE.onnx is a graph, which can't be built: shapes, growth, diff, check, graph and report measure it.",
        ),
    )


def _options_table(item: Entry) -> Table:
    from archlab.analysis.wording import shape_text
    from archlab.tables import Column, Row, Table

    facts = (item.summary, f"Paper: {item.paper}" if item.paper else "")
    made_for = f"Made for inputs of {shape_text(item.input_shape)}." if item.input_shape else ""
    return Table(
        columns=(
            Column("option", "option"),
            Column("type", "type", wraps=True),
            Column("default", "default"),
            Column("help", "meaning", wraps=True),
        ),
        rows=tuple(
            Row((option.name, option.type.replace("|", " | "), _default(option), option.help))
            for option in item.options.values()
        ),
        title=item.name,
        footer=tuple(sentence for sentence in (*facts, made_for, "Set one with --option NAME=VALUE.") if sentence),
    )


def _default(option: Option) -> Value | None:
    """The default as it is given on the command line; None for an option that must be given."""
    from archlab.networks.options import REQUIRED, plain_value

    return None if option.default is REQUIRED else plain_value(option.default)


def _document(entries: list[Entry]) -> str:
    import msgspec

    listed = [
        {
            "name": item.name,
            "summary": item.summary,
            "input_shape": item.input_shape,
            "paper": item.paper,
            "options": {
                option.name: {"type": option.type, "default": _default(option), "help": option.help}
                | ({"choices": option.choices} if option.choices else {})
                for option in item.options.values()
            },
        }
        for item in entries
    ]
    text = msgspec.json.encode({"schema": "archlab.networks/1", "networks": listed})
    return msgspec.json.format(text, indent=2).decode()
