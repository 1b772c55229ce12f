"""HTML pages, charts and diagrams, from records alone."""

from archlab.reports.document import page, save, write
from archlab.reports.images import figures, save_images
from archlab.reports.index import index

__all__ = ["figures", "index", "page", "save", "save_images", "write"]
