from __future__ import annotations

import io
import os
import re
import stat
import sys
from pathlib import Path

import pytest

from archlab.cli.common import console
from archlab.cli.common.console import emit, write
from archlab.cli.common.output import Format, Output, output
from archlab.errors import InputError
from archlab.tables import Column, Row, Table

TABLE = Table(
    columns=(Column("path", "path"), Column("n", "n", "right")),
    rows=(Row(("stage", 1)), Row(("stage.conv", 1234), depth=1, label="conv", emphasis="good")),
)


@pytest.mark.parametrize(
    ("form", "as_json", "path", "expected"),
    [
        (None, False, None, Format.table),
        (None, True, None, Format.json),
        (Format.json, True, None, Format.json),
        (Format.csv, False, Path("a.html"), Format.csv),
        (None, False, Path("a.html"), Format.html),
        (None, False, Path("a.MD"), Format.markdown),
        (None, False, Path("a.csv"), Format.csv),
        (None, False, Path("a.json"), Format.json),
        (None, False, Path("a.txt"), Format.table),
    ],
)
def test_the_form(form: Format | None, as_json: bool, path: Path | None, expected: Format) -> None:
    assert output(form, as_json, path) == Output(expected, path)


def test_a_dash_is_stdout() -> None:
    assert output(path=Path("-")).path is None


def test_json_beside_another_format_is_refused() -> None:
    with pytest.raises(InputError, match="--json means --format json, but --format csv was given too"):
        output(Format.csv, as_json=True)


@pytest.mark.parametrize(
    ("form", "start"),
    [
        (Format.table, "path"),
        (Format.csv, "path,n\nstage,1\nstage.conv,1234\n"),
        (Format.markdown, "| path | n |"),
        (Format.html, "<style>"),
        (Format.json, "{}\n"),
    ],
)
def test_data_goes_into_a_file_in_its_form(tmp_path: Path, form: Format, start: str) -> None:
    path = tmp_path / "out"
    emit(Output(form, path), lambda: TABLE, lambda: "{}")
    content = path.read_text(encoding="utf-8")
    assert content.startswith(start)
    assert content.endswith("\n")
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_only_what_is_needed_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    def never() -> str:
        raise AssertionError

    emit(Output(Format.csv), lambda: TABLE, never)
    assert capsys.readouterr().out.startswith("path,n\n")
    emit(Output(Format.json), never, lambda: "{}")  # type: ignore[arg-type]
    assert capsys.readouterr().out == "{}\n"


def test_several_tables_stand_apart(capsys: pytest.CaptureFixture[str]) -> None:
    emit(Output(Format.csv), lambda: [TABLE, TABLE], lambda: "")
    assert capsys.readouterr().out.count("\n\npath,n\n") == 1


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing.* can't be written: No such file"):
        write("x", tmp_path / "missing" / "out")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(InputError, match="folder can't be written"):
        write("x", folder)
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    path.write_text("old")

    def full(self: Path, *arguments: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(InputError, match="No space left"):
        write("new", path)
    monkeypatch.undo()
    assert path.read_text() == "old"


def test_a_link_is_followed_and_the_mode_is_the_usual_one(tmp_path: Path) -> None:
    target = tmp_path / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    write("x", link)
    assert link.is_symlink()
    assert target.read_text() == "x\n"
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def drawn(monkeypatch: pytest.MonkeyPatch, table: Table, **environment: str) -> str:
    """What a terminal of 80 columns is sent."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm-256color", "COLUMNS": "80"} | environment).items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    emit(Output(), lambda: table, lambda: "")
    return stream.getvalue()


ANSI = re.compile(r"\x1b\[[0-9;]*m")


def test_a_terminal_gets_colour_and_a_drawn_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, TABLE)
    assert "\x1b[32mconv" in text  # green, for `good`
    assert ANSI.sub("", text).splitlines() == ["path         n", "──────────────", "stage        1", "└─ conv  1,234"]


def test_no_color_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, TABLE, NO_COLOR="1")
    assert "\x1b[32m" not in text
    assert "└─ conv" in text


@pytest.mark.parametrize("columns", [80, 200])
def test_no_line_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    wide = Table(
        columns=(Column("path", "path", shrinks=True), *(Column(f"c{k}", f"column {k}", "right") for k in range(12))),
        rows=(Row((".".join(["features"] * 12), *range(12))),),
        footer=("A sentence that goes on. " * 12,),
    )
    lines = ANSI.sub("", drawn(monkeypatch, wide, COLUMNS=str(columns))).splitlines()
    assert max(map(len, lines)) <= columns
    assert sum("column" in line for line in lines) == (3 if columns == 80 else 1)


def test_a_dumb_terminal_is_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(monkeypatch, TABLE, TERM="dumb")
    assert text.isascii()
    assert "\x1b" not in text


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    emit(Output(), lambda: TABLE, lambda: "")
    assert capsys.readouterr().out.isascii()


def test_progress_is_silent_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress() as bars:
        task = bars.add_task("runs", total=2, note="")
        bars.update(task, completed=1, note="loss 0.3")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
