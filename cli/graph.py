"""`archlab graph`: a network as a picture, or in the language of another tool."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import message, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import DepthOption, Subject, depth_limit
from archlab.cli.common.output import writable
from archlab.errors import ForwardError, InputError

if TYPE_CHECKING:
    from archlab.records import Trace


class GraphFormat(StrEnum):
    """The languages that a graph is written in."""

    dot = "dot"
    mermaid = "mermaid"
    json = "json"
    model_explorer = "model-explorer"


class Colour(StrEnum):
    """What the colours of a picture say."""

    kind = "kind"
    parameters = "parameters"
    macs = "macs"
    saved = "saved"
    receptive_field = "receptive-field"
    time = "time"


PICTURES = (".svg", ".html", ".png")
FORMATS = {
    ".dot": GraphFormat.dot,
    ".gv": GraphFormat.dot,
    ".mmd": GraphFormat.mermaid,
    ".mermaid": GraphFormat.mermaid,
    ".json": GraphFormat.json,
}


@grouped
def graph(
    subject: Subject,
    *,
    depth: DepthOption = "1",
    only: Annotated[
        str, typer.Option(metavar="PATH", show_default=False, help="Show the inside of this layer: stage_2.0.")
    ] = "",
    colour: Annotated[Colour, typer.Option(help="What the colours of a picture say.")] = Colour.kind,
    scale: Annotated[
        bool, typer.Option("--scale", help="In a picture, width by channels and height by spatial size.")
    ] = False,
    form: Annotated[
        GraphFormat | None,
        typer.Option("--format", show_default=False, help="A text instead of a picture. Default: by -o, else dot."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    path: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            show_default=False,
            help="A picture (.svg, .html, .png), or the text's file.",
        ),
    ] = None,
) -> None:
    """Draw a network, or export its graph.

    Edges carry the shapes of what goes between two layers. Where the network does not take its input, the picture is
    drawn up to the layer that failed, and marks it.

    \b
    archlab graph densenet -o densenet.html
    archlab graph resnet --only stage_2.0 -o block.svg
    archlab graph lenet --format mermaid
    archlab graph torchvision:resnet50 --depth all --format model-explorer -o resnet50.json
    """
    if as_json and form not in (None, GraphFormat.json):
        raise InputError(f"--json means --format json, but --format {form} was given too: leave one of them out")
    form = GraphFormat.json if as_json else form
    limit = depth_limit(depth)
    suffix = path.suffix.lower() if path else ""
    if path is not None:
        writable(path, () if form else (*PICTURES, *FORMATS))
    costly = [colour.value] if colour in (Colour.saved, Colour.receptive_field, Colour.time) else []
    try:
        found = subject.trace(costly)
    except ForwardError as error:
        with suppress(InputError):  # the picture shows where it failed, if what is asked for was reached
            if error.trace is not None:
                _write(error.trace, path, suffix, form, only, limit, colour.value, scale)
        raise
    _write(found, path, suffix, form, only, limit, colour.value, scale)


def _write(
    found: Trace,
    path: Path | None,
    suffix: str,
    form: GraphFormat | None,
    only: str,
    limit: int | None,
    colour: str,
    scale: bool,
) -> None:
    if form is None and suffix in PICTURES and path is not None:
        from archlab.reports.diagram import save

        message(f"wrote {save(path, found, only=only or None, depth=limit, colour=colour, scale=scale)}")
        return
    from archlab.analysis import graph as graphs

    made = graphs.graph(found, only, limit)
    match form or FORMATS.get(suffix, GraphFormat.dot):
        case GraphFormat.dot:
            text = graphs.dot(made)
        case GraphFormat.mermaid:
            text = graphs.mermaid(made)
        case GraphFormat.model_explorer:
            text = graphs.model_explorer(made)
        case GraphFormat.json:
            text = made.to_json()
    write(text, path)
