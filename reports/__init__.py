"""HTML pages, charts and diagrams, from records alone."""

from archlab.reports.document import page, save

__all__ = ["page", "save"]
