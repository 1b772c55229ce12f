"""How names and numbers are written on a page."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

# Control, zero-width and direction-changing characters: a name that holds one must not reorder or hide what is beside it.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)


def plain(text: str) -> str:
    r"""The text with every invisible or direction-changing character written out.

    >>> plain("conv\u202e1")
    'conv⟨U+202E⟩1'
    """
    return UNPRINTABLE.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def label(text: str, length: int = 60) -> str:
    """The text for a chart: plotly reads tags and entities in it, so these are escaped; shortened in the middle.

    >>> label("<b>stem</b>")
    '&lt;b&gt;stem&lt;/b&gt;'
    """
    return html.escape(shortened(plain(text), length), quote=False)


def shortened(text: str, length: int) -> str:
    """The text with its middle left out where it is longer than `length` characters."""
    if len(text) <= length:
        return text
    head = (length - 1) // 2
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def slug(text: str, taken: Iterable[str] = ()) -> str:
    """An identifier for an anchor: small letters, digits and hyphens, unlike those that are taken."""
    base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "part"
    used = set(taken)
    name, number = base, 2
    while name in used:
        name, number = f"{base}-{number}", number + 1
    return name


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
    """A shape as the tables write it: `1 × 64 × 24 × 24`."""
    return " × ".join(str(size) for size in sizes)


def is_fraction(metric: str) -> bool:
    """Whether a metric is a fraction that reads best in per cent."""
    return "accuracy" in metric


def quantity(metric: str, value: float | None) -> str:
    """A metric's value with its unit: accuracies in per cent, seconds with their s, losses with four digits."""
    if value is None:
        return "–"
    if is_fraction(metric):
        return f"{100 * value:.2f} %"
    if "seconds" in metric:
        return f"{value:.3g} s"
    return f"{value:.4g}"


def change(metric: str, value: float | None) -> str:
    """A difference with its sign and unit: accuracies in percentage points."""
    if value is None:
        return "–"
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    if is_fraction(metric):
        return f"{sign}{100 * abs(value):.2f} pp"
    if "seconds" in metric:
        return f"{sign}{abs(value):.3g} s"
    return f"{sign}{abs(value):.4g}"


def words(metric: str) -> str:
    """A metric's name in words: `test accuracy, running statistics`."""
    known = {
        "test_accuracy_running": "test accuracy, running statistics",
        "test_loss_running": "test loss, running statistics",
    }
    return known.get(metric, metric.replace("_", " "))
