"""Records as tables, and tables as text, CSV, Markdown and HTML."""

from archlab.tables.markup import csv, html, markdown
from archlab.tables.table import AtLeast, Cell, Column, Row, Table
from archlab.tables.text import text

__all__ = ["AtLeast", "Cell", "Column", "Row", "Table", "csv", "html", "markdown", "text"]
