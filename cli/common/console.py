"""What the command line writes: data on stdout or into a file, messages and progress on stderr.

The only module that knows rich, and loads it only for a terminal: a pipe gets plain text.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from archlab.cli.common.output import Format, Output
from archlab.errors import InputError

if TYPE_CHECKING:
    from rich.progress import Progress

    from archlab.tables import Table
    from archlab.tables.text import Guides


def emit(
    target: Output, tables: Callable[[], Table | Sequence[Table]], document: Callable[[], str | Iterable[str]]
) -> None:
    """Write data as the output asks for; only the form that is needed is made. A large document comes in pieces.

    Raises:
        InputError: the file can't be written.
    """
    if target.form is Format.json:
        write(document(), target.path)
        return
    made = tables()
    many = [made] if not isinstance(made, Sequence) else list(made)
    if target.form is Format.table and target.path is None:
        show(many)
        return
    from archlab.tables import csv, html, markdown, text

    writers = {Format.table: text, Format.csv: csv, Format.markdown: markdown, Format.html: html}
    write("\n\n".join(writers[target.form](table) for table in many), target.path)


def write(content: str | Iterable[str], path: Path | None = None) -> None:
    """Write a text, or the pieces of one, to stdout, or into a file: whole or not at all.

    Raises:
        InputError: the file can't be written.
    """
    if isinstance(content, str):
        content = [content if content.endswith("\n") else f"{content}\n"]
    if path is None:
        sys.stdout.writelines(content)
        return
    try:
        from archlab import files

        files.replace_text(path, content)
    except OSError as error:
        raise InputError(f"{path} can't be written: {error.strerror}") from error


def show(tables: Sequence[Table]) -> None:
    """Print tables: coloured, as wide as the terminal and with drawn trees there, as plain text in a pipe."""
    from archlab.tables.text import lines, text

    if not is_terminal(sys.stdout):
        write("\n\n".join(text(table) for table in tables))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    guides: Guides = "unicode" if (sys.stdout.encoding or "").lower().startswith("utf") else "plain"
    for number, table in enumerate(tables):
        if number:
            console.print()
        for line in lines(table, width(), guides):
            spans = [(span.text, ROLE_STYLES.get(span.role, "")) for span in line]
            console.print(Text.assemble(*spans), soft_wrap=True)


ROLE_STYLES = {
    "title": "bold",
    "heading": "bold cyan",
    "rule": "bright_black",
    "guide": "bright_black",
    "total": "bold",
    "footer": "bright_black",
    "strong": "bold",
    "dim": "bright_black",
    "good": "green",
    "bad": "red",
    "changed": "yellow",
}
"""Roles of spans as styles of rich, from the sixteen colours that every terminal's theme makes readable."""


SENTENCE_COLUMNS = 100
"""That a sentence fills at most, however wide the terminal."""


def width() -> int:
    """Columns of the terminal, or those that COLUMNS names."""
    return shutil.get_terminal_size((80, 24)).columns


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at the stream."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def write_item(sentence: str, role: str = "") -> None:
    """Write a sentence of a list to stdout: wrapped at a terminal, in one line into a pipe.

    `role` colours what stands before the first colon, `Problem` for instance.
    """
    from archlab.tables.text import printable

    room = min(width(), SENTENCE_COLUMNS) if is_terminal(sys.stdout) else sys.maxsize
    filled = textwrap.fill(printable(sentence), room, initial_indent="- ", subsequent_indent="  ")
    head, colon, rest = filled.partition(":")
    if role and colon and is_terminal(sys.stdout):
        _print((head + colon, role), (rest, ""))
    else:
        write(filled)


def write_line(sentence: str, role: str) -> None:
    """Write a sentence to stdout, at a terminal in the colour of a role of `ROLE_STYLES`."""
    from archlab.tables.text import printable

    if is_terminal(sys.stdout):
        _print((printable(sentence), role))
    else:
        write(printable(sentence))


def _print(*spans: tuple[str, str]) -> None:
    from rich.console import Console
    from rich.text import Text

    styled = [(text, ROLE_STYLES.get(role, "")) for text, role in spans]
    Console(highlight=False).print(Text.assemble(*styled), soft_wrap=True)


def stopped_code(error: KeyboardInterrupt) -> int:
    """The exit code of a program that a signal ended: 130 for Ctrl-C, 143 for SIGTERM."""
    return 128 + (getattr(error, "number", 0) or int(signal.SIGINT))


def message(text: str) -> None:
    """Tell the user something that is no data, on stderr."""
    sys.stderr.write(text + "\n")


@contextlib.contextmanager
def prints_aside() -> Iterator[None]:
    """A context in which whatever is printed goes to stderr: a network's own code must not speak between our data.

    What is written to the descriptor, past Python, goes there too.
    """
    if not _is_descriptor(sys.stdout, 1):  # somebody caught it already: a test, a notebook
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _is_descriptor(stream: TextIO, number: int) -> bool:
    try:
        return stream.fileno() == number
    except (OSError, ValueError, AttributeError):
        return False


@contextlib.contextmanager
def progress() -> Iterator[Progress]:
    """Progress bars on stderr: `add_task(name, total=n, note="")`, `update(task, completed=k, note="loss 0.3")`.

    The note stands behind the bar. The bars are gone when they are done, and never drawn where stderr is no terminal.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn())
    bars = Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not is_terminal(sys.stderr), expand=False
    )
    with bars:
        yield bars
