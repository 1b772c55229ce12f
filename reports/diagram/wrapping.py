"""A tall scene in columns, from left to right, so that it fits a page.

The browser does the same for the present view (assets/diagram-columns.js); a test holds the two together. A scene is
cut where nothing but lines and the frames of open blocks crosses: a frame goes on in the next column under its name,
and a line runs on from the foot of one column, through the space between the two, to the head of the next. Lines that
cross a cut at x1 < x2 < x3 get three tracks; the leftmost turns lowest, stands furthest right and comes in lowest, so
that none crosses another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from archlab.reports.diagram.geometry import Point
from archlab.reports.diagram.node import LETTER_WIDTH
from archlab.reports.diagram.scene import HEADER_HEIGHT, TERMINAL_SIZE, Box, Connector, Label, Scene, Terminal

PAGE_RATIO = 0.7071
"""Width by height of a page of paper: A4, upright."""
MOST_COLUMNS = 16
GUTTER, TRACK, LANE = 40.0, 8.0, 14.0
"""Between two columns without tracks, between two tracks, and from a cut to the first track."""
FRAME_TITLE = 24.0
"""Height of the name of a frame that goes on."""
FRAME_FOOT = 28.0
"""How much of a frame holds nothing but its last label: no cut lies there."""
LEAST_GAIN = 1.15
"""How much larger a drawing must become on its page before it is cut."""
FRAME_COST = 0.06
"""What cutting through a frame or a line is worth, in column heights left empty."""
SHORTEST = 0.5
"""How much of its height a column fills at least."""
ROOMS = (1.0, 1.06, 1.12, 1.18)
"""How high columns may be, in shares of the scene that each would have."""


@dataclass(frozen=True, slots=True)
class _Column:
    top: float
    bottom: float
    left: float
    right: float
    frames: tuple[Box, ...]
    """Open blocks that began in an earlier column, from the outermost."""
    crossings: tuple[float, ...]
    """Where lines come in from the column before."""

    @property
    def head(self) -> float:
        """Height above its first row."""
        lanes = LANE + TRACK * len(self.crossings) if self.crossings else 0.0
        return lanes + FRAME_TITLE * len(self.frames)


def wrapped(scene: Scene, ratio: float = PAGE_RATIO) -> Scene:
    """The scene in as many columns as make it largest on a page of that ratio; itself where one is best."""
    cuts = _cuts(scene)
    best, most = scene, LEAST_GAIN / max((scene.right - scene.left) / ratio, scene.height)
    narrowest = dict.fromkeys(range(MOST_COLUMNS + 1), 0.0)
    for count, room in product(range(2, MOST_COLUMNS + 1), ROOMS):
        if narrowest[count - 1] * most > ratio:
            break  # too wide already, and more columns are wider
        columns = _columns(scene, cuts, room * scene.height / count)
        width = sum(column.right - column.left for column in columns)
        width += sum(GUTTER + TRACK * len(column.crossings) for column in columns[1:])
        narrowest[count] = min(narrowest[count] or width, width)
        height = max(column.head + column.bottom - column.top for column in columns)
        height += LANE + TRACK * max((len(column.crossings) for column in columns), default=0)
        size = 1 / max(width / ratio, height)
        if size > most * 1.0001:
            best, most = _arranged(scene, columns), size
    return best


def _cuts(scene: Scene) -> list[tuple[float, int]]:
    """Where it can be cut, and how many frames and lines each cut goes through."""
    closed: list[tuple[float, float]] = []
    for box in scene.boxes:
        closed.append((box.y - 2, box.y + (HEADER_HEIGHT + 6 if box.open else box.height) + 2))
        if box.open:
            closed.append((box.y + box.height - FRAME_FOOT, box.y + box.height + 2))
    closed += [(at.y - 12, at.y + 4) for at in scene.labels]
    closed += [(end.y - 2, end.y + TERMINAL_SIZE[1] + 2) for end in scene.terminals]
    for line in scene.connectors:
        closed += [(y - 7, y + 7) for (_, y), (_, to_y) in pairwise(line.corners) if y == to_y]
        if line.arrow:
            closed.append((line.corners[-1][1] - 9, line.corners[-1][1] + 2))
    cuts: list[tuple[float, int]] = []
    reached = 0.0
    for top, bottom in sorted(closed):
        if top - reached >= 2:
            y = (reached + top) / 2
            frames = sum(1 for box in scene.boxes if box.open and box.y < y < box.y + box.height)
            cuts.append((y, frames + len(_crossings(scene, y))))
        reached = max(reached, bottom)
    return cuts


def _crossings(scene: Scene, y: float) -> list[float]:
    """The x of the lines that cross a height, each once."""
    return sorted({_x_at(line, y) for line in scene.connectors if line.corners[0][1] < y < line.corners[-1][1]})


def _x_at(line: Connector, y: float) -> float:
    return next(x for (x, top), (_, bottom) in pairwise(line.corners) if top < y < bottom)


def _columns(scene: Scene, cuts: Sequence[tuple[float, int]], height: float) -> list[_Column]:
    """The columns of about that height."""
    columns: list[_Column] = []
    top = 0.0
    while top < scene.height:
        end = scene.height
        if end - top > height * 1.02:
            near = [cut for cut in cuts if top + height * SHORTEST <= cut[0] <= top + height]
            later = [cut for cut in cuts if cut[0] > top + 1]
            if near:
                end = min(near, key=lambda cut: (top + height - cut[0]) / height + FRAME_COST * cut[1])[0]
            elif later:
                end = later[0][0]
        columns.append(_column(scene, top, end))
        top = end
    return columns


def _column(scene: Scene, top: float, bottom: float) -> _Column:
    sides: list[float] = []
    for box in scene.boxes:
        if box.y < bottom and box.y + box.height > top:
            sides += (box.x, box.x + box.width)
    for line in scene.connectors:
        sides += [x for piece in [_piece(line, top, bottom)] for x, _ in piece]
    for at in scene.labels:
        if top < at.y <= bottom:
            sides += (at.x, at.x + LETTER_WIDTH * len(at.text))
    for end in scene.terminals:
        if top <= end.y < bottom:
            sides += (end.x - TERMINAL_SIZE[0] / 2, end.x + TERMINAL_SIZE[0] / 2)
    frames = tuple(box for box in scene.boxes if box.open and box.y < top < box.y + box.height)
    return _Column(top, bottom, min(sides), max(sides), frames, tuple(_crossings(scene, top)) if top else ())


def _piece(line: Connector, top: float, bottom: float) -> list[Point]:
    """The corners of a line between two heights, with the points in which it crosses them."""
    corners = [point for point in line.corners if top <= point[1] <= bottom]
    (_, start), (_, end) = line.corners[0], line.corners[-1]
    if start < top < end:
        corners.insert(0, (_x_at(line, top), top))
    if start < bottom < end:
        corners.append((_x_at(line, bottom), bottom))
    return corners if len(corners) > 1 else []


def _arranged(scene: Scene, columns: Sequence[_Column]) -> Scene:
    """The scene with its parts moved to their columns, and the lines between them."""
    made = Scene()
    x = 0.0
    moves: list[Point] = []
    for place, column in enumerate(columns):
        x += GUTTER + TRACK * len(column.crossings) if place else 0.0
        moves.append((x - column.left, column.head - column.top))
        x += column.right - column.left
    foot = max(column.bottom + down for column, (_, down) in zip(columns, moves, strict=True))
    for place, (column, move) in enumerate(zip(columns, moves, strict=True)):
        _move_into(made, scene, column, move)
        if place:
            before = columns[place - 1], moves[place - 1]
            made.connectors += _joined(scene, before, (column, move), foot)
    tracks = max(len(column.crossings) for column in columns)
    made.right, made.height = x, foot + LANE + TRACK * tracks
    return made


def _move_into(made: Scene, scene: Scene, column: _Column, move: Point) -> None:
    across, down = move
    top, bottom = column.top, column.bottom
    lanes = column.head - FRAME_TITLE * len(column.frames)
    for level, box in enumerate(column.frames):
        y = lanes + FRAME_TITLE * level
        end = min(box.y + box.height, bottom) + down
        made.frames.append(replace(box, x=box.x + across, y=y, height=end - y))
    for box in scene.boxes:
        if top <= box.y < bottom:
            height = min(box.height, bottom - box.y)
            made.boxes.append(replace(box, x=box.x + across, y=box.y + down, height=height))
    for line in scene.connectors:
        piece = [(x + across, y + down) for x, y in _piece(line, top, bottom)]
        if piece:
            ends = line.corners[-1][1] <= bottom
            made.connectors.append(replace(line, corners=tuple(piece), arrow=line.arrow and ends))
    for at in scene.labels:
        if top < at.y <= bottom:
            made.labels.append(Label(at.text, at.x + across, at.y + down, at.failed))
    for end_ in scene.terminals:
        if top <= end_.y < bottom:
            made.terminals.append(Terminal(end_.text, end_.x + across, end_.y + down))


def _joined(scene: Scene, before: tuple[_Column, Point], after: tuple[_Column, Point], foot: float) -> list[Connector]:
    """The lines from the foot of one column to the head of the next."""
    (column, (across, down)), (following, (to_across, to_down)) = before, after
    cut, edge = following.top, column.right + across
    kinds: dict[float, tuple[bool, bool]] = {}
    for line in scene.connectors:
        if line.corners[0][1] < cut < line.corners[-1][1]:
            x = _x_at(line, cut)
            kinds[x] = (kinds[x][0] and line.skip, kinds[x][1] or line.thick) if x in kinds else (line.skip, line.thick)
    lines = []
    for number, x in enumerate(following.crossings):
        turn = len(following.crossings) - 1 - number  # the leftmost turns lowest
        low, gutter = foot + LANE + TRACK * turn, edge + GUTTER / 2 + TRACK * turn
        high = LANE + TRACK * turn - TRACK
        corners = (
            (x + across, cut + down),
            (x + across, low),
            (gutter, low),
            (gutter, high),
            (x + to_across, high),
            (x + to_across, cut + to_down),
        )
        skip, thick = kinds[x]
        lines.append(Connector(corners, skip, arrow=False, thick=thick))
    return lines
