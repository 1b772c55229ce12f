from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import archlab
from archlab.cli import app
from archlab.cli.common import console
from archlab.errors import ArchlabError, ForwardError, InputError, RunError
from archlab.records import Failure
from tests.cli.command import run

PICTURE = """\
error: net fails at fc (Linear)
  layer     fc (Linear)
  got       1x4
  expected  1x8
  torch     boom
"""
PROGRAM = [sys.executable, "-c", "from archlab.cli.app import main; main()"]


def test_version() -> None:
    assert run("--version").out == f"archlab {archlab.__version__}\n"


def test_help_lists_every_command() -> None:
    outcome = run("--help")
    assert outcome.code == 0
    listed = [line.split()[0] for line in outcome.out.partition("Commands:")[2].splitlines() if line.strip()]
    assert listed == list(app.COMMANDS)


@pytest.mark.parametrize("name", app.COMMANDS)
def test_its_line_is_the_first_of_its_help(name: str) -> None:
    assert app.summary(name) == run(name, "--help").out.split("\n\n")[1].strip().splitlines()[0]


def test_no_line_of_the_help_is_cut() -> None:
    lines = run("--help").out.partition("Commands:")[2].splitlines()
    assert [line for line in lines if line.endswith("...")] == []


@pytest.mark.parametrize("name", app.COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    outcome = run(name, "--help")
    assert outcome.code == 0
    assert f"archlab {name}" in outcome.out.partition("\n\n")[2]


@pytest.mark.parametrize("arguments", [["shaps"], ["shapes"], ["shapes", "lenet", "--inptu", "3"]])
def test_a_wrong_call_is_two(arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def write(content: str, path: Path | None = None) -> None:
        raise error

    monkeypatch.setattr(console, "write", write)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("no such thing"), 2, "error: no such thing\n"),
        (ArchlabError("broken"), 2, "error: broken\n"),
        (RunError("diverged"), 1, "error: diverged\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            ForwardError("net fails at fc (Linear): boom", Failure("fc", "Linear", "", "1x4", "1x8", "", "boom")),
            2,
            PICTURE,
        ),
        (ForwardError("net fails"), 2, "error: net fails\n"),
    ],
)
def test_an_error_on_purpose_is_a_message_and_a_code(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    failing(monkeypatch, error)
    outcome = run("shapes", "lenet", "--columns", "help", "--json")
    assert (outcome.code, outcome.err) == (code, text)


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("a \x1b bug"))
    monkeypatch.delenv("ARCHLAB_DEBUG")
    call = ("shapes", "lenet", "--columns", "help", "--json")
    result = run(*call)
    assert result.code == 1
    assert re.match(r"error: ZeroDivisionError: a   bug \(\w+\.py, line \d+\)\. ARCHLAB_DEBUG=1 shows", result.err)
    monkeypatch.setenv("ARCHLAB_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        run(*call)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break differently there")
def test_a_reader_that_leaves_is_no_error() -> None:
    program = subprocess.Popen(
        [*PROGRAM, "shapes", "lenet", "--columns", "help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert program.stdout is not None
    program.stdout.close()  # before anything is written
    _, err = program.communicate()
    assert (program.returncode, err) == (141, b"")


@pytest.mark.parametrize("command", app.COMMANDS)
def test_every_command_knows_its_groups_of_options_by_itself(command: str) -> None:
    """In a process of its own, where nothing else has imported what registers them."""
    program = "import sys; from archlab.cli.app import main; sys.argv[0] = 'archlab'; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, command, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "target" not in done.stdout.lower()
