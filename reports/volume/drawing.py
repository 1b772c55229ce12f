"""A plan as SVG text. Colours are those of the diagram: one meaning a colour, on a page and in a file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from archlab.reports import resources
from archlab.reports.text import visible
from archlab.reports.volume.key import Keys
from archlab.reports.volume.plan import Block, Label, Plan, Point, Wire, map_text, written
from archlab.reports.volume.tensors import Band, Tensor

MARGIN = 16.0
KEY_GAP = 20.0
NOTICE_LINE = 17.0
NARROW_PIXELS = 1_150.0
"""Up to this width a page may make a picture smaller, to the width of its column, and letters stay legible."""
LIGHTEST_BAND = 0.3
"""The opacity of the first band that a concatenation adds; the last has 1."""


def drawing(plan: Plan, keys: Keys, title: str, description: str, alone: bool, notices: Sequence[str] = ()) -> str:
    """The picture: for a page, or as a file of its own with a title and its style."""
    heading = title if alone and not any(label.style == "heading" for label in plan.labels) else ""
    head = (30.0 if heading else 0.0) + NOTICE_LINE * len(notices)
    width = max(plan.width, keys.width, 320.0) + 2 * MARGIN
    height = head + plan.height + keys.height + 2 * MARGIN + KEY_GAP
    style = "volume-drawing is-narrow" if width <= NARROW_PIXELS else "volume-drawing"
    size = f'width="{_n(width)}" height="{_n(height)}"'
    start = f'<svg class="{style}" xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {_n(width)} {_n(height)}"'
    parts = [f'{start} role="img" aria-label="{escape(description)}">']
    if alone:
        parts += [
            f"<title>{escape(title)}</title><style>{file_style()}</style>",
            f'<rect class="paper" width="{_n(width)}" height="{_n(height)}"/>',
        ]
    if heading:
        parts.append(f'<text class="heading" x="{_n(MARGIN)}" y="{_n(MARGIN + 14)}">{escape(heading)}</text>')
    for place, line in enumerate(reversed(notices)):
        y = MARGIN + head - NOTICE_LINE * place - 9
        parts.append(f'<text class="failure" x="{_n(MARGIN)}" y="{_n(y)}">{escape(line)}</text>')
    parts.append(f'<g transform="translate({_n(MARGIN)} {_n(MARGIN + head)})">{elements(plan)}</g>')
    parts.append(
        f'<g transform="translate({_n(MARGIN)} {_n(MARGIN + head + plan.height + KEY_GAP)})">{_keys(keys)}</g>'
    )
    return "".join(parts) + "</svg>\n"


def elements(plan: Plan) -> str:
    """The lines, blocks, arrows and texts of a plan."""
    parts = [f'<path class="rule" d="M{_n(a)} {_n(b)}L{_n(c)} {_n(d)}"/>' for (a, b), (c, d) in plan.rules]
    parts += map(_block, plan.blocks)
    parts += map(_wire, plan.wires)
    parts += map(_label, plan.labels)
    return "".join(parts)


def described(tensor: Tensor) -> str:
    """A tensor in words, for those who point at it."""
    parts = " + ".join(written(band.channels) for band in tensor.bands)
    sizes = f"{written(tensor.channels)} × {map_text(tensor)}" if tensor.positions else written(tensor.channels)
    times = f", {tensor.repeats} times" if tensor.repeats > 1 else ""
    return visible(f"{tensor.path} ({tensor.kind}): {sizes}{f' = {parts}' if parts else ''}{times}")


def _block(item: Block) -> str:
    tensor, x, y, w, h, d = item.tensor, item.x, item.y, item.width, item.height, item.depth
    bands = []
    at = x
    for place, band in enumerate(tensor.bands, start=1):
        size = w * band.channels / tensor.channels
        bands.append(_body(at, y, size, h, d, band.style, _shade(band), place == len(tensor.bands)))
        at += size
    inner = "".join(bands) or _body(x, y, w, h, d, tensor.style, None, True)
    edges = f'<path class="edge" d="M{_n(x)} {_n(y)}h{_n(w)}v{_n(h)}h{_n(-w)}z'
    if d:
        edges += f"l{_n(d)} {_n(-d)}h{_n(w)}v{_n(h)}l{_n(-d)} {_n(d)}m0 {_n(-h)}l{_n(d)} {_n(-d)}"
    style = "is-concatenation" if bands else tensor.style
    sizes = "x".join(map(str, tensor.positions))
    return (
        f'<g class="volume {style}" data-channels="{tensor.channels}" data-map="{sizes}">'
        f'<title>{escape(described(tensor))}</title>{inner}{edges}"/></g>'
    )


def _shade(band: Band) -> float | None:
    return None if band.order is None else LIGHTEST_BAND + (1 - LIGHTEST_BAND) * band.order


def _body(x: float, y: float, w: float, h: float, d: float, style: str, shade: float | None, last: bool) -> str:
    """The front of a block or a band, its part of the lid, and the side of the last."""
    opacity = "" if shade is None else f' fill-opacity="{_n(shade)}"'
    under = f'<rect class="under" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"/>' if opacity else ""
    parts = f'{under}<rect class="front" x="{_n(x)}" y="{_n(y)}" width="{_n(w)}" height="{_n(h)}"{opacity}/>'
    if d:
        lid = f'd="M{_n(x)} {_n(y)}l{_n(d)} {_n(-d)}h{_n(w)}l{_n(-d)} {_n(d)}z"'
        parts += (f'<path class="under" {lid}/>' if opacity else "") + f'<path class="lid" {lid}{opacity}/>'
        if last:
            side = f'd="M{_n(x + w)} {_n(y)}l{_n(d)} {_n(-d)}v{_n(h)}l{_n(-d)} {_n(d)}z"'
            parts += (f'<path class="under" {side}/>' if opacity else "") + f'<path class="wall" {side}{opacity}/>'
    return f'<g class="body {style}{" is-shade" if opacity else ""}">{parts}</g>'


def _wire(wire: Wire) -> str:
    style = " is-skip" if wire.skip else ""
    points = "L".join(f"{_n(x)} {_n(y)}" for x, y in wire.corners)
    head = _head(wire.corners[-1], wire.corners[-2])
    return f'<path class="wire{style}" d="M{points}"/><path class="arrow{style}" d="{head}"/>'


def _head(end: Point, before: Point) -> str:
    (x, y), (a, b) = end, before
    if a != x:
        return f"M{_n(x)} {_n(y)}l{'-6' if a < x else '6'} -3v6z"
    return f"M{_n(x)} {_n(y)}l-3 {'-6' if b < y else '6'}h6z"


def _label(label: Label) -> str:
    anchor = "" if label.anchor == "middle" else f" {label.anchor}"
    return f'<text class="{label.style}{anchor}" x="{_n(label.x)}" y="{_n(label.y)}">{escape(label.text)}</text>'


def _keys(keys: Keys) -> str:
    parts = [_block(keys.sample), *map(_label, keys.labels)]
    for x, y, style in keys.swatches:
        parts.append(
            f'<g class="body {style}"><rect class="front" x="{_n(x)}" y="{_n(y)}" width="14" height="11"/></g>'
            f'<rect class="edge" x="{_n(x)}" y="{_n(y)}" width="14" height="11"/>'
        )
    return "".join([*parts, *map(_wire, keys.wires)])


def file_style() -> str:
    """The rules of a file of its own, in the light colours, and in the dark ones for readers who want those."""
    return resources.themed(resources.asset("volume.css").partition("/* page */")[0])


def _n(value: float) -> str:
    """A number with two digits behind the point at most."""
    return f"{round(value, 2):.10g}"
