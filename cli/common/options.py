"""Options that several commands share, declared once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, NewType, TypeAlias

import typer

from archlab.cli.common.answers import kept_trace
from archlab.cli.common.completion import network_names
from archlab.cli.common.console import prints_aside
from archlab.cli.common.groups import register
from archlab.cli.common.timeout import stop_after
from archlab.errors import InputError
from archlab.records import Trace, Value
from archlab.records.config import NORMS

SOURCES_HELP = (
    "A built-in name (see archlab networks), torchvision:NAME, timm:NAME, hf:ORG/NAME, hf:FOLDER, FILE.py:FACTORY, "
    "package.module:FACTORY (whose code is run), FILE.pt2, FILE.onnx, or FILE.json with a trace."
)
NetworkArgument: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="NETWORK", show_default=False, help=SOURCES_HELP, autocompletion=network_names),
]
NetworksArgument: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="NETWORK",
        show_default=False,
        help=f"{SOURCES_HELP} Several are one table.",
        autocompletion=network_names,
    ),
]
MOST_SEEDS = 10_000
"""That can be named one by one."""
InputOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        "--size",
        metavar="SPEC",
        show_default=False,
        help="An input, once for each: its shape as 96 (square, batch 1), 3x224x224 (batch 1), 1x3x224x224 or "
        "NAME=1x128:int64; values behind it, as in NAME=1x128:int64=randint(0,1000), =ones, =6,4 or =@FILE.npy; an "
        "argument that is no tensor, as in NAME=0.5; none for no input. Default: what the network was made for.",
    ),
]
BatchOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--batch-size", "--batch", metavar="N", min=1, show_default=False, help="Batch size. Default: the inputs'."
    ),
]
DepthOption: TypeAlias = Annotated[
    str, typer.Option("--depth", metavar="N|all", help="Levels of the tree of layers to show.")
]
OptionOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-O",
        metavar="K=V",
        show_default=False,
        help="Option of the network, depth=56 for instance; repeatable.",
    ),
]
BN = "|".join(NORMS)
"""What `--bn` takes, as `--help` shows it."""
BnOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--bn",
        metavar=BN,
        show_default=False,
        help="What normalises instead of BatchNorm: short for --option norm=..., on any network.",
    ),
]
SkipOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--skip",
        metavar="on|off",
        show_default=False,
        help="Skip connections: short for --option skip=..., on any network with residual blocks.",
    ),
]

SeqOption: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--seq",
        metavar="N",
        min=1,
        show_default=False,
        help="Length of the inputs of an hf: source: tokens of a text, samples or frames of a sound; short for "
        "--option seq=N.",
    ),
]
DownloadOption: TypeAlias = Annotated[
    bool, typer.Option("--download", help="Fetch the config of hf:ORG/NAME if it isn't there; never weights.")
]


SeedsOption: TypeAlias = Annotated[
    str,
    typer.Option("--seeds", metavar="N", help="Runs per variant, from seed 0 on; or which seeds: 100-105, or 3,5,8."),
]


def chosen_seeds(text: str) -> int | list[int]:
    """How many seeds, or which, as `--seeds` names them.

    Raises:
        InputError: the text names none.

    >>> chosen_seeds("6"), chosen_seeds("100-102"), chosen_seeds("3,5")
    (6, [100, 101, 102], [3, 5])
    """
    parts = [part.strip().partition("-") for part in text.split(",")]
    numbers = [number for first, dash, last in parts for number in ([first, last] if dash else [first])]
    counts = all(number.isdecimal() and len(number) < 10 for number in numbers)
    if not counts or any(dash and int(last) < int(first) for first, dash, last in parts):
        raise InputError(f"--seeds is {text!r}, expected how many, as 6, or which, as 100-105 or 3,5,8")
    if len(numbers) == 1:
        if int(text) > MOST_SEEDS:
            raise InputError(f"--seeds is {text!r}, expected {MOST_SEEDS:,} at most")
        return int(text)
    ranges = [range(int(first), int(last or first) + 1) for first, _, last in parts]
    if sum(map(len, ranges)) > MOST_SEEDS:
        raise InputError(f"--seeds is {text!r}, expected {MOST_SEEDS:,} at most")
    return [seed for found in ranges for seed in found]


NetworkOptions = NewType("NetworkOptions", dict[str, Value])
"""What `--option`, `--bn` and `--skip` name together."""


TimeoutOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.001,
        show_default=False,
        callback=stop_after,
        help="Stop after so long, with exit code 1, and say in which layer that was. Default: never.",
    ),
]


NoCacheOption: TypeAlias = Annotated[
    bool, typer.Option("--no-cache", help="Measure anew, whatever an earlier look kept (see archlab cache).")
]


def network_options(options: OptionOption = None, bn: BnOption = None, skip: SkipOption = None) -> NetworkOptions:
    """The options of the network's factory that `--option`, `--bn` and `--skip` name; the factory types them.

    Raises:
        InputError: an option is no K=V, is given twice, or --bn or --skip has another value than its own.
    """
    chosen: dict[str, Value] = {}
    pairs = [option.partition("=") for option in options or ()]
    if bn is not None:
        if bn not in NORMS:
            raise InputError(f"--bn {bn!r} is none of {', '.join(NORMS)}")
        pairs.append(("norm", "=", NORMS[bn]))
    if skip is not None:
        if skip not in ("on", "off"):
            raise InputError(f"--skip {skip!r} is none of on, off")
        pairs.append(("skip", "=", skip))
    for name, mark, value in pairs:
        if not mark or not name:
            raise InputError(f"--option {name!r} is no K=V: expected a name and a value, depth=56 for instance")
        if name in chosen:
            raise InputError(f"option {name!r} is given twice: leave one of them out")
        chosen[name] = value
    return NetworkOptions(chosen)


HubOptions = NewType("HubOptions", dict[str, Value])
"""What `--seq` and `--download` name together: options of `hf:` sources, which others refuse."""


def hub_options(seq: SeqOption = None, download: DownloadOption = False) -> HubOptions:
    """The options of an `hf:` source that `--seq` and `--download` name."""
    chosen: dict[str, Value] = {}
    if seq is not None:
        chosen["seq"] = seq
    if download:
        chosen["download"] = True
    return HubOptions(chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is asked of each network that a command is about."""

    inputs: InputOption = None
    batch: BatchOption = None
    options: OptionOption = None
    bn: BnOption = None
    skip: SkipOption = None
    seq: SeqOption = None
    download: DownloadOption = False
    timeout: TimeoutOption = None
    no_cache: NoCacheOption = False


