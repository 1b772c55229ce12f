"""HTML pages, charts and diagrams, from records alone."""

from archlab.reports.document import page, save, write
from archlab.reports.index import index

__all__ = ["index", "page", "save", "write"]
