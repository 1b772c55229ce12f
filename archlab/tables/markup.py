"""A table as CSV, Markdown and HTML."""

from __future__ import annotations

import contextlib
import csv as csv_module
import html as html_module
import io
import re
from collections.abc import Sequence
from itertools import compress
from typing import Any

from archlab.tables.table import Table, raw, written
from archlab.tables.text import printable


def csv(table: Table) -> str:
    """The rows as CSV with a heading: numbers in full, no unit, no bar, no total, empty cells empty.

    Text that a spreadsheet would run as a formula stands behind an apostrophe.
    """
    kept = [column.form != "bar" for column in table.columns]
    stream = io.StringIO()
    writer = csv_module.writer(stream, lineterminator="\n")
    writer.writerow(compress((column.name for column in table.columns), kept))
    writer.writerows(compress((inert(raw(cell)) for cell in row.cells), kept) for row in table.rows)
    return stream.getvalue().removesuffix("\n")


def inert(cell: Any) -> Any:
    """The cell; behind an apostrophe where it is text that a spreadsheet would run as a formula.

    >>> inert("=1+1"), inert("-1.5"), inert(-1.5)
    ("'=1+1", '-1.5', -1.5)
    """
    if not isinstance(cell, str) or not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    with contextlib.suppress(ValueError):
        float(cell)
        return cell
    return f"'{cell}"


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, the total in bold, the footer as paragraphs."""
    rows = [[_literal(written(c, k)) for c, k in zip(row.cells, table.columns, strict=True)] for row in table.rows]
    if table.total is not None:
        total = [_literal(written(c, k)) for c, k in zip(table.total, table.columns, strict=True)]
        rows.append([f"**{value}**" if value else "" for value in total])
    marks = ["---:" if column.align == "right" else "---" for column in table.columns]
    grid = [[_literal(column.title) for column in table.columns], marks, *rows]
    parts = [f"**{_literal(table.title)}**"] if table.title else []
    parts.append("\n".join("| " + " | ".join(cells) + " |" for cells in grid))
    return "\n\n".join([*parts, *map(_literal, table.footer)])


STYLE = (
    # Notebooks set every cell to the right, by rules as strong as one class and one element.
    "table.archlab-table{border-collapse:collapse;font:14px/1.5 system-ui,sans-serif}"
    "table.archlab-table caption{text-align:left;font-weight:600;padding:0 0 .4em}"
    "table.archlab-table th,table.archlab-table td{padding:.2em .8em;text-align:left;vertical-align:baseline}"
    "table.archlab-table .right{text-align:right;font-variant-numeric:tabular-nums}"
    "table.archlab-table thead th{border-bottom:1px solid #8888}"
    "table.archlab-table tbody th{font-weight:400}"
    "table.archlab-table .strong th,table.archlab-table .strong td{font-weight:600}"
    "table.archlab-table .dim{opacity:.65}table.archlab-table .good{background:#2ea04333}"
    "table.archlab-table .bad{background:#f8514940}table.archlab-table .changed{background:#d2992240}"
    "table.archlab-table .bar{min-width:7em}"
    "table.archlab-table .bar i{display:block;min-width:1px;height:.7em;background:#3d87c9}"
    "table.archlab-table tfoot tr:first-child>*{border-top:1px solid #8888;font-weight:600}"
    ".archlab-sentences{font:14px/1.5 system-ui,sans-serif;margin:.3em 0;padding-left:1.4em;max-width:60em}"
    ".archlab-note{font:13px/1.5 system-ui,sans-serif;opacity:.75;margin:.3em 0}"
)


def html(table: Table) -> str:
    """The table as an HTML fragment in ASCII with its style beside it: everything that was given is escaped.

    Levels of the tree are indented by a padding, so that what is copied has no guides in it.
    """
    head = "".join(f'<th scope="col"{_class(k.align)}>{escaped(k.title)}</th>' for k in table.columns)
    lines = [f"<style>{STYLE}</style>", '<table class="archlab-table">']
    lines += [f"<caption>{escaped(table.title)}</caption>"] if table.title else []
    lines += [f"<thead><tr>{head}</tr></thead>", "<tbody>"]
    for row in table.rows:
        indent = f' style="padding-left:{0.8 + 1.2 * row.depth:.1f}em"' if row.depth else ""
        lines.append(f"<tr{_class(row.emphasis)}>{_cells(table, row.cells, indent)}</tr>")
    lines.append("</tbody>")
    lines += [f"<tfoot><tr>{_cells(table, table.total)}</tr></tfoot>"] if table.total is not None else []
    lines.append("</table>")
    lines += [f'<p class="archlab-note">{escaped(sentence)}</p>' for sentence in table.footer]
    return "\n".join(lines)


def sentences(found: Sequence[str]) -> str:
    """The sentences as a list in HTML, in ASCII with its style beside it."""
    items = "".join(f"<li>{escaped(sentence)}</li>" for sentence in found)
    return f'<style>{STYLE}</style>\n<ul class="archlab-sentences">{items}</ul>' if found else ""


def _cells(table: Table, cells: tuple[object, ...], indent: str = "") -> str:
    pieces: list[str] = []
    for place, (cell, column) in enumerate(zip(cells, table.columns, strict=True)):
        tag, extra = ('th scope="row"', indent) if place == 0 else ("td", "")
        if column.form == "bar":
            value = f'<i style="width:{100 * cell:.1f}%"></i>' if isinstance(cell, float) and cell else ""
        else:
            value = escaped(written(cell, column))  # type: ignore[arg-type]
        pieces.append(f"<{tag}{_class('bar' if column.form == 'bar' else column.align)}{extra}>{value}</{tag[:2]}>")
    return "".join(pieces)


def _class(name: str) -> str:
    return f' class="{name}"' if name and name != "left" else ""


def escaped(value: str) -> str:
    """The text for HTML, in ASCII, control characters written out."""
    return html_module.escape(printable(value)).encode("ascii", "xmlcharrefreplace").decode()


def _literal(value: str) -> str:
    """Escaped where it would mean something; an underscore inside a word means nothing in GitHub's dialect."""
    return re.sub(r"([\\`*\[\]<|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))", r"\\\1", printable(value))
