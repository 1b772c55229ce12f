"""How names and numbers are written on a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from archlab.analysis.metrics import BY_NAME, NATS, Metric
from archlab.records import Failure

# Control, zero-width and direction-changing characters: a name must not reorder or hide what is beside it.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


def visible(text: str) -> str:
    r"""The text with every invisible or direction-changing character written out.

    >>> visible("conv\u202e1")
    'conv⟨U+202E⟩1'
    """
    return UNPRINTABLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def label(text: str, length: int = 60) -> str:
    """The text for a chart: plotly reads tags and entities in it, so these are escaped; shortened in the middle.

    >>> label("<b>stem</b>")
    '&lt;b&gt;stem&lt;/b&gt;'
    """
    return html.escape(shortened(visible(text), length), quote=False)


def shortened(text: str, length: int) -> str:
    """The text with its middle left out where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def failure_text(failure: Failure) -> str:
    """What a layer that failed was given, what it expects, and what to change, as far as that is known."""
    error = (failure.error.strip().splitlines() or ["no message"])[0]
    parts = [
        f"given {failure.got}" if failure.got else "",
        f"expected {failure.expected}" if failure.expected else f"it says: {error}",
        failure.remedy,
    ]
    return visible("; ".join(part.rstrip(".") for part in parts if part))


def slug(text: str, taken: Iterable[str] = ()) -> str:
    """An identifier for an anchor: small letters, digits and hyphens, unlike those that are taken."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "part"
    used = set(taken)
    name, number = base, 2
    while name in used:
        name, number = f"{base}-{number}", number + 1
    return name


def moment(created: str) -> str:
    """A time stamp as people read it: `2026-03-01 12:00 +01:00`."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(created).strftime("%Y-%m-%d %H:%M %z")
    except ValueError:
        return created


def count(value: int) -> str:
    """An integer with its thousands set apart: `758,226`."""
    return f"{value:,}"


def brief(value: float) -> str:
    """A large number with three digits and its unit: `129 M`."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (limit if unit != 'k' else 1e3):.3g} {unit}"
    return f"{value:,.0f}"


def shape(sizes: Iterable[int]) -> str:
    """A shape as a page writes it everywhere: `1×64×24×24`."""
    return "×".join(str(size) for size in sizes)


def times(text: str) -> str:
    """A shape or a kernel of the command line's tables as a page writes it.

    >>> times("7x7, 64, /2")
    '7×7, 64, /2'
    """
    return re.sub(r"(?<=\d)x(?=\d)", "×", text)


def metric(name: str) -> Metric:
    """What is known of a metric; one that a newer archlab wrote is shown under its own name."""
    return BY_NAME.get(name) or Metric(name, name.replace("_", " "), NATS, name)


def minus(text: str) -> str:
    """The text with the sign of each negative number as typesetters have it, and as plotly draws it.

    >>> minus("norm-1: a difference of -25.39 points (-34.65 to -18.91)")
    'norm-1: a difference of −25.39 points (−34.65 to −18.91)'
    """
    return re.sub(r"(?<![\w.\-])-(?=\d)", "\u2212", text)


def sentence(text: str) -> str:
    """Text for the page: nothing hidden in it, and no line break within `95 %` or `n = 6`."""
    return re.sub(r"\b([np]) = ", "\\1\u00a0=\u00a0", visible(text).replace(" %", "\u00a0%"))
