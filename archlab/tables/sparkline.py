"""Curves as one line of text, or as a small picture for a notebook."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from archlab.tables.text import printable

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=*#"
"""The same in ASCII, from low to high."""
GAP = " "
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b58900", "#56b4e9", "#6a51a3", "#5f6b76")
"""Okabe and Ito, Color Universal Design, 2008, the yellow darkened."""
WIDTH, HEIGHT, MARGIN = 300, 110, 8
"""Of a picture, in pixels."""


def sparkline(values: Sequence[float], width: int = 40, *, plain: bool = False) -> str:
    """The curve in at most `width` characters, from its least value at the bottom to its greatest at the top.

    A longer curve is cut into stretches of nearly equal length, each drawn at its mean. What is not finite is a gap; a
    curve that does not change is drawn at the bottom.

    Args:
        values: one a step.
        width: characters.
        plain: in ASCII.

    >>> sparkline([0, 1, 2, 3, 4, 5, 6, 7])
    '▁▂▃▄▅▆▇█'
    """
    marks = PLAIN if plain else BLOCKS
    points = _condensed(values, width)
    known = [value for value in points if value is not None]
    if not known:
        return GAP * len(points)
    low, high = min(known), max(known)
    return "".join(
        GAP if value is None else marks[min(len(marks) - 1, int(len(marks) * _share(value, low, high)))]
        for value in points
    )


def picture(curves: Mapping[str, Sequence[float]], title: str) -> str:
    """The curves as an inline SVG with their names beneath; everything that was given is escaped.

    Args:
        curves: name -> one value an epoch or step; all are drawn over the same width and height.
        title: what is shown, for those who can't see it.
    """
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    lines, names = [], []
    for place, (name, curve) in enumerate(curves.items()):
        color = COLORS[place % len(COLORS)]
        lines += [
            f'<polyline fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round" points="{points}"/>'
            for points in _polylines(curve, low, high)
        ]
        names.append(f'<span style="color:{color}">&#9632;</span> {_escaped(name)}')
    label = _escaped(f"{title}, between {low:.4g} and {high:.4g}")
    return (
        f'<figure style="margin:.6em 0;font:13px/1.5 system-ui,sans-serif"><figcaption>{_escaped(title)}</figcaption>'
        f'<svg role="img" aria-label="{label}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="4" fill="#8882"/>{"".join(lines)}</svg>'
        f"<div>{' &#160; '.join(names)}</div></figure>"
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


def _polylines(curve: Sequence[float], low: float, high: float) -> list[str]:
    """The stretches of a curve between its gaps, as SVG coordinates; a single value is a level."""
    across = (WIDTH - 2 * MARGIN) / max(1, len(curve) - 1)
    stretches: list[list[str]] = [[]]
    for place, value in enumerate(curve):
        if not math.isfinite(value):
            stretches.append([])
            continue
        y = HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * _share(value, low, high)
        stretches[-1].append(f"{MARGIN + across * place:.1f},{y:.1f}")
        if len(curve) == 1:
            stretches[-1].append(f"{WIDTH - MARGIN},{y:.1f}")
    return [" ".join(points) for points in stretches if points]


def _share(value: float, low: float, high: float) -> float:
    """Where a value lies between two others, from 0 to 1; halved, since a difference may be too large for a float."""
    span = high / 2 - low / 2
    return (value / 2 - low / 2) / span if span else 0.0


def _escaped(value: str) -> str:
    return html.escape(printable(value)).encode("ascii", "xmlcharrefreplace").decode()
