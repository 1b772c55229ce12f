"""Where a command's data goes and in which form: the group of options `--format`, `--json` and `-o`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from archlab.cli.common.groups import register
from archlab.errors import InputError


class Format(StrEnum):
    """The forms that data is shown in."""

    table = "table"
    json = "json"
    csv = "csv"
    markdown = "markdown"
    html = "html"


FORMATS = {
    ".json": Format.json,
    ".csv": Format.csv,
    ".md": Format.markdown,
    ".html": Format.html,
    ".htm": Format.html,
}


@dataclass(frozen=True, slots=True)
class Output:
    """Where data goes, and in which form."""

    form: Format = Format.table
    path: Path | None = None
    """None is stdout."""


FormatOption: TypeAlias = Annotated[
    Format | None,
    typer.Option(
        "--format",
        metavar="FORM",
        show_default=False,
        help="table, json, csv, markdown or html. Default: what the suffix of -o says, else table.",
    ),
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Short for --format json.")]
FileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write there and not to stdout; - is stdout."),
]


def output(form: FormatOption = None, as_json: JsonOption = False, path: FileOption = None) -> Output:
    """The output that `--format`, `--json` and `-o FILE` ask for; the file's suffix decides where no form is named.

    Raises:
        InputError: `--json` stands beside another `--format`.
    """
    if as_json and form not in (None, Format.json):
        raise InputError(f"--json means --format json, but --format {form} was given too: leave one of them out")
    if str(path) == "-":
        path = None
    if form is None:
        form = Format.json if as_json else FORMATS.get(path.suffix.lower(), Format.table) if path else Format.table
    return Output(form, path)


register(Output, output)
