"""Options are read as typer reads them, and plain ones without pydantic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer import core
from typer.testing import CliRunner

from archlab.cli.common.coercion import spare_pydantic

BUILD = getattr(core, "build_runtime_param", None)
newer = pytest.mark.skipif(BUILD is None, reason="this typer reads options in another way")


@pytest.fixture
def _spared() -> Iterator[None]:
    spare_pydantic()
    yield
    if BUILD is not None:
        core.build_runtime_param = BUILD  # type: ignore[attr-defined,unused-ignore]


def application() -> typer.Typer:
    made = typer.Typer(add_completion=False, rich_markup_mode=None)

    @made.command()
    def show(
        word: str,
        path: Path | None = None,
        there: Annotated[Path | None, typer.Option(exists=True)] = None,
        folder: Annotated[Path | None, typer.Option(file_okay=False)] = None,
        number: Annotated[int, typer.Option(min=1)] = 3,
        share: float = 0.5,
        many: list[str] | None = None,
        upper: Annotated[str, typer.Option(parser=str.upper)] = "a",
        flag: bool = False,
    ) -> None:
        values = {name: repr(value) for name, value in locals().items() if name != "made"}
        typer.echo(json.dumps(values))

    return made


LINES = [
    ["a"],
    [""],
    [],
    ["a", "--path", "."],
    ["a", "--path", "not-there"],
    ["a", "--there", "not-there"],
    ["a", "--there", "."],
    ["a", "--folder", __file__],
    ["a", "--number", "7", "--share", "0.25"],
    ["a", "--number", "0"],
    ["a", "--number", "x"],
    ["a", "--number", "07"],
    ["a", "--number", "+7"],
    ["a", "--number", "7.0"],
    ["a", "--number", "\u0663"],
    ["a", "--number", "9" * 30],
    ["a", "--share", "x"],
    ["a", "--many", "b", "--many", "c"],
    ["a", "--upper", "b", "--flag"],
    ["--help"],
    ["a", "--other"],
]


def said(line: list[str]) -> tuple[int, str, str]:
    done = CliRunner().invoke(application(), line)
    return done.exit_code, done.stdout, done.stderr


EXPECTED = {tuple(line): said(line) for line in LINES}


@pytest.mark.parametrize("line", LINES, ids=" ".join)
@pytest.mark.usefixtures("_spared")
def test_a_command_gets_the_same_values_and_says_the_same(line: list[str]) -> None:
    assert said(line) == EXPECTED[tuple(line)]


@newer
@pytest.mark.parametrize("words", [["runs", "list", "--limit", "3"], ["networks", "--json"], ["cache", "show"]])
def test_plain_options_load_no_pydantic(words: list[str], tmp_path: Path) -> None:
    line = [*words, *(["--store", str(tmp_path)] if words[0] == "runs" else [])]
    program = (
        "import sys\nfrom archlab.cli.app import main\n"
        f"sys.argv = ['archlab', *{line!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "assert 'pydantic' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 0, done.stderr


@newer
@pytest.mark.usefixtures("_spared")
def test_another_reader_is_typers_own() -> None:
    described: Any = typer.main.get_command(application()).params[0]
    reader = described.get_runtime_param()
    assert reader.annotation is str  # which the reader that stands before it hasn't
