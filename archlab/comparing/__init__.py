"""Comparisons: the design of one (variants and seeds), its runs, what they say together, and searches over it."""

from archlab.comparing.conducting import compare, conduct, traces
from archlab.comparing.designing import Design, design
from archlab.comparing.searching import rate_grid, search

__all__ = ["Design", "compare", "conduct", "design", "rate_grid", "search", "traces"]
