"""A table as lines of text, laid out for a given width.

`lines` gives segments that carry a role, so that whoever prints them can colour them; `text` joins them.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from archlab.tables.table import BAR_WIDTH, Cell, Column, Row, Table, bar, written

Guides = Literal["plain", "unicode"]
Role = Literal[
    "title", "heading", "rule", "guide", "text", "total", "footer", "strong", "dim", "good", "bad", "changed"
]

COLUMN_GAP = 2
"""Blanks between two columns."""
NAME_WIDTH = 16
"""Characters that a column of names keeps."""
PROSE_WIDTH = 24
"""Characters that a column of prose keeps."""
PROSE_LINE = 72
"""Characters of prose in a line, where nothing says how wide the screen is."""
SHORTEST_BAR = 12
"""Characters that the longest bar keeps."""


class Segment(NamedTuple):
    """A piece of a line, with the role that it plays."""

    text: str
    role: Role = "text"


Line = tuple[Segment, ...]


def text(table: Table, width: int | None = None, guides: Guides = "plain") -> str:
    """The table as text, one line per row but for prose; `width` in columns, None for as wide as it gets.

    `plain` guides indent and give each row its whole name, for files and pipes; `unicode` ones draw the tree.
    """
    return "\n".join(["".join([span.text for span in line]).rstrip() for line in lines(table, width, guides)])


def lines(table: Table, width: int | None = None, guides: Guides = "plain") -> list[Line]:
    """The table as lines of segments. Columns that fit no width beside each other follow in blocks of their own."""
    table = _with_room(table, width, guides)
    dots = "…" if guides == "unicode" else "..."
    prefixes = _prefixes(table.rows, guides)
    grid = _grid(table, guides)
    for cells, row, prefix in zip(grid, table.rows, prefixes, strict=True):
        if guides == "unicode" and row.label:
            cells[0] = printable(row.label)
        cells[0] = prefix + cells[0]
    total = None if table.total is None else [_shown(c, k, guides) for c, k in _pairs(table, table.total)]
    heads = [column.title for column in table.columns]
    spanning = [row.emphasis == "strong" and not any(cells[1:]) for cells, row in zip(grid, table.rows, strict=True)]
    measured = [cells for cells, spans in zip(grid, spanning, strict=True) if not spans]
    widths = [_widest(cells) for cells in zip(heads, *measured, *([total] if total else []), strict=True)]
    natural, widths = widths, _fitted(table.columns, widths, width)
    for place, column in enumerate(table.columns):
        if column.form == "bar" and widths[place] < natural[place]:
            for cells, row in zip(grid, table.rows, strict=True):
                cells[place] = _shown(row.cells[place], column, guides, BAR_WIDTH * widths[place] // natural[place])

    result: list[Line] = []
    if table.title:
        result += [*((Segment(part, "title"),) for part in _wrapped(printable(table.title), width)), ()]
    for number, block in enumerate(_blocks(widths, width)):

        def drawn(cells: Sequence[str], role: Role, prefix: str = "", block: Sequence[int] = block) -> list[Line]:
            return _drawn([(cells[k], table.columns[k], widths[k]) for k in block], role, prefix, dots)

        rule = ("─" if guides == "unicode" else "-") * (sum(widths[k] + COLUMN_GAP for k in block) - COLUMN_GAP)
        result += [()] if number else []
        result += [*drawn(heads, "heading"), (Segment(rule, "rule"),)]
        if not any(spanning) and not any(table.columns[k].wraps for k in block):
            result += _drawn_at_once(grid, prefixes, table, widths, block, dots)
            grid_rows: Iterable[Any] = ()
        else:
            grid_rows = zip(grid, table.rows, prefixes, spanning, strict=True)
        for cells, row, prefix, spans in grid_rows:
            if spans:  # a heading among the rows takes the line
                whole = columns_of(cells[0]) if width is None else width
                for part in _wrapped(cells[0], whole):
                    result += _drawn([(part, table.columns[0], whole)], row.emphasis or "text", prefix, dots)
            else:
                result += drawn(cells, row.emphasis or "text", prefix)
        if total:
            result += [(Segment(rule, "rule"),), *drawn(total, "total")]
    if table.footer:
        result.append(())
        for sentence in table.footer:
            result += [(Segment(part, "footer"),) for part in _wrapped(printable(sentence), width)]
    return result


def shorten(name: str, room: int, dots: str = "…") -> str:
    """The name in at most `room` columns; a dotted path keeps its first and as many of its last parts as fit.

    >>> shorten("features.denseblock3.denselayer12.conv1", 30)
    'features.….denselayer12.conv1'
    """
    if columns_of(name) <= room:
        return name
    first, *rest = name.split(".")
    for start in range(1, len(rest)):
        candidate = ".".join((first, dots, *rest[start:]))
        if columns_of(candidate) <= room:
            return candidate
    if room < len(dots):
        return dots[: max(room, 0)]
    tail = _start(name[::-1], (room - len(dots)) // 2)[::-1]
    return _start(name, room - len(dots) - columns_of(tail)) + dots + tail


def _start(value: str, room: int) -> str:
    """As much of the text as fits."""
    taken = 0
    for place, character in enumerate(value):
        taken += columns_of(character)
        if taken > room:
            return value[:place]
    return value


def printable(value: str) -> str:
    """The text with control and direction characters written out, so that a name can't move the cursor."""
    if value.isprintable():
        return value
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def columns_of(value: str) -> int:
    """How many columns of a terminal the text takes: two for a wide character, none for a combining one."""
    if value.isascii():
        return len(value)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


