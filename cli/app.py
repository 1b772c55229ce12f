"""The command `archlab`: which commands there are, and what happens when one fails.

A command NAME lives in a file of its own, `cli/NAME.py`, and is imported only when it is called. The file holds either
a function of that name, whose parameters typer turns into options, or, for a command with commands of its own, a
`typer.Typer` of that name. It is registered by one line in `COMMANDS`. The docstring's first line is its line in
`archlab --help`; examples follow after a line that holds the escape `\\b` alone, which keeps their line breaks.
Shared options come from `archlab.cli.common.options`, those that belong together as one group
(`archlab.cli.common.groups`); data goes out through `archlab.cli.common.console.emit`. Imports of the library beyond
errors and the records of settings stand inside the functions, so that every command starts as fast as it can.
"""

from __future__ import annotations

import gc
import importlib
import os
import re
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from archlab import __version__
from archlab.cli.common.coercion import spare_pydantic
from archlab.cli.common.console import message, stopped_code
from archlab.cli.common.defaults import command_defaults
from archlab.cli.common.timeout import OutOfTimeError, stop_no_more
from archlab.errors import ArchlabError, ForwardError, InputError, nearest

COMMANDS = (
    "shapes",
    "growth",
    "diff",
    "check",
    "bn",
    "graph",
    "profile",
    "train",
    "compare",
    "experiment",
    "landscape",
    "report",
    "serve",
    "runs",
    "networks",
    "cache",
)
"""In the order in which `archlab --help` lists them."""


HELP_NAMES: dict[str, Any] = {"help_option_names": ["--help", "-h"]}


class Commands(TyperGroup):
    """Commands that are imported on first use, and whose errors become one line and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"archlab.cli.{cmd_name}"), cmd_name)
        if not isinstance(command, typer.Typer):
            application = typer.Typer(add_completion=False, rich_markup_mode=None)
            application.command(cmd_name)(command)
            command = application
        made: Any = typer.main.get_command(command)
        made.name = cmd_name
        for one in (made, *getattr(made, "commands", {}).values()):
            one.context_settings = {**one.context_settings, **HELP_NAMES}
        return made

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does, in a line; none is imported for that, which takes a quarter of a second."""
        limit = formatter.width - 6 - max(map(len, COMMANDS))
        lines = [(name, TyperCommand(name, help=summary(name)).get_short_help_str(limit)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl(lines)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is named; a name that there is not comes with the nearest ones."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise InputError(f"there is no command {args[0]!r}: {nearest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error on purpose is a message and its class's exit code, never a traceback."""
        try:
            ctx.default_map = command_defaults(self, ctx)
            result = super().invoke(ctx)
            sys.stdout.flush()
        except ForwardError as error:
            message(picture(error))
            raise typer.Exit(error.exit_code) from error
        except ArchlabError as error:
            message(f"error: {error}")
            raise typer.Exit(error.exit_code) from error
        except OutOfTimeError as error:
            place = f": it was {error.args[0]}" if error.args else ""
            message(f"error: no end within {error.seconds:g} s (--timeout){place}")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            message(" ".join(("interrupted", *map(str, error.args))))
            raise typer.Exit(stopped_code(error)) from error
        except BrokenPipeError as error:  # the reader has seen enough: `archlab shapes resnet | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(141) from error
        except BaseException as error:
            if type(error).__module__.partition(".")[0] in ("typer", "click") or os.environ.get(DEBUG):
                raise
            message(f"error: {unexpected(error)}. {DEBUG}=1 shows the traceback: unless it is of your code, report it")
            raise typer.Exit(1) from error
        finally:
            stop_no_more()
        return result


def summary(name: str) -> str:
    """The first line of a command's help, as its file has it.

    >>> summary("check")
    'Hold a network to limits or a kept trace.'
    """
    text = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
    found = re.search(rf'(?ms)^(?:def {name}\(|{name} = typer\.Typer\().*?"""(.*?)(?:\n|""")', text)
    return found[1] if found else ""


DEBUG = "ARCHLAB_DEBUG"
"""The environment variable with which an error that nobody foresaw is shown whole."""


def unexpected(error: BaseException) -> str:
    """An error that nobody foresaw, and where it was raised."""
    *_, frame = traceback.extract_tb(error.__traceback__)
    try:
        text = " ".join(str(error).split())[:500]
    except Exception:  # of an error whose message can't be made
        text = ""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return f"{type(error).__name__}: {printable} ({Path(frame.filename).name}, line {frame.lineno})"


app = typer.Typer(
    cls=Commands, add_completion=True, rich_markup_mode=None, no_args_is_help=True, context_settings=HELP_NAMES
)


def picture(error: ForwardError) -> str:
    """The message, and beneath it what is known of the layer that failed."""
    if error.failure is None:
        return f"error: {error}"
    from archlab.tables.failure import failure_lines

    headline = str(error).splitlines()[0].removesuffix(f": {error.failure.error}")
    return f"error: {headline}\n{failure_lines(error.failure)}"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"archlab {__version__}")
        raise typer.Exit


@app.callback()
def archlab(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    """Measure what a neural network is, and what its normalisation and skip connections do when it trains.

    \b
    archlab shapes densenet --input 96       shapes, parameters and cost of each layer
    archlab compare --bn off                 a paired experiment: with and without BatchNorm
    archlab COMMAND --help                   examples and defaults of a command

    Defaults of options can stand in pyproject.toml, for all commands that have the option or for one:

    \b
    [tool.archlab]
    store = "results"
    [tool.archlab.compare]
    seeds = 8
    """


OBJECTS_PER_COLLECTION = 100_000
"""New objects between two searches for cycles. An import of torch makes half a million that stay: with Python's own 700
it is searched hundreds of times, which takes a seventh of it."""


def main() -> None:
    """Run the command line and leave with its exit code: 0 done, 1 a check or a run failed, 2 the call was wrong."""
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    spare_pydantic()
    typer.main.get_command(app).main(prog_name="archlab")
