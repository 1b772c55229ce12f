"""`archlab graph`: a network as a picture, or in the language of another tool."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli.common.console import message, write
from archlab.cli.common.groups import grouped
from archlab.cli.common.idle import refuse_for_traces, refuse_idle
from archlab.cli.common.options import Subject, depth_limit
from archlab.cli.common.output import writable
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


class View(StrEnum):
    """The ways to draw a network."""

    diagram = "diagram"
    volume = "volume"


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
    context: typer.Context,
    subject: Subject,
    others: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MORE", show_default=False, help="Further networks, drawn below the first by --view volume."
        ),
    ] = None,
    *,
    view: Annotated[
        View,
        typer.Option(
            help="diagram: layers as boxes, tensors as lines. volume: tensors as blocks to scale, as papers draw them."
        ),
    ] = View.diagram,
    depth: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            show_default=False,
            help="Levels that are open. Default: what is worth seeing in a picture, the outermost in a text; in "
            "volumes what makes at most 32 blocks.",
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

    In the volume view a block is as wide as its channels, as high and deep as its map (tokens: as high), all on one
    scale that the key states. A network whose maps shrink and grow again is a U, with its skip connections across; a
    dense block's layers are bands of its blocks; several networks stand over one axis of map sizes.

    \b
    archlab graph densenet -o densenet.html
    archlab graph resnet --only stage_2.0 -o block.svg
    archlab graph resnet50 --depth all -o resnet50.svg
    archlab graph lenet --format mermaid
    archlab graph unet.py:unet --view volume -o unet.svg
    archlab graph resnet densenet --view volume -o both.svg
    archlab graph torchvision:resnet50 --depth all --format model-explorer -o resnet50.json
    """
    if as_json and form not in (None, GraphFormat.json):
        raise InputError(f"--json means --format json, but --format {form} was given too: leave one of them out")
    form = GraphFormat.json if as_json else form
    if view is View.volume:
        why = "says nothing about volumes, which are SVG and always to scale"
        refuse_idle(context, ("form", "as_json", "direction", "colour"), why)
        refuse_for_traces(context, [subject.network, *(others or [])])
        _volumes(subject, others or [], path, only, depth)
        return
    if others:
        given = " ".join([subject.network, *others])
        raise InputError(f"a diagram is of one network, got {given}: leave all but one out, or add --view volume")
    limit: Depth = depth_limit(depth) if depth else "auto"
    suffix = path.suffix.lower() if path else ""
    if path is not None:
        writable(path, () if form else (*PICTURES, *FORMATS))
    pictured = form is None and suffix in PICTURES
    if not pictured:
        text = form or FORMATS.get(suffix, GraphFormat.dot)
        refuse_idle(context, ("view", "colour", "direction"), f"is for pictures (-o F.svg), and {text} is text")
    costly = [colour.value] if pictured and colour in (Colour.saved, Colour.receptive_field, Colour.time) else []
    refuse_for_traces(context, [subject.network], costly)
    try:
        found = subject.trace(costly)
    except ForwardError as error:
        with suppress(InputError):  # the picture shows where it failed, if what is asked for was reached
            if error.trace is not None:
                _write(error.trace, path, suffix, form, only, limit, colour.value, direction)
        raise
    _write(found, path, suffix, form, only, limit, colour.value, direction)


def _volumes(subject: Subject, others: list[str], path: Path | None, only: str, depth: str | None) -> None:
    """Draw the volumes of one network or several."""
    from archlab.reports import volume

    if path is not None:
        writable(path, volume.FORMATS)
    limit = depth_limit(depth) if depth else 0
    found: list[Trace] = []
    try:
        found.extend(replace(subject, network=network).trace() for network in (subject.network, *others))
    except ForwardError as error:
        with suppress(InputError):
            if error.trace is not None:
                _draw([*found, error.trace], path, only, limit)
        raise
    _draw(found, path, only, limit)


def _draw(found: list[Trace], path: Path | None, only: str, limit: int | None) -> None:
    from archlab.reports import volume

    if path is None:
        write(volume.draw(*found, only=only, depth=limit).svg.rstrip(), None)
    else:
        message(f"wrote {volume.save(path, *found, only=only, depth=limit)}")


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
