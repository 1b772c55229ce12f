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


def shape_text(shape: Sequence[int | float]) -> str:
    """A shape as the command line takes it: `1x64x48x48`.

    >>> shape_text((1, 64, 48, 48))
    '1x64x48x48'
    """
    return "x".join(map(str, shape)) or "scalar"
