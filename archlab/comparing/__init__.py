"""Comparisons: the design of one (variants and seeds), its runs, and what they say together."""

from archlab.comparing.conducting import compare, conduct, traces

__all__ = ["compare", "conduct", "traces"]