def _widest(values: Sequence[str]) -> int:
    """The columns that the widest of some texts takes."""
    return max(map(len if "".join(values).isascii() else columns_of, values), default=0)


def _shown(cell: Cell, column: Column, guides: Guides, width: int = BAR_WIDTH) -> str:
    if column.form == "bar" and isinstance(cell, int | float):
        blocks = bar(cell, width)
        return "#" * len(blocks) if guides == "plain" else blocks
    return printable(written(cell, column))


def _grid(table: Table, guides: Guides) -> list[list[str]]:
    """What the cells show, row by row. Whole numbers are written once: a network called in a loop repeats them."""
    columns = []
    for place, column in enumerate(table.columns):
        known: dict[int, str] = {}
        values = []
        for row in table.rows:
            cell = row.cells[place]
            if type(cell) is int:
                value = known.get(cell)
                if value is None:
                    value = known[cell] = _shown(cell, column, guides)
                values.append(value)
            elif type(cell) is str and cell.isascii() and cell.isprintable():
                values.append(cell)
            else:
                values.append(_shown(cell, column, guides))
        columns.append(values)
    return list(map(list, zip(*columns, strict=True))) if columns else [[] for _ in table.rows]


def _with_room(table: Table, width: int | None, guides: Guides) -> Table:
    """The table without its optional columns where these say nothing, or there is no room for them."""
    if not any(column.optional for column in table.columns):
        return table
    filled = [any(row.cells[k] not in (None, "") for row in table.rows) for k in range(len(table.columns))]
    kept = [k for k, column in enumerate(table.columns) if filled[k] or not column.optional]
    fuller = _selected(table, kept)
    if width is None:
        return fuller
    names = [row.label if guides == "unicode" and row.label else "" for row in table.rows]
    grid = _grid(fuller, guides)
    first = [columns_of(names[row] or cells[0]) + 3 * table.rows[row].depth for row, cells in enumerate(grid)]
    others = zip(*(cells[1:] for cells in grid), strict=True)
    heads = [column.title for column in fuller.columns[1:]]
    totals = [_shown(cell, k, guides) for cell, k in _pairs(fuller, fuller.total or ())][1:] if fuller.total else heads
    wide = max(first, default=0)
    wide += sum(COLUMN_GAP + _widest([*texts, *pair]) for texts, *pair in zip(others, heads, totals, strict=True))
    return fuller if wide <= width else _selected(table, [k for k in kept if not table.columns[k].optional])


def _selected(table: Table, kept: Sequence[int]) -> Table:
    if len(kept) == len(table.columns):
        return table
    return replace(
        table,
        columns=tuple(table.columns[k] for k in kept),
        rows=tuple(
            [Row(tuple([row.cells[k] for k in kept]), row.depth, row.emphasis, row.label) for row in table.rows]
        ),
        total=None if table.total is None else tuple(table.total[k] for k in kept),
    )


def _pairs(table: Table, cells: Iterable[Cell]) -> Iterable[tuple[Cell, Column]]:
    return zip(cells, table.columns, strict=True)


def _prefixes(rows: Sequence[Row], guides: Guides) -> list[str]:
    if guides == "plain":
        return ["  " * row.depth for row in rows]
    # From the last row upwards, since a row has ├─ or └─ by whether a sibling follows it, and │ beneath each ancestor
    # that has one: in a tree of a(b), c, row b is "│  └─ b", for c follows its parent.
    prefixes: list[str] = []
    later: set[int] = set()  # depths at which a sibling follows
    for row in reversed(rows):
        later = {depth for depth in later if depth <= row.depth}
        bars = "".join("│  " if depth in later else "   " for depth in range(1, row.depth))
        prefixes.append(bars + ("├─ " if row.depth in later else "└─ ") if row.depth else "")
        later.add(row.depth)
    return prefixes[::-1]


