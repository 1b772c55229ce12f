"""Numbers in sentences, for texts of any kind."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, noun: str) -> str:
    """A number of things: `1 run`, `6 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def range_text(values: Sequence[float], form: str) -> str:
    """One number, or the least and the greatest of several: `0.64 to 0.67`."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
