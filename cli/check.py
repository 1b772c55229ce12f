"""`archlab check`: holds a network to limits and to a committed trace."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import emit, message, prints_aside, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import Subject, is_trace
from archlab.cli.common.output import Output, writable
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.records import MemoryEstimate, Trace

SUFFIX_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@grouped
def check(
    subject: Subject,
    *,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Keep the trace there as JSON, to commit it."),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Compare with the trace that --save kept, on its inputs by default.",
        ),
    ] = None,
    max_parameters: Annotated[
        str | None, typer.Option(metavar="N", show_default=False, help="Most parameters: 2500000 or 2.5M.")
    ] = None,
    max_macs: Annotated[
        str | None, typer.Option(metavar="N", show_default=False, help="Most multiply-accumulates: 1.8G, for instance.")
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            show_default=False,
            help="Most memory that a training step with Adam takes at the batch of the inputs: 24GB, 24GiB.",
        ),
    ] = None,
    lint: Annotated[
        bool,
        typer.Option(
            "--lint",
            help="Name layers that can't earn their keep (a bias before BatchNorm, a stride that drops pixels), each "
            "with the evidence, a remedy and a source.",
        ),
    ] = False,
    target: Output,
) -> None:
    """Hold a network to limits or a kept trace.

    Exit 1 where it is off, naming what and by how much.

    \b
    archlab check resnet18 --max-parameters 12M --max-macs 2G
    archlab check resnet18 --batch-size 64 --max-memory 24GB
    archlab check mine.py:build --lint
    archlab check mine.py:build --input 3x64x64 --save shapes.json
    archlab check mine.py:build --against shapes.json
    """
    limits = {
        "max_parameters": whole_number("--max-parameters", max_parameters),
        "max_macs": whole_number("--max-macs", max_macs),
    }
    limited = lint or max_memory is not None or any(limit is not None for limit in limits.values())
    if save is None and against is None and not limited:
        raise InputError(
            "nothing to check: give --max-parameters, --max-macs, --max-memory, --lint, --against FILE, or --save FILE "
            "to begin"
        )
    if max_memory is not None and is_trace(subject.network):
        raise InputError(f"--max-memory needs the network itself, and {subject.network} is a trace: name its source")
    if save is not None:
        writable(save, called="--save")
    if target != Output() and against is None and not limited:
        raise InputError("--save alone checks nothing, so that there is nothing for -o or --format: leave them out")
    allowed = None if max_memory is None else _bytes(max_memory)
    from archlab.analysis.check import check as judge
    from archlab.records import Trace
    from archlab.tables.check import check_table

    kept = None if against is None else Trace.read(against)
    if kept is not None and not subject.inputs:
        subject = replace(subject, inputs=_specs(kept))
    found = subject.trace(("receptive-field",) if lint else ())
    if kept is None and not limited:
        _keep(found, save)
        return
    memory = None if allowed is None else _memory(subject)
    verdict = judge(found, kept, **limits, memory=memory, max_memory=allowed, memory_text=max_memory or "", lint=lint)
    if save is not None and against is not None and save.resolve() == against.resolve() and not verdict.passed:
        message(f"{save} stays as it was: it is what the check failed against. --save alone, or to another file, keeps")
    else:
        _keep(found, save)
    emit(target, lambda: check_table(verdict), verdict.to_json)
    if not verdict.passed:
        raise typer.Exit(1)


def _keep(found: Trace, path: Path | None) -> None:
    if path is not None:
        write(found.to_json(), path)
        message(f"kept {len(found.layers):,} layers in {path}")


def _bytes(limit: str) -> int:
    from archlab.tracing.memory.fitting import parse_bytes

    return parse_bytes(limit)


def _memory(subject: Subject) -> MemoryEstimate:
    """What a training step takes on the inputs."""
    from archlab.networks import resolve
    from archlab.tracing import fits

    with prints_aside():
        return fits(resolve(subject.network, subject.chosen), subject.inputs or None, batch=subject.batch)


def whole_number(name: str, text: str | None) -> int | None:
    """A whole number, perhaps with a suffix: 2500000, 2.5M, 1G.

    Raises:
        InputError: it is none.
    """
    if text is None:
        return None
    match = re.fullmatch(
        r"(\d+(?:\.\d+)?|\d*\.\d+)([KMGT]?)", text.strip().replace(",", "").replace("_", ""), re.IGNORECASE
    )
    if match is None:
        raise InputError(f"{name} {text!r} is no number: expected 2500000, 2.5M or 1G (K, M, G, T are powers of 1,000)")
    from decimal import Decimal

    return int(Decimal(match[1]) * SUFFIX_FACTORS[match[2].upper()])


def _specs(kept: Trace) -> list[str]:
    """The inputs of a trace as the command line takes them: their shapes, since a trace holds nothing else of them."""
    if not kept.inputs:
        return ["none"]
    positional = len(kept.inputs) - len(kept.input_names)
    names = [""] * positional + [f"{name}=" for name in kept.input_names]
    dtypes = [f":{dtype}" for dtype in kept.input_dtypes] or [""] * len(names)
    return [
        f"{name}{'x'.join(map(str, shape))}{dtype}"
        for name, shape, dtype in zip(names, kept.inputs, dtypes, strict=True)
    ]