@dataclass(frozen=True, slots=True)
class Subject(_Asked):
    """The network that a command is about, as its argument and options name it."""

    network: NetworkArgument

    @property
    def chosen(self) -> dict[str, Value]:
        """The options of the network's factory."""
        return both(network_options(self.options, self.bn, self.skip), hub_options(self.seq, self.download))

    def trace(self, columns: Sequence[str] = ()) -> Trace:
        """The network's trace; raises as `traced`."""
        return traced(self.network, self.inputs, self.batch, self.chosen, columns, anew=self.no_cache)


@dataclass(frozen=True, slots=True)
class Subjects(_Asked):
    """Networks that a command shows together; the options hold for each of them."""

    networks: NetworksArgument

    @property
    def each(self) -> list[Subject]:
        """The networks one by one, in the order that they are named in."""
        others = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "networks"}
        return [Subject(network, **others) for network in self.networks]


register(Subject, Subject)
register(Subjects, Subjects)
register(NetworkOptions, network_options)
register(HubOptions, hub_options)


def both(options: dict[str, Value], own: dict[str, Value]) -> dict[str, Value]:
    """The options of a source and those that have a name of their own on the command line.

    Raises:
        InputError: one of them is given both ways.
    """
    for name in options.keys() & own.keys():
        raise InputError(f"option {name!r} is given twice, as --{name} and as --option: leave one of them out")
    return {**options, **own}


def depth_limit(depth: str) -> int | None:
    """The levels that `--depth` asks for; None for all.

    Raises:
        InputError: it is neither a positive number nor `all`.
    """
    if depth == "all":
        return None
    if not depth.isdecimal() or int(depth) < 1:
        raise InputError(f"--depth {depth!r} is no depth: expected 1, 2, ... or all")
    return int(depth)


def is_trace(network: str) -> bool:
    """Whether a network is named by a file that holds its trace; `config.json` is a source."""
    return network.endswith(".json") and not network.startswith("hf:") and Path(network).name != "config.json"


def traced(
    network: str,
    inputs: list[str] | None = None,
    batch: int | None = None,
    options: dict[str, Value] | None = None,
    columns: Sequence[str] = (),
    *,
    anew: bool = False,
) -> Trace:
    """The trace of a source or an ONNX graph, or the one that a JSON file of `archlab shapes --depth all --json` holds.

    Raises:
        InputError: the source, an input or an option is wrong, or the file holds no trace.
        ForwardError: the network doesn't take the inputs.
    """
    options = options or {}
    measured = [name for name in columns if name != "time"]
    if is_trace(network):
        if inputs or batch or options:
            raise InputError(f"{network} is a trace: its inputs and options can't be chosen any more, leave them out")
        return Trace.read(network)
    if network.lower().endswith(".onnx"):
        from archlab.onnx import trace as trace_graph

        return trace_graph(network, inputs or None, batch=batch, columns=columns, options=options)

    def measure() -> Trace:
        from archlab.networks import resolve
        from archlab.tracing import trace

        with prints_aside():
            if len(measured) < len(columns):
                from archlab.profiling import timed_trace

                return timed_trace(resolve(network, options), inputs or None, batch=batch, columns=measured)
            return trace(resolve(network, options), inputs or None, batch=batch, columns=measured)

    if anew or len(measured) < len(columns):
        return measure()
    return kept_trace(network, inputs, batch, options, measured, measure)
