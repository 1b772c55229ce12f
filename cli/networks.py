"""`archlab networks`: what can be built, and with which options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.completion import network_names
from archlab.cli.common.console import emit
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import HubOptions, NetworkOptions, both
from archlab.cli.common.output import Output
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import Value
    from archlab.records.listed import ListedNetwork


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
    from archlab.tables.networks import network_table, networks_table

    if network and _is_source(network):
        listed = _of_source(network, both(chosen, hub))
        emit(target, lambda: network_table(listed), lambda: _document([listed]))
        return
    if chosen or hub:
        raise InputError("options are for a source, as hf:FOLDER or torchvision:NAME: leave them out")
    entries = [entry(name).listed for name in ([network] if network else names())]
    emit(
        target,
        lambda: network_table(entries[0]) if network else networks_table(entries),
        lambda: _document(entries),
    )


def _is_source(network: str) -> bool:
    return ":" in network or "/" in network or network.endswith((".json", ".pt2", ".py"))


def _of_source(name: str, options: Mapping[str, Value]) -> ListedNetwork:
    """What a source is: its options, and of a config its class, its parameters and its inputs too."""
    from archlab.analysis.wording import shape_text
    from archlab.networks import resolve

    source = resolve(name, options)
    if source.make_inputs is None:
        return source.listed
    from archlab.networks.members import parameters, set_training
    from archlab.tracing.measurement import given
    from archlab.tracing.pytree import dtype_name, shape_of, tensors

    network = set_training(source.build("meta"), False)
    try:
        _, named = given(source, network, None, None)
    except InputError:  # it isn't known what it takes, and a command that needs it says so
        named = {}
    return replace(
        source.listed,
        parameters=sum(parameter.numel() for parameter in parameters(network)),
        inputs={
            name: ", ".join(f"{shape_text(shape_of(tensor))}:{dtype_name(tensor)}" for tensor in tensors(value))
            for name, value in named.items()
        },
    )


def _document(entries: list[ListedNetwork]) -> str:
    import msgspec

    listed = [
        {
            "name": item.name,
            "summary": item.summary,
            "input_shape": item.input_shape,
            "paper": item.paper,
            **({"parameters": item.parameters, "inputs": item.inputs} if item.parameters is not None else {}),
            "options": {
                option.name: {"type": option.type, "default": option.default, "help": option.help}
                | ({"choices": option.choices} if option.choices else {})
                for option in item.options
            },
        }
        for item in entries
    ]
    text = msgspec.json.encode({"schema": "archlab.networks/1", "networks": listed})
    return msgspec.json.format(text, indent=2).decode()
