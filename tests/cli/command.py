"""Runs a command in this process."""

from __future__ import annotations

from dataclasses import dataclass

from typer.testing import CliRunner

from archlab.cli.app import app


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(*arguments: str) -> Outcome:
    """The command as in a pipe. An exception that is no exit fails the test: users would see a traceback."""
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)
