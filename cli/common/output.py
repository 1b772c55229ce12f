"""Where a command's data goes and in which form: the group of options `--format`, `--json` and `-o`.

What can't be written is refused here, before a command begins its work.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NewType, TypeAlias

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
TEXTS = ("", ".txt")
"""Suffixes of files that get a table as text."""
PAGES = (".html", ".htm")
"""Suffixes of a page."""
ELSEWHERE = {
    ".svg": "archlab graph NETWORK -o draws a picture of a network",
    ".png": "archlab graph NETWORK -o draws a picture of a network, archlab report --png those of its charts",
    ".pdf": "archlab report -o F.html writes a page, which a browser prints as PDF",
    ".xlsx": "a spreadsheet opens .csv",
    ".ods": "a spreadsheet opens .csv",
    ".tex": "archlab runs export --to csv and --format csv give what a LaTeX table is made of",
    ".parquet": "archlab runs export --to parquet writes such files",
}
"""Suffixes that people try -> where such a file, or its like, comes from."""


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
        InputError: `--json` stands beside another `--format`, no file can be written there, or its suffix names a form
            that there is not.
    """
    return _output(form, as_json, path, TEXTS)


FileOutput = NewType("FileOutput", Output)
"""The output of a command that can show a file of a form of its own: TOML."""


def writable(path: Path, suffixes: Collection[str] = (), called: str = "-o") -> Path:
    """The path, where a file of that name can be written; asked before the work begins.

    Args:
        path: of the file; one that is there is replaced.
        suffixes: those that it may have; none for any.
        called: the option that named it.

    Raises:
        InputError: it is a folder, its folder is not there or someone else's, or it has another suffix.
    """
    suffix = path.suffix.lower()
    if suffixes and suffix not in suffixes:
        known = ", ".join(sorted(filter(None, suffixes)))
        hint = f"; {ELSEWHERE[suffix]}" if suffix in ELSEWHERE else ""
        raise InputError(f"{called} {path} has no suffix that says what to write: expected one of {known}{hint}")
    if path.is_dir():
        raise InputError(f"{called} {path} is a folder, expected the name of a file")
    folder = path.parent
    if not folder.is_dir():
        raise InputError(
            f"{called} {path} can't be written: there is no folder {folder}; make it or choose another file"
        )
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"{called} {path} can't be written: permission denied; choose another file")
    return path


def page_path(path: Path | None, called: str = "--report") -> Path | None:
    """The path of a page, None where none was named; raises as `writable` does."""
    return None if path is None else writable(path, PAGES, called)


def _output(form: Format | None, as_json: bool, path: Path | None, texts: Collection[str]) -> Output:
    if as_json and form not in (None, Format.json):
        raise InputError(f"--json means --format json, but --format {form} was given too: leave one of them out")
    if str(path) == "-":
        path = None
    if path is not None:
        writable(path, () if form is not None or as_json else (*FORMATS, *texts))
    if form is None:
        form = Format.json if as_json else FORMATS.get(path.suffix.lower(), Format.table) if path else Format.table
    return Output(form, path)


register(Output, output)
register(
    FileOutput,
    lambda form, as_json, path: _output(form, as_json, path, (".toml", *TEXTS)),
    list(inspect.signature(output, eval_str=True).parameters.values()),
)
