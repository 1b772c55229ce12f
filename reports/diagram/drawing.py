"""A scene as SVG text.

assets/diagram-drawing.js writes the same elements when a block opens; a test holds the two together. A drawing inside a
page takes its colours from the page's style sheet; a file of its own carries the part of assets/diagram.css that
concerns drawings, with plain colours instead of variables, since few viewers of SVG files know those.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from html import escape

from archlab.reports import resources
from archlab.reports.diagram.colour import MARKS, Key, Scheme
from archlab.reports.diagram.geometry import Point
from archlab.reports.diagram.node import AMOUNT_HEIGHT, DiagramNode
from archlab.reports.diagram.scene import (
    HEADER_HEIGHT,
    SUBTITLE_LETTER_WIDTH,
    TERMINAL_SIZE,
    TITLE_LETTER_WIDTH,
    Box,
    Connector,
    Scene,
)
from archlab.reports.text import shortened

MARGIN = 16.0
CORNER_PIXELS = 6.0
NOTICE_LETTER_WIDTH, NOTICE_LINE_HEIGHT = 6.6, 17.0
"""The width of the letters and the height of the lines of what failed."""


def svg_elements(scene: Scene, scheme: Scheme) -> str:
    """The boxes, wires and labels of a scene; all text escaped."""
    parts = [_frame(box) for box in scene.frames]
    parts += [_box(box, scheme) for box in scene.boxes]
    parts += [_connector(connector) for connector in sorted(scene.connectors, key=lambda line: not line.skip)]
    for at in scene.labels:
        style = "shape is-failed" if at.failed else "shape"
        parts.append(f'<text class="{style}" x="{_n(at.x)}" y="{_n(at.y)}">{escape(at.text)}</text>')
    width, height = TERMINAL_SIZE
    for end in scene.terminals:
        parts.append(
            f'<g class="terminal" transform="translate({_n(end.x - width / 2)} {_n(end.y)})">'
            f'<rect width="{_n(width)}" height="{_n(height)}" rx="13"/>'
            f'<text class="title" x="{_n(width / 2)}" y="17">{escape(shortened(end.text, 16))}</text></g>'
        )
    return "".join(parts)


def embedded(scene: Scene, scheme: Scheme, description: str) -> str:
    """The drawing as an element of a page."""
    left, top, width, height = bounds(scene)
    return (
        f'<svg class="diagram-drawing" xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}"'
        f' viewBox="{_n(left)} {_n(top)} {_n(width)} {_n(height)}" role="img" aria-label="{escape(description)}">'
        f"{svg_elements(scene, scheme)}</svg>"
    )


def standalone(scene: Scene, scheme: Scheme, title: str, description: str, failure: str = "") -> str:
    """The drawing as a file of its own: a title, what failed, a legend, and the style for light and dark."""
    left, top, width, height = bounds(scene)
    title = shortened(title, 64)
    full = max(width, 9.6 * len(title) + 2 * MARGIN, 320.0)
    left -= (full - width) / 2
    legend, depth = _legend(scheme, drawn_keys(scene, scheme), left + MARGIN, top + height + MARGIN, full - 2 * MARGIN)
    notice = _wrapped(failure, full - 2 * MARGIN)
    head = 34.0 + (NOTICE_LINE_HEIGHT * len(notice) + 6 if notice else 0)
    top, height = top - head, height + head + depth + 2 * MARGIN
    box = f"{_n(left)} {_n(top)} {_n(full)} {_n(height)}"
    return (
        f'<svg class="diagram-drawing" xmlns="http://www.w3.org/2000/svg" width="{_n(full)}" height="{_n(height)}"'
        f' viewBox="{box}" role="img" aria-labelledby="title description">'
        f'<title id="title">{escape(title)}</title><desc id="description">{escape(description)}</desc>'
        f"<style>{file_style()}</style>"
        f'<rect class="paper" x="{_n(left)}" y="{_n(top)}" width="{_n(full)}" height="{_n(height)}"/>'
        f'<text class="heading" x="{_n(left + MARGIN)}" y="{_n(top + 26)}">{escape(title)}</text>'
        f"{_notice(notice, left + MARGIN, top + 26)}{svg_elements(scene, scheme)}{legend}</svg>\n"
    )


def _notice(lines: Sequence[str], left: float, top: float) -> str:
    return "".join(
        f'<text class="notice" x="{_n(left)}" y="{_n(top + NOTICE_LINE_HEIGHT * place)}">{escape(line)}</text>'
        for place, line in enumerate(lines, start=1)
    )


def _wrapped(text: str, width: float) -> list[str]:
    return textwrap.wrap(text, _letters(width, NOTICE_LETTER_WIDTH), break_on_hyphens=False)


def bounds(scene: Scene) -> tuple[float, float, float, float]:
    """The view box around a scene: left, top, width and height."""
    left, right = scene.left - MARGIN, scene.right + MARGIN
    return left, -MARGIN, right - left, scene.height + 2 * MARGIN


def file_style() -> str:
    """The rules for drawings, with the light colours, and the dark ones for readers who want those."""
    sheet = resources.asset("diagram.css")
    return resources.themed(sheet.partition("/* drawing */")[2].partition("/* controls */")[0])


def _box(box: Box, scheme: Scheme) -> str:
    node = box.node
    style = scheme.styles[node.row]
    names = ["node", style, *(name for name, on in _states(box) if on)]
    if node.symbol:
        names.append("is-joint")
        inside = (
            f'<rect class="box" width="{_n(box.width)}" height="{_n(box.height)}" rx="{_n(box.height / 2)}"/>'
            f'<text class="symbol" x="{_n(box.width / 2)}" y="{_n(box.height / 2 + 4.5)}">{escape(node.symbol)}</text>'
        )
    elif node.plan:
        names.append("is-group")
        inside = _group(box)
    else:
        inside = (
            f'{_behind(box, 5)}<rect class="box" width="{_n(box.width)}" height="{_n(box.height)}" rx="5"/>{_leaf(box)}'
        )
    if node.failed:
        x = box.width - (4 if node.symbol else 1)
        inside += (
            f'<circle class="fault" cx="{_n(x)}" cy="2" r="8"/><path class="fault" d="M{_n(x - 3)} -1l6 6m0 -6l-6 6"/>'
        )
    return (
        f'<g class="{" ".join(names)}" data-node="{node.number}"'
        f' transform="translate({_n(box.x)} {_n(box.y)})">{inside}</g>'
    )


def _frame(box: Box) -> str:
    """An open block that goes on in another column, under its name."""
    name = shortened(f"{box.node.title}, continued", _letters(box.width - 20, SUBTITLE_LETTER_WIDTH))
    return (
        f'<g class="is-open" transform="translate({_n(box.x)} {_n(box.y)})"><rect class="box" width="{_n(box.width)}"'
        f' height="{_n(box.height)}" rx="7"/><text class="subtitle start" x="10" y="16">{escape(name)}</text></g>'
    )


def _states(box: Box) -> tuple[tuple[str, bool], ...]:
    return ("is-open", box.open), ("is-unused", box.node.unused), ("is-failed", box.node.failed)


def _behind(box: Box, radius: int) -> str:
    """The edges of those that a repeated block stands in front of."""
    if not box.node.repeats or box.open:
        return ""
    size = f'width="{_n(box.width)}" height="{_n(box.height)}" rx="{radius}"'
    return "".join(f'<rect class="behind" x="{offset}" y="{offset}" {size}/>' for offset in (6, 3))


def _group(box: Box) -> str:
    node, width = box.node, box.width
    chevron = "M10 12.5l4.5 5l4.5 -5" if box.open else f"M12 {_n(box.height / 2 - 4.5)}l5 4.5l-5 4.5"
    badge, room = _badge(node, width, HEADER_HEIGHT / 2 if box.open else box.height / 2)
    if box.open:
        title = shortened(node.title, _letters(width - 32 - room, TITLE_LETTER_WIDTH))
        beside = 26 + TITLE_LETTER_WIDTH * len(title) + 10
        said = ", ".join(filter(None, (node.subtitle, node.amount)))
        subtitle = shortened(said, max(0, _letters(width - beside - room - 8, SUBTITLE_LETTER_WIDTH)))
        texts = f'<text class="title start" x="26" y="19.5">{escape(title)}</text>'
        if len(subtitle) > 5:
            texts += f'<text class="subtitle start" x="{_n(beside)}" y="19.5">{escape(subtitle)}</text>'
    else:
        title = shortened(node.title, _letters(width - 34 - room, TITLE_LETTER_WIDTH))
        subtitle = shortened(node.subtitle, _letters(width - 34 - room, SUBTITLE_LETTER_WIDTH))
        middle = box.height / 2 - (AMOUNT_HEIGHT / 2 if node.amount else 0.0)
        texts = f'<text class="title start" x="26" y="{_n(middle - 3)}">{escape(title)}</text>'
        texts += f'<text class="subtitle start" x="26" y="{_n(middle + 12)}">{escape(subtitle)}</text>'
        if node.amount:
            amount = shortened(node.amount, _letters(width - 34, SUBTITLE_LETTER_WIDTH))
            texts += (
                f'<text class="subtitle start" x="26" y="{_n(middle + 12 + AMOUNT_HEIGHT)}">{escape(amount)}</text>'
            )
    return (
        f'{_behind(box, 7)}<rect class="box" width="{_n(width)}" height="{_n(box.height)}" rx="7"/>'
        f'<path class="chevron" d="{chevron}"/>{texts}{badge}'
    )


def _badge(node: DiagramNode, width: float, middle: float) -> tuple[str, float]:
    """How often a block is repeated, and the room that this takes."""
    if not node.badge:
        return "", 0.0
    room = 8.0 * len(node.badge) + 10
    return (
        f'<rect class="badge" x="{_n(width - room - 8)}" y="{_n(middle - 9)}" width="{_n(room)}" height="18" rx="9"/>'
        f'<text class="badge-text" x="{_n(width - room / 2 - 8)}" y="{_n(middle + 4)}">{escape(node.badge)}</text>'
    ), room + 8


def _leaf(box: Box) -> str:
    node, middle = box.node, box.height / 2
    badge, room = _badge(node, box.width, middle)
    across = (box.width - room) / 2
    title = shortened(node.title, _letters(box.width - room - 14, TITLE_LETTER_WIDTH))
    if not node.subtitle:
        return f'<text class="title" x="{_n(across)}" y="{_n(middle + 4)}">{escape(title)}</text>{badge}'
    subtitle = shortened(node.subtitle, _letters(box.width - room - 14, SUBTITLE_LETTER_WIDTH))
    return (
        f'<text class="title" x="{_n(across)}" y="{_n(middle - 2)}">{escape(title)}</text>'
        f'<text class="subtitle" x="{_n(across)}" y="{_n(middle + 12)}">{escape(subtitle)}</text>{badge}'
    )


def _letters(width: float, letter: float) -> int:
    return max(2, int(width / letter))


def _connector(line: Connector) -> str:
    if line.thick:
        return f'<path class="bus" d="{rounded(line.corners)}"/>'
    style = "wire is-skip" if line.skip else "wire"
    path = f'<path class="{style}" d="{rounded(line.corners)}"/>'
    if line.arrow:
        path += f'<path class="{style.replace("wire", "arrow")}" d="{_arrow(line.corners)}"/>'
    return path


def rounded(corners: Sequence[Point]) -> str:
    """A path through the corners of a wire, its bends rounded."""
    points = [point for place, point in enumerate(corners) if place == 0 or point != corners[place - 1]]
    if not points:
        return ""
    text = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        start, end = _towards(corner, before), _towards(corner, after)
        text += f"L{_n(start[0])} {_n(start[1])}Q{_n(corner[0])} {_n(corner[1])} {_n(end[0])} {_n(end[1])}"
    return f"{text}L{_n(points[-1][0])} {_n(points[-1][1])}"


def _towards(corner: Point, other: Point) -> Point:
    across, down = other[0] - corner[0], other[1] - corner[1]
    length = abs(across) + abs(down)
    share = min(CORNER_PIXELS, length / 2) / length
    return corner[0] + across * share, corner[1] + down * share


def _arrow(corners: Sequence[Point]) -> str:
    (x, y), before = corners[-1], corners[-2] if len(corners) > 1 else (corners[-1][0], corners[-1][1] - 1)
    if before[1] == y and before[0] != x:
        back = 6 if before[0] > x else -6
        return f"M{_n(x)} {_n(y)}l{back} -3.5v7z"
    return f"M{_n(x)} {_n(y)}l-3.5 -6h7z"


def drawn_keys(scene: Scene, scheme: Scheme) -> list[Key]:
    """The lines of the legend for what the scene shows."""
    shown = {scheme.styles[box.node.row] for box in scene.boxes if not box.open}
    marks = {
        "wire": any(not line.skip for line in scene.connectors),
        "wire is-skip": any(line.skip and not line.thick for line in scene.connectors),
        "bus": any(line.thick for line in scene.connectors),
        "is-open": any(box.open for box in scene.boxes),
        "behind": any(box.node.badge for box in scene.boxes),
        "is-unused": any(box.node.unused for box in scene.boxes),
        "is-failed": any(box.node.failed for box in scene.boxes),
    }
    return [
        *(key for key in scheme.legend if key.style in shown),
        *(Key(style, text) for style, text in MARKS.items() if marks[style]),
    ]


def _legend(scheme: Scheme, keys: Sequence[Key], left: float, top: float, width: float) -> tuple[str, float]:
    """The legend's rows, and their height."""
    parts = [f'<text class="legend-title" x="{_n(left)}" y="{_n(top + 11)}">{escape(scheme.title)}</text>']
    x, y = left, top + 18
    for key in keys:
        taken = 22 + SUBTITLE_LETTER_WIDTH * len(key.text) + 14
        if x + taken > left + width and x > left:
            x, y = left, y + 20
        parts.append(_key(key, x, y))
        x += taken
    return "".join(parts), y + 20 - top


def _key(key: Key, x: float, y: float) -> str:
    box = '<rect class="box" width="16" height="12" y="1" rx="3"/>'
    if key.style.startswith(("wire", "bus")):
        swatch, style = f'<path class="{key.style}" d="M0 7H16"/>', "key"
    elif key.style == "behind":
        swatch, style = f'<rect class="behind" width="16" height="12" x="3" y="4" rx="3"/>{box}', "key is-block"
    else:
        swatch, style = box, f"key {key.style}"
    return (
        f'<g class="{style}" transform="translate({_n(x)} {_n(y)})">{swatch}'
        f'<text class="subtitle start" x="22" y="11">{escape(key.text)}</text></g>'
    )


def _n(value: float) -> str:
    """A number with two digits behind the point at most."""
    return f"{round(value, 2):.10g}"
