from __future__ import annotations

import csv as csv_reader
import io
from html.parser import HTMLParser

from hypothesis import given, settings, strategies

from archlab.tables import AtLeast, Column, Row, Table, csv, html, markdown
from archlab.tables.markup import sentences

TABLE = Table(
    columns=(
        Column("path", "path"),
        Column("output_shapes", "output shape"),
        Column("bar", "", form="bar"),
        Column("macs", "MACs", "right", blank_zero=True),
    ),
    rows=(Row(("dense_block_0", "1x192", 1.0, 1234567)), Row(("dense_block_0.relu", "1x192", 0.0, 0), depth=1)),
    title="densenet",
    total=("total", None, None, AtLeast(1234567)),
    footer=("A note.",),
)


def test_csv_has_raw_numbers_and_neither_bars_nor_a_total() -> None:
    assert csv(TABLE).splitlines() == [
        "path,output_shapes,macs",
        "dense_block_0,1x192,1234567",
        "dense_block_0.relu,1x192,0",
    ]


def test_csv_text_that_a_spreadsheet_would_run_stands_behind_an_apostrophe() -> None:
    cells = ("=1+1", "@x", "-2", -2, "+3.5", "-x", "\t=1", "a=1")
    table = Table(columns=(Column("a", "a"),), rows=tuple(Row((cell,)) for cell in cells))
    found = [row[0] for row in csv_reader.reader(io.StringIO(csv(table)))]
    assert found == ["a", "'=1+1", "'@x", "-2", "-2", "+3.5", "'-x", "'\t=1", "a=1"]


def test_markdown() -> None:
    assert markdown(TABLE).splitlines() == [
        "**densenet**",
        "",
        "| path | output shape |  | MACs |",
        "| --- | --- | --- | ---: |",
        "| dense_block_0 | 1x192 | " + "█" * 24 + " | 1,234,567 |",
        "| dense_block_0.relu | 1x192 |  |  |",
        "| **total** |  |  | **>= 1,234,567** |",
        "",
        "A note.",
    ]


def test_markdown_escapes_what_it_would_read() -> None:
    table = Table(columns=(Column("a", "a"),), rows=(Row(("_x_|y_z`<b>[*\n",)),))
    assert markdown(table).splitlines()[-1] == r"| \_x\_\|y_z\`\<b>\[\*\\n |"


class Reader(HTMLParser):
    """The texts and tags of a page; an attribute of an event or a link would be seen."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_html_is_a_fragment_in_ascii() -> None:
    page = html(TABLE)
    assert page.isascii()
    assert page.startswith("<style>")
    texts = Reader(page).texts
    assert [text for text in texts if text.strip()][1:] == [
        "densenet",
        "path",
        "output shape",
        "MACs",
        "dense_block_0",
        "1x192",
        "1,234,567",
        "dense_block_0.relu",
        "1x192",
        "total",
        ">= 1,234,567",
        "A note.",
    ]


def test_html_draws_bars() -> None:
    table = Table((Column("a", "a"), Column("bar", "", form="bar")), tuple(Row(("x", part)) for part in (0.375, 0.0)))
    assert [
        line.partition("</th>")[2] for line in html(table).splitlines() if line.startswith('<tr><th scope="row"')
    ] == [
        '<td class="bar"><i style="width:37.5%"></i></td></tr>',
        '<td class="bar"></td></tr>',
    ]


def test_sentences_are_a_list_of_text() -> None:
    assert sentences([]) == ""
    found = sentences(["a < b", "é"])
    assert found.isascii()
    assert found.endswith("<li>a &lt; b</li><li>&#233;</li></ul>")


@settings(deadline=None, max_examples=50)
@given(strategies.text(), strategies.text(alphabet="<>\"'&/script=on "))
def test_html_of_any_name_is_text(first: str, second: str) -> None:
    name = first + second
    table = Table(columns=(Column("a", name),), rows=(Row((name,)),), title=name, footer=(name,))
    reader = Reader(html(table))
    harmless = Reader(html(Table(columns=(Column("a", "a"),), rows=(Row(("a",)),), title="a", footer=("a",))))
    assert set(reader.tags) <= set(harmless.tags)
    assert reader.attributes == harmless.attributes


@settings(deadline=None, max_examples=50)
@given(
    strategies.lists(
        strategies.tuples(strategies.text(strategies.characters(exclude_categories=["C"])), strategies.integers())
    )
)
def test_csv_can_be_read_again(rows: list[tuple[str, int]]) -> None:
    table = Table(columns=(Column("a", "a"), Column("b", "b")), rows=tuple(map(Row, rows)))
    head, *read = csv_reader.reader(io.StringIO(csv(table)))
    assert head == ["a", "b"]
    assert [number for _, number in read] == [str(number) for _, number in rows]
    assert all(told in (name, f"'{name}") for (told, _), (name, _) in zip(read, rows, strict=True))
