from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies

from archlab.tables.table import Column, Row, Table
from archlab.tables.text import columns_of, lines, printable, shorten, text

COLUMNS = (Column("path", "path", shrinks=True), Column("parameters", "parameters", "right"))
TREE = Table(
    columns=COLUMNS,
    rows=(
        Row(("stem", 8)),
        Row(("stage", 144)),
        Row(("stage.0", 72), depth=1, label="0"),
        Row(("stage.0.conv", 72), depth=2, label="conv"),
        Row(("stage.1", 72), depth=1, label="1"),
        Row(("head", 1000)),
    ),
    title="net",
    total=("total", 1152),  # 8 + 144 + 1000
    footer=("A note.",),
)


def test_a_file_gets_whole_names_and_no_box_drawing() -> None:
    assert text(TREE).splitlines() == [
        "net",
        "",
        "path              parameters",
        "----------------------------",
        "stem                       8",
        "stage                    144",
        "  stage.0                 72",
        "    stage.0.conv          72",
        "  stage.1                 72",
        "head                   1,000",
        "----------------------------",
        "total                  1,152",
        "",
        "A note.",
    ]


def test_a_terminal_gets_a_drawn_tree() -> None:
    assert text(TREE, guides="unicode").splitlines()[2:] == [
        "path        parameters",
        "──────────────────────",
        "stem                 8",
        "stage              144",
        "├─ 0                72",
        "│  └─ conv          72",
        "└─ 1                72",
        "head             1,000",
        "──────────────────────",
        "total            1,152",
        "",
        "A note.",
    ]


@pytest.mark.parametrize(
    ("name", "room", "short"),
    [
        ("conv", 4, "conv"),
        ("features.denseblock3.denselayer12.conv1", 30, "features.….denselayer12.conv1"),
        ("features.denseblock3.denselayer12.conv1", 20, "features.….conv1"),
        ("features.denseblock3.denselayer12.conv1", 12, "featur…conv1"),
        ("AdaptiveAvgPool2d", 9, "Adap…ol2d"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_a_long_name_keeps_its_ends(name: str, room: int, short: str) -> None:
    assert shorten(name, room) == short
    assert columns_of(short) <= room


def test_columns_that_do_not_fit_follow_in_a_block_of_their_own() -> None:
    wide = Table(
        columns=(Column("name", "name"), *(Column(letter, letter * 10, "right") for letter in "abc")),
        rows=(Row(("x", 1, 2, 3)),),
    )
    assert text(wide, 30).splitlines() == [
        "name  aaaaaaaaaa  bbbbbbbbbb",  # 4 + 2 + 10 + 2 + 10 = 28
        "----------------------------",
        "x              1           2",
        "",
        "name  cccccccccc",
        "----------------",
        "x              3",
    ]


def test_prose_goes_on_in_the_next_line() -> None:
    table = Table(
        columns=(Column("name", "name"), Column("help", "help", wraps=True), Column("n", "n", "right")),
        rows=(Row(("x", "one two three four five six seven", 1)),),
    )
    assert text(table, 37).splitlines()[2:] == [
        "x     one two three four five six   1",
        "      seven",
    ]


def test_bars_are_plain_in_a_file_and_blocks_on_a_terminal() -> None:
    table = Table(columns=(Column("n", "n"), Column("bar", "", form="bar")), rows=(Row(("x", 0.5)),))
    assert text(table).splitlines()[-1] == "x  " + "#" * 12
    assert text(table, guides="unicode").splitlines()[-1] == "x  " + "█" * 12


def test_a_name_cannot_move_the_cursor_or_turn_the_line() -> None:
    assert printable("a\x1b[2Jb\u202ec\nd") == "a\\x1b[2Jb\\u202ec\\nd"
    hostile = Table(columns=COLUMNS, rows=(Row(("a\x1b[31m\nb", 1)),), title="\r\x07", footer=("\u2066x",))
    assert all(character.isprintable() or character == "\n" for character in text(hostile))


def test_wide_characters_take_two_columns() -> None:
    assert [columns_of(name) for name in ("abc", "層", "e\u0301")] == [3, 2, 1]
    table = Table(columns=COLUMNS, rows=(Row(("層", 1)), Row(("ab", 1))))
    assert {columns_of(line) for line in text(table).splitlines()[1:]} == {16}  # 4 + 2 + 10


def test_emphasis_is_the_role_of_the_spans() -> None:
    table = Table(columns=COLUMNS, rows=(Row(("a", 1), emphasis="good"), Row(("b", 2))), total=("total", 3))
    roles = [{span.role for span in line} for line in lines(table)]
    assert roles == [{"heading"}, {"rule"}, {"good"}, {"text"}, {"rule"}, {"total"}]


names = strategies.text("abcdef.層é", min_size=1, max_size=60)


@settings(deadline=None, max_examples=60)
@given(
    strategies.lists(strategies.tuples(names, names, strategies.integers(0, 10**12), strategies.integers(0, 3))),
    strategies.integers(50, 120),
    strategies.sampled_from(["plain", "unicode"]),
)
def test_no_line_is_wider_than_the_screen(rows: list[tuple[str, str, int, int]], width: int, guides: str) -> None:
    table = Table(
        columns=(Column("p", "path", shrinks=True), Column("k", "kind", shrinks=True), Column("n", "n", "right")),
        rows=tuple(Row((path, kind, number), depth=depth) for path, kind, number, depth in rows),
        footer=("a sentence " * 20,),
    )
    drawn = text(table, width, guides)  # type: ignore[arg-type]
    assert max(map(columns_of, drawn.splitlines())) <= width
    assert len(drawn.splitlines()) >= 2 + len(rows)
