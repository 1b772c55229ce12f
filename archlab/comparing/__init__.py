"""Comparisons: the design of one (variants and seeds), its runs, and what they say together."""

from archlab.comparing.conducting import compare, conduct, traces
from archlab.comparing.designing import Design, design

__all__ = ["Design", "compare", "conduct", "design", "traces"]
