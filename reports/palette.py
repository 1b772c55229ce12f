"""Which colour a variant has on a page, the same in every table and chart of it.

Where one thing varies, each variant has a hue of its own. Where several are crossed, the hue says the value of one,
the first that is no number, and the shade the rest: of norm (batch, none) times skip (on, off), blue is BatchNorm with
skips, dark blue BatchNorm without, orange and dark orange no BatchNorm. So no two of 24 variants look alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archlab.analysis.contrasts import factors_of
from archlab.records import VariantResult
from archlab.tables.sparkline import COLORS

DARK_COLORS = ("#4ba3e3", "#f08a3c", "#2fc49a", "#e29cc4", "#e0b93a", "#8fd0f5", "#ab98e0", "#9aa7b3")
"""The hues on a dark page, in the order of `COLORS`."""
HUES, SHADES = len(COLORS), 6
PLACES = HUES * SHADES
"""Colours that differ; a place above begins anew."""
MIXES = {"light": (0.0, -0.4, 0.5, -0.2, 0.25, -0.6), "dark": (0.0, -0.45, -0.2, 0.3, -0.6, 0.6)}
"""How much black (below 0) or white goes into the hue, by theme, for each shade: the first three are those of the
mixes in twentieths that set 24 colours furthest apart (least distance in CIELAB 13.1 and 12.6; 2.3 is just noticeable),
the others lie between."""


def places(variants: Sequence[VariantResult]) -> dict[str, int]:
    """Variant -> its place among the colours: hue and `HUES` times the shade.

    >>> crossed = [(norm, skip) for norm in ("batch", "none") for skip in ("on", "off")]
    >>> list(places([VariantResult(str(pair), {}, dict(zip(("norm", "skip"), pair))) for pair in crossed]).values())
    [0, 8, 1, 9]
    """
    names = [variant.name for variant in variants]
    factors = factors_of(variants)
    if len(factors) < 2:
        return numbered(names)
    words = (name for name, levels in factors.items() if any(isinstance(level, str | bool) for level in levels))
    first = next(words, next(iter(factors)))
    hues = {level: place for place, level in enumerate(factors[first])}
    rests: dict[tuple[object, ...], int] = {}
    found = {}
    for variant in variants:
        rest = tuple(variant.options.get(name) for name in factors if name != first)
        shade = rests.setdefault(rest, len(rests))
        found[variant.name] = hues[variant.options.get(first)] % HUES + HUES * shade
    # With more levels than hues or more combinations than shades two would look alike.
    return found if len(hues) <= HUES and len(rests) <= SHADES else numbered(names)


def shared_hue(members: Iterable[VariantResult], known: Mapping[str, int]) -> int | None:
    """The hue that all these variants have, in one shade or another; None where they have several."""
    hues = {known[member.name] % HUES for member in members}
    return hues.pop() if len(hues) == 1 else None


def numbered(names: Iterable[str]) -> dict[str, int]:
    """Name -> its place, where nothing is known but an order: all hues, then their shades."""
    return {name: place for place, name in enumerate(names)}


def color(place: int, theme: str = "light") -> str:
    """The colour of a place, as `#rrggbb`."""
    hue, shade = place % HUES, place // HUES % SHADES
    base = (COLORS if theme == "light" else DARK_COLORS)[hue]
    mix = MIXES[theme][shade]
    end = 255 if mix > 0 else 0
    parts = (int(base[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(part + abs(mix) * (end - part)):02x}" for part in parts)


def style() -> str:
    """The style sheet of all places: a variable of both themes' colours, and a class that chooses it."""
    variables = "".join(
        f"  --series-{place}: light-dark({color(place)}, {color(place, 'dark')});\n" for place in range(PLACES)
    )
    classes = "".join(f".series-{place} {{ --series: var(--series-{place}); }}\n" for place in range(PLACES))
    return f":root {{\n{variables}}}\n\n{classes}"


def of_network(options: Mapping[str, object], variants: Sequence[VariantResult]) -> int | None:
    """The place of the first variant that is built with these options; None where none is."""
    known = places(variants)
    for variant in variants:
        built = {name: value for name, value in variant.options.items() if name in options}
        if built and all(options[name] == value for name, value in built.items()):
            return known[variant.name]
    return None
