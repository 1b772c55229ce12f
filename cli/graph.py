"""`archlab graph`: a network as a picture, or in the language of another tool."""

from __future__ import annotations

from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import message, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.options import Subject, depth_limit
from archlab.errors import ForwardError, InputError

if TYPE_CHECKING:
    from archlab.records import Trace
    from archlab.reports.diagram.views import Depth


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


class Direction(StrEnum):
    """How a tall picture is laid out."""

    down = "down"
    columns = "columns"


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
    depth: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            show_default=False,
            help="Levels that are open. Default: what is worth seeing in a picture, the outermost in a text.",
        ),
    ] = "",
    only: Annotated[
        str, typer.Option(metavar="PATH", show_default=False, help="Show the inside of this layer: stage_2.0.")
    ] = "",
    colour: Annotated[Colour, typer.Option(help="What the colours of a picture say.")] = Colour.kind,
    direction: Annotated[
        Direction | None,
        typer.Option(
            show_default=False,
            help="One column, or as many as fill a page best. Default: down in .html, which scrolls, else columns.",
        ),
    ] = None,
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
    archlab graph resnet50 --depth all -o resnet50.svg
    archlab graph lenet --format mermaid
    archlab graph torchvision:resnet50 --depth all --format model-explorer -o resnet50.json
    """
    if as_json and form not in (None, GraphFormat.json):
        raise InputError(f"--json means --format json, but --format {form} was given too: leave one of them out")
    form = GraphFormat.json if as_json else form
    limit: Depth = depth_limit(depth) if depth else "auto"
    suffix = path.suffix.lower() if path else ""
    costly = [colour.value] if colour in (Colour.saved, Colour.receptive_field, Colour.time) else []
    try:
        found = subject.trace(costly)
    except ForwardError as error:
        with suppress(InputError):  # the picture shows where it failed, if what is asked for was reached
            if error.trace is not None:
                _write(error.trace, path, suffix, form, only, limit, colour.value, direction)
        raise
    _write(found, path, suffix, form, only, limit, colour.value, direction)


def _write(
    found: Trace,
    path: Path | None,
    suffix: str,
    form: GraphFormat | None,
    only: str,
    limit: Depth,
    colour: str,
    direction: Direction | None,
) -> None:
    if form is None and suffix in PICTURES and path is not None:
        from archlab.reports.diagram import save

        written = save(path, found, only=only or None, depth=limit, colour=colour, direction=direction or "")
        message(f"wrote {written}")
        return
    if form is None and path is not None and suffix not in FORMATS:
        known = ", ".join([*PICTURES, *FORMATS])
        raise InputError(f"{path} has no suffix that says what to write: expected one of {known}, or a --format")
    from archlab.analysis import graph as graphs

    made = graphs.graph(found, only, 1 if limit == "auto" else limit)
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
