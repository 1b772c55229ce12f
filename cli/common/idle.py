"""Options that were given and would do nothing: they are refused before the work begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import typer

from archlab.errors import InputError


def given(context: typer.Context, names: Collection[str]) -> list[str]:
    """The options among some parameters of the command that stand on the command line, as `--depth`.

    What `pyproject.toml` sets as a default is not given.
    """
    found = []
    known = {parameter.name: parameter.opts for parameter in context.command.params}
    for name in names:
        source = context.get_parameter_source(name) if name in known else None
        if source is not None and source.name == "COMMANDLINE":
            found.append(next((option for option in known[name] if option.startswith("--")), known[name][0]))
    return found


def refuse_idle(context: typer.Context, names: Collection[str], why: str) -> None:
    """Refuse options that would have no effect.

    Args:
        context: the command's.
        names: parameters of the command.
        why: what follows the option's name: "is for --fits, which was not given".

    Raises:
        InputError: one of them was given.
    """
    for option in given(context, names):
        raise InputError(f"{option} {why}: leave it out")


OF_NETWORKS = ("inputs", "batch", "options", "bn", "skip", "seq", "download")
"""Parameters of the options that say what is asked of a network."""


def refuse_for_traces(context: typer.Context, networks: Sequence[str], columns: Sequence[str] = ()) -> None:
    """Refuse what is asked of networks and can't be had of traces that were kept.

    Args:
        context: the command's.
        networks: what was named.
        columns: quantities that are measured only where they are asked for: saved, time.

    Raises:
        InputError: options of networks stand beside traces alone, or a trace holds no value of a column.
    """
    from archlab.cli.common.options import is_trace

    kept = [network for network in networks if is_trace(network)]
    if not kept:
        return
    if len(kept) == len(networks):
        refuse_idle(context, OF_NETWORKS, f"is for a network, and {' and '.join(kept)} {_are(kept)} measured already")
    if columns:
        from archlab.records import Trace
        from archlab.tables.columns import unmeasured

        for network in kept:
            for name in unmeasured(Trace.read(network), columns):
                raise InputError(
                    f"{network} holds no {name}, which is measured only where it is asked for: keep it anew with "
                    f"archlab shapes NETWORK --depth all --columns +{name} --json -o {network}, or name the network"
                )


def refuse_data_options(context: typer.Context, dataset: str) -> None:
    """Refuse options about files of data where the data set has none of its own, or is a folder that is named."""
    from archlab.training.torchvision_files import LAYOUTS

    if dataset not in LAYOUTS:
        names = ", ".join(LAYOUTS)
        refuse_idle(context, ("data_dir", "download"), f"is for {names}, and the data set is {dataset}")


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
