"""Small pictures of a few numbers in a row of a table: single values, their mean, its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

WIDTH, LINE, MARGIN = 240, 16, 8
"""Of a strip, of one series in it, and left free at both ends; in pixels."""


@dataclass(frozen=True)
class Series:
    """What one line of a strip shows, in the metric's unit; in a `Strip` in pixels."""

    place: int
    """Among the page's series, which gives its colour."""
    mean: float
    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()
    y: float = 0.0
    """Height at which it is drawn, in pixels."""

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the greatest number of the series."""
        numbers = [self.mean, *self.values, *(bound for bound in (self.low, self.high) if bound is not None)]
        return min(numbers), max(numbers)


@dataclass(frozen=True)
class Strip:
    """Series in pixels, one below the other, on one scale."""

    lines: tuple[Series, ...]
    height: int
    width: int = WIDTH


def strip(series: Sequence[Series], least: float, greatest: float) -> Strip:
    """The picture of some series, on a scale from `least` to `greatest`.

    >>> strip([Series(0, 0.5, values=(0.4, 0.6))], 0.4, 0.6).lines[0].mean
    120.0
    """

    def across(value: float) -> float:
        share = (value - least) / (greatest - least) if greatest > least else 0.5
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    lines = tuple(
        replace(
            one,
            y=LINE * (row + 0.5),
            mean=across(one.mean),
            low=None if one.low is None else across(one.low),
            high=None if one.high is None else across(one.high),
            values=tuple(across(value) for value in one.values),
        )
        for row, one in enumerate(series)
    )
    return Strip(lines, LINE * len(lines))
