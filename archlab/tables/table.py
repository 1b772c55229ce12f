"""A table before it is drawn: typed columns, rows with a depth, a total and footnotes.

The writers in `archlab.tables.text` and `archlab.tables.markup` turn it into text, CSV, Markdown and HTML. A cell holds
the number itself; only the writers for people round it, group its digits and give it a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from archlab.records.display import Shown

Emphasis = Literal["", "strong", "dim", "good", "bad", "changed"]


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A number that is a lower bound, since something in it could not be counted."""

    value: int | float


Cell = bool | int | float | str | AtLeast | None
"""None is an empty cell: there is nothing to say. A number that isn't known in full is `AtLeast`."""


@dataclass(frozen=True, slots=True)
class Column:
    """What one column holds and how people read it."""

    name: str
    """Heading in CSV, in the spelling of the JSON fields (`output_shapes`)."""
    title: str
    """Heading everywhere else."""
    align: Literal["left", "right"] = "left"
    form: str = ""
    """How a number is written for people: a format specification (`,d`, `.3f`, `+,d`, `.1%`), `bytes`/`+bytes` for a
    number of bytes with its unit, `seconds`/`+seconds` for a time, `rate` for a number with its prefix (`58.1 G`), or
    `bar` for a fraction of 1 as a bar, which CSV leaves out. Empty: grouped digits for an int, four significant digits
    for a float."""
    blank_zero: bool = False
    """Whether people see nothing instead of 0: a layer that has no such thing at all."""
    shrinks: bool = False
    """Whether a name may be shortened where the table is wider than the screen."""
    wraps: bool = False
    """Whether prose may go on in the next line where the table is wider than the screen."""
    optional: bool = False
    """Whether text leaves it out where the table is wider than the screen, or no row has anything in it."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `cells` are in the order of the table's columns."""

    cells: tuple[Cell, ...]
    depth: int = 0
    """Levels that the row is indented by, beneath the nearest row above with a smaller depth."""
    emphasis: Emphasis = ""
    """`good`, `bad` and `changed` mark what was added, removed or altered."""
    label: str = ""
    """What the first cell is called beneath its parent where a tree is drawn; empty for the cell itself."""


@dataclass(frozen=True, slots=True)
class Table(Shown):
    """A table that knows nothing of screens and files; the first column carries the tree."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    total: tuple[Cell, ...] | None = None
    """One cell per column, set apart beneath the rows. CSV leaves it out, since it is no row."""
    footer: tuple[str, ...] = ()
    """Sentences beneath the table."""

    def __post_init__(self) -> None:
        for cells in (*(row.cells for row in self.rows), *([] if self.total is None else [self.total])):
            if len(cells) != len(self.columns):
                raise ValueError(f"{len(self.columns)} columns, but a row of {len(cells)} cells: {cells}")


def written_rows(table: Table) -> list[list[str]]:
    """The rows as people read them, the total last."""
    cells = [*(row.cells for row in table.rows), *([table.total] if table.total else [])]
    return [[written(cell, column) for cell, column in zip(row, table.columns, strict=True)] for row in cells]


def written(cell: Cell, column: Column) -> str:
    """The cell as people read it: `1,234`, `>= 1,234`, `12.5 KiB`, `yes`, or nothing.

    What isn't counted at all never looks like nothing: it is `>= 0`, also where a zero is left blank.

    >>> written(AtLeast(130048), Column("macs", "MACs")), written(AtLeast(0), Column("macs", "MACs", blank_zero=True))
    ('>= 130,048', '>= 0')
    """
    match cell:
        case None:
            return ""
        case AtLeast(value):
            return ">= " + written(value, replace(column, blank_zero=False))
        case bool():
            return "yes" if cell else "no"
        case str():
            return cell
    if column.blank_zero and cell == 0:
        return ""
    if column.form == "bar":
        return bar(cell)
    if column.form.endswith("bytes"):
        return byte_size(cell, sign=column.form.removesuffix("bytes"))
    if column.form.endswith("seconds"):
        return duration(cell, sign=column.form.removesuffix("seconds"))
    if column.form == "rate":
        return prefixed(cell)
    return format(cell, column.form or (",d" if isinstance(cell, int) else ",.4g"))


def byte_size(count: int | float, sign: str = "") -> str:
    """A number of bytes with its unit, in powers of 1,024; `sign` is that of a format specification.

    >>> byte_size(589824)
    '576.0 KiB'
    """
    size = float(count)
    if abs(size) < 1024:
        return f"{size:{sign},.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        size /= 1024
        if abs(size) < 1024 or unit == "TiB":
            break
    return f"{size:{sign},.1f} {unit}"


def duration(seconds: float, sign: str = "") -> str:
    """A short time with three digits and its unit; `sign` is that of a format specification.

    >>> duration(0.0123), duration(0.0000456, "+")
    ('12.3 ms', '+45.6 us')
    """
    size, unit = next(
        ((seconds * factor, unit) for factor, unit in ((1, "s"), (1e3, "ms")) if abs(seconds) * factor >= 0.9995),
        (seconds * 1e6, "us"),
    )
    digits = 0 if abs(size) >= 99.95 else 1 if abs(size) >= 9.995 else 2
    return f"{size:{sign},.{digits}f} {unit}"


def prefixed(value: float) -> str:
    """A number with three digits and its prefix, for a unit to follow.

    >>> prefixed(58113620177.3)
    '58.1 G'
    """
    for limit, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g} "


BAR_WIDTH = 24
"""Columns of the longest bar where there is room."""


def bar(fraction: float, width: int = BAR_WIDTH) -> str:
    """A bar of blocks, in steps of an eighth of a column; anything above nothing can be seen.

    >>> bar(0.4375, width=8)
    '███▌'
    """
    eighths = max(round(8 * width * fraction), fraction > 0)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def raw(cell: Cell) -> bool | int | float | str | None:
    """The cell as programs read it: the number in full, without `>=`."""
    return cell.value if isinstance(cell, AtLeast) else cell
