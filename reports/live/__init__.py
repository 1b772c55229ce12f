"""A page that fills as runs go: a local server that reads a store and pushes what is new."""

from archlab.reports.live.server import Live

__all__ = ["Live"]
