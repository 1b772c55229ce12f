"""Curves as one line of text, or as a small picture for a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from archlab.tables.markup import escaped

if TYPE_CHECKING:
    from archlab.records import Estimate

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_BLOCKS = "_.-=*#"
"""The same in ASCII, from low to high."""
BLANK = " "
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#6a51a3", "#5f6b76")
"""Okabe and Ito, Color Universal Design, 2008, the yellow darkened."""
WIDTH, HEIGHT, MARGIN = 300, 110, 8
"""Of a picture, in pixels."""
ROW_HEIGHT = 22
"""Height of one that shows a single mean."""


def sparkline(
    values: Sequence[float], width: int = 40, *, plain: bool = False, bounds: tuple[float, float] | None = None
) -> str:
    """The curve in at most `width` characters, from its least value at the bottom to its greatest at the top.

    A longer curve is cut into stretches of nearly equal length, each drawn at its mean. What is not finite is a gap; a
    curve that does not change is drawn at the bottom.

    Args:
        values: one per step.
        width: characters.
        plain: in ASCII.
        bounds: the values at the bottom and at the top, for curves that are to be held side by side.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    '▁▂▃▄▅▆▇█'
    """
    marks = ASCII_BLOCKS if plain else BLOCKS
    points = _condensed(values, width)
    known = [value for value in points if value is not None]
    if not known:
        return BLANK * len(points)
    low, high = bounds or (min(known), max(known))
    return "".join(
        BLANK if value is None else marks[min(len(marks) - 1, int(len(marks) * _share(value, low, high)))]
        for value in points
    )


def picture(
    curves: Mapping[str, Sequence[float]],
    title: str,
    written: Callable[[float], str] = "{:.4g}".format,
    chance: float | None = None,
) -> str:
    """The curves as an inline SVG with their names beneath; everything that was given is escaped.

    Args:
        curves: name -> one value per epoch or step; all are drawn over the same width and height.
        title: what is shown.
        written: a value as people read it.
        chance: what guessing gives, drawn as a dotted line.
    """
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    if not finite:
        return ""
    marked = [] if chance is None else [chance]
    low, high = min(finite + marked), max(finite + marked)
    lines, names = [], []
    if chance is not None:
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * _share(chance, low, high)
        lines.append(_dotted(MARGIN, y, WIDTH - MARGIN, y))
    for place, (name, curve) in enumerate(curves.items()):
        color = COLORS[place % len(COLORS)]
        lines += [
            f'<polyline fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round" points="{points}"/>'
            for points in polylines(curve, low, high)
        ]
        names.append(f'<span style="color:{color}">&#9632;</span> {escaped(name)}')
    caption = f"{title}, between {written(min(finite))} and {written(max(finite))}{_chance_text(chance, written)}"
    return _figure(caption, f"{_drawing(caption, HEIGHT, lines)}<div>{' &#160; '.join(names)}</div>")


def intervals(
    estimates: Mapping[str, Estimate],
    title: str,
    written: Callable[[float], str] = "{:.4g}".format,
    chance: float | None = None,
) -> str:
    """Means with their intervals and single values, one above the other on a common axis, as inline SVG.

    A dot is a value, a tick the mean, a band the 95 % interval. Everything that was given is escaped.

    Args:
        estimates: by name.
        title: what is shown.
        written: a value as people read it.
        chance: what guessing gives, drawn as a dotted line.
    """
    known = [value for one in estimates.values() for value in (*one.values, one.mean, one.low, one.high)]
    finite = [value for value in known if value is not None and math.isfinite(value)]
    if not finite:
        return ""
    marked = [] if chance is None else [chance]
    low, high = min(finite + marked), max(finite + marked)

    def across(value: float) -> float:
        return MARGIN + (WIDTH - 2 * MARGIN) * _share(value, low, high)

    rows = []
    for place, (name, one) in enumerate(estimates.items()):
        color, middle = COLORS[place % len(COLORS)], ROW_HEIGHT / 2
        marks = [
            f'<circle cx="{across(value):.1f}" cy="{middle}" r="3" fill="{color}"/>'
            for value in one.values
            if math.isfinite(value)
        ]
        if chance is not None:
            marks.insert(0, _dotted(across(chance), 0, across(chance), ROW_HEIGHT))
        said = f"{name}: mean {written(one.mean)}, n = {one.n}"
        if one.low is not None and one.high is not None:
            left, right = across(one.low), across(one.high)
            marks.insert(
                0,
                f'<rect x="{left:.1f}" y="{middle - 5}" width="{right - left:.1f}" height="10" rx="2" fill="{color}" '
                'fill-opacity=".35"/>',
            )
            said += f", 95 % interval {written(one.low)} to {written(one.high)}"
        marks.append(f'<rect x="{across(one.mean) - 1:.1f}" y="2" width="2" height="{ROW_HEIGHT - 4}" fill="{color}"/>')
        rows.append(
            f'<span style="overflow-wrap:anywhere">{escaped(name)}</span>{_drawing(said, ROW_HEIGHT, marks)}'
            f"<span>{escaped(f'{written(one.mean)} (n = {one.n})')}</span>"
        )
    grid = (
        "display:grid;grid-template-columns:fit-content(20em) max-content max-content;gap:2px 12px;align-items:center"
    )
    ends = f"from {written(min(finite))} to {written(max(finite))}"
    caption = f"{title}: mean (tick), 95 % interval (band) and each run (dot), {ends}"
    caption += _chance_text(chance, written)
    return _figure(caption, f'<div style="{grid}">{"".join(rows)}</div>')


def _dotted(left: float, top: float, right: float, bottom: float) -> str:
    return (
        f'<line x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" y2="{bottom:.1f}" stroke="#767676" stroke-width="1.5" '
        'stroke-dasharray="2 3"/>'
    )


def _chance_text(chance: float | None, written: Callable[[float], str]) -> str:
    return "" if chance is None else f"; dotted: chance, {written(chance)}"


def _figure(caption: str, body: str) -> str:
    style = "margin:.6em 0;font:13px/1.5 system-ui,sans-serif"
    return f'<figure style="{style}"><figcaption>{escaped(caption)}</figcaption>{body}</figure>'


def _drawing(said: str, height: int, marks: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escaped(said)}" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}"><rect width="{WIDTH}" height="{height}" rx="4" fill="#8882"/>{"".join(marks)}'
        "</svg>"
    )


def _condensed(values: Sequence[float], width: int) -> list[float | None]:
    """At most `width` means of stretches; None for one without a finite value."""
    count = min(len(values), max(width, 1))
    points: list[float | None] = []
    for place in range(count):
        start, end = place * len(values) // count, (place + 1) * len(values) // count
        finite = [float(value) for value in values[start:end] if math.isfinite(value)]
        points.append(math.fsum(value / len(finite) for value in finite) if finite else None)
    return points


def polylines(
    curve: Sequence[float], low: float, high: float, longest: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)
) -> list[str]:
    """The stretches of a curve between its gaps, as coordinates of an SVG; a single value is a level.

    Args:
        curve: one value per epoch or step.
        low: the value at the bottom.
        high: the value at the top.
        longest: the length of the longest curve of the picture; 0 for this one.
        size: width and height of the picture.

    >>> polylines([0.0, 1.0], 0, 1)
    ['8.0,102.0 292.0,8.0']
    """
    width, height = size
    across = (width - 2 * MARGIN) / max(1, max(longest, len(curve)) - 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(curve):
        if not math.isfinite(value):
            stretches.append([])
            continue
        y = height - MARGIN - (height - 2 * MARGIN) * _share(value, low, high)
        stretches[-1].append(f"{MARGIN + across * place:.1f},{y:.1f}")
        if len(curve) == 1:
            stretches[-1].append(f"{width - MARGIN},{y:.1f}")
    return [" ".join(points) for points in stretches if points]


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, from 0 to 1; halved, since a difference may be too large for a float."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.0