def _fitted(columns: Sequence[Column], widths: list[int], width: int | None) -> list[int]:
    """The widths, cut to what the screen leaves them: bars first, then prose, then names, the widest first.

    Where that is not enough the columns will stand in several blocks, and a name takes a third of each at most.
    """
    if width is None:
        return [min(size, PROSE_LINE) if column.wraps else size for column, size in zip(columns, widths, strict=True)]
    fitted = list(widths)
    excess = sum(widths) + COLUMN_GAP * (len(widths) - 1) - width
    for narrowest, candidates in (
        (SHORTEST_BAR, [k for k, column in enumerate(columns) if column.form == "bar"]),
        (PROSE_WIDTH, [k for k, column in enumerate(columns) if column.wraps]),
        (NAME_WIDTH, [k for k, column in enumerate(columns) if column.shrinks]),
    ):
        while excess > 0 and candidates:
            widest = max(candidates, key=lambda k: fitted[k])
            if fitted[widest] <= narrowest:
                break
            fitted[widest] -= 1
            excess -= 1
    if excess <= 0:
        return fitted
    room = max(NAME_WIDTH, width // 3)
    return [min(size, room) if column.shrinks else size for column, size in zip(columns, widths, strict=True)]


def _blocks(widths: Sequence[int], width: int | None) -> list[list[int]]:
    """The columns in groups that fit the width, the first column at the head of each; none stands alone in the last."""
    blocks: list[list[int]] = [[0]]
    taken = widths[0]
    for k in range(1, len(widths)):
        if width is not None and taken + COLUMN_GAP + widths[k] > width and len(blocks[-1]) > 1:
            blocks.append([0])
            taken = widths[0]
        blocks[-1].append(k)
        taken += COLUMN_GAP + widths[k]
    if len(blocks) > 1 and len(blocks[-1]) == 2 and len(blocks[-2]) > 3:
        moved = blocks[-2][-1]
        if widths[0] + widths[moved] + widths[blocks[-1][1]] + 2 * COLUMN_GAP <= (width or 0):
            blocks[-2].pop()
            blocks[-1].insert(1, moved)
    return blocks


def _drawn(cells: Sequence[tuple[str, Column, int]], role: Role, prefix: str, dots: str) -> list[Line]:
    """One row, in as many lines as its prose takes."""
    indent, last = columns_of(prefix), len(cells) - 1
    pieces: list[Sequence[str]] = []
    for place, (value, column, width) in enumerate(cells):
        if place == 0:
            value, width = value[len(prefix) :], width - indent
        if column.wraps:
            pieces.append(textwrap.wrap(value, width) or (shorten(value, width, dots),))
        else:
            pieces.append((value if columns_of(value) <= width else shorten(value, width, dots),))
    result: list[Line] = []
    for number in range(max(map(len, pieces))):
        written = []
        for place, (parts, (_, column, width)) in enumerate(zip(pieces, cells, strict=True)):
            value = parts[number] if number < len(parts) else ""
            room = width - (indent if place == 0 else 0)
            is_right = column.align == "right"
            written.append(_padded(value, room, is_right) if is_right or place < last else value)
        whole = Segment((" " * COLUMN_GAP).join(written), role)
        result.append((Segment(prefix if number == 0 else " " * indent, "guide"), whole) if prefix else (whole,))
    return result


def _drawn_at_once(
    grid: Sequence[Sequence[str]],
    prefixes: Sequence[str],
    table: Table,
    widths: Sequence[int],
    block: Sequence[int],
    dots: str,
) -> list[Line]:
    """Rows that take a line each, column by column: a network of thousands of layers has as many."""
    columns = []
    for k in block:
        width, is_right = widths[k], table.columns[k].align == "right"
        values = [cells[k] for cells in grid]
        if _widest(values) > width:
            values = [
                prefix + shorten(value[len(prefix) :], width - columns_of(prefix), dots)
                if k == 0
                else shorten(value, width, dots)
                for value, prefix in zip(values, prefixes, strict=True)
            ]
        if k == block[-1] and not is_right:
            columns.append(values)
        elif "".join(values).isascii():
            columns.append([value.rjust(width) if is_right else value.ljust(width) for value in values])
        else:
            columns.append([_padded(value, width, is_right) for value in values])
    gap = " " * COLUMN_GAP
    result: list[Line] = []
    for prefix, row, parts in zip(prefixes, table.rows, zip(*columns, strict=True), strict=True):
        line, role = gap.join(parts), row.emphasis or "text"
        result.append(
            (Segment(prefix, "guide"), Segment(line[len(prefix) :], role)) if prefix else (Segment(line, role),)
        )
    return result


def _padded(value: str, width: int, is_right: bool) -> str:
    """The value filled up with blanks; characters may be two columns wide, or none."""
    room = width + len(value) - columns_of(value)
    return value.rjust(room) if is_right else value.ljust(room)


def _wrapped(sentence: str, width: int | None) -> list[str]:
    return textwrap.wrap(sentence, width, break_on_hyphens=False) if width else [sentence]
