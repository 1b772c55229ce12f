"""`archlab networks`: what can be built, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.completion import network_names
from archlab.cli.common.console import emit
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import HubOptions, NetworkOptions, both
from archlab.cli.common.output import Output
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.networks import Entry
    from archlab.networks.options import Option
    from archlab.records import Shape, Value
    from archlab.tables import Table


@grouped
def networks(
    network: Annotated[
        str | None,
        typer.Argument(
            metavar="NETWORK",
            show_default=False,
            help="One whose options are listed: a name or a source.",
            autocompletion=network_names,
        ),
    ] = None,
    *,
    chosen: NetworkOptions,
    hub: HubOptions,
    target: Output,
) -> None:
    """List the networks, or the options of one.

    \b
    archlab networks
    archlab networks resnet
    archlab networks hf:FOLDER
    """
    from archlab.networks import entry, names

    if network and _is_source(network):
        listed = _of_source(network, both(chosen, hub))
        emit(target, lambda: _options_table(listed), lambda: _document([listed]))
        return
    if chosen or hub:
        raise InputError("options are for a source, as hf:FOLDER or torchvision:NAME: leave them out")
    entries = [_of_entry(entry(name)) for name in ([network] if network else names())]
    emit(
        target,
        lambda: _options_table(entries[0]) if network else _list_table(entries),
        lambda: _document(entries),
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """What is shown of a network."""

    name: str
    summary: str
    options: Mapping[str, Option]
    input_shape: Shape = ()
    paper: str = ""
    parameters: int | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Inputs that come by themselves, by name."""


def _is_source(network: str) -> bool:
    return ":" in network or "/" in network or network.endswith((".json", ".pt2", ".py"))


def _of_entry(item: Entry) -> Listed:
    return Listed(item.name, item.summary, item.options, item.input_shape, item.paper)


def _of_source(name: str, options: Mapping[str, Value]) -> Listed:
    """What a source is: its options, and of a config its class, its parameters and its inputs too."""
    from archlab.analysis.wording import shape_text
    from archlab.networks import resolve

    source = resolve(name, options)
    if source.make_inputs is None:
        shape = source.input_shapes[0][1:] if len(source.input_shapes) == 1 else ()
        return Listed(source.name, source.summary, source.available, shape)
    from archlab.networks.members import parameters, set_training
    from archlab.tracing.measurement import given
    from archlab.tracing.pytree import dtype_name, shape_of, tensors

    network = set_training(source.build("meta"), False)
    try:
        _, named = given(source, network, None, None)
    except InputError:  # it isn't known what it takes, and a command that needs it says so
        named = {}
    return Listed(
        source.name,
        source.summary,
        source.available,
        parameters=sum(parameter.numel() for parameter in parameters(network)),
        inputs={
            name: ", ".join(f"{shape_text(shape_of(tensor))}:{dtype_name(tensor)}" for tensor in tensors(value))
            for name, value in named.items()
        },
    )


def _list_table(entries: list[Listed]) -> Table:
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
            "Others by their source: torchvision:NAME, timm:NAME, FILE.py:FACTORY, package.module:FACTORY, FILE.pt2,",
            "hf:ORG/NAME, hf:FOLDER. archlab networks SOURCE lists its options too.",
            "FILE.onnx is a graph, which can't be built: shapes, growth, diff, check, graph and report measure it.",
        ),
    )


def _options_table(item: Listed) -> Table:
    from archlab.analysis.wording import shape_text
    from archlab.tables import Column, Row, Table

    facts = [item.summary, f"Paper: {item.paper}" if item.paper else ""]
    if item.parameters is not None:
        facts.append(f"{item.parameters:,} parameters.")
    if item.inputs:
        facts.append(f"Inputs by themselves: {', '.join(f'{name} {text}' for name, text in item.inputs.items())}.")
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


def _document(entries: list[Listed]) -> str:
    import msgspec

    listed = [
        {
            "name": item.name,
            "summary": item.summary,
            "input_shape": item.input_shape,
            "paper": item.paper,
            **({"parameters": item.parameters, "inputs": item.inputs} if item.parameters is not None else {}),
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
