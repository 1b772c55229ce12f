"""Which row of the trace each span of a pass is, and what the rows took."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from archlab.profiling.recorder import Pass
from archlab.records import Layer

NETWORK = -1
"""The row of what lies in no row: the network's own."""


def rows_of(noted: Pass, layers: Sequence[Layer]) -> list[int]:
    """The row of each span; that of the nearest span around it for one that has none.

    A module is found by its path and the number of its call. Operations are found among those of the same parent, by
    name and shapes: the longest common runs, in order, since some have no row (the view of a parameter).
    """
    modules = {(layer.path, layer.call): row for row, layer in enumerate(layers) if not layer.operation and layer.call}
    parents = parents_of(layers)
    listed: dict[int, list[int]] = {}
    for row, layer in enumerate(layers):
        if layer.operation:
            listed.setdefault(parents[row], []).append(row)
    heard: dict[int, list[int]] = {}
    for place, span in enumerate(noted.spans):
        if not span.call:
            heard.setdefault(span.parent, []).append(place)
    found: list[int] = []
    operations: dict[int, int] = {}
    for place, span in enumerate(noted.spans):
        home = found[span.parent] if span.parent >= 0 else NETWORK
        if span.call:
            found.append(modules.get((span.name, span.call), home) if span.parent >= 0 else NETWORK)
            operations |= _aligned(noted, heard.pop(place, []), listed.get(found[-1], []), layers)
        else:
            found.append(operations.get(place, home))
    return found


def _aligned(noted: Pass, spans: Sequence[int], rows: Sequence[int], layers: Sequence[Layer]) -> dict[int, int]:
    """Operations of one call: the row of each span that has one."""
    first = [(noted.spans[place].name, noted.shapes[place]) for place in spans]
    second = [(layers[row].kind, layers[row].output_shapes) for row in rows]
    blocks = SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
    return {spans[start + k]: rows[other + k] for start, other, size in blocks for k in range(size)}


def parents_of(layers: Sequence[Layer]) -> list[int]:
    """The row that each row lies in; `NETWORK` for the outermost."""
    parents: list[int] = []
    open_rows: list[int] = []
    for row, layer in enumerate(layers):
        while open_rows and layers[open_rows[-1]].depth >= layer.depth:
            open_rows.pop()
        parents.append(open_rows[-1] if open_rows else NETWORK)
        open_rows.append(row)
    return parents


def summed(
    seconds: Sequence[float], owners: Sequence[int], rows: Sequence[int], parents: Sequence[int]
) -> tuple[list[float], list[float]]:
    """What each row took with all inside it, and what it took itself; the network's own is the last of the second.

    Args:
        seconds: of each segment of a pass.
        owners: the span that each belongs to.
        rows: the row of each span.
        parents: the row that each row lies in.
    """
    own = [0.0] * (len(parents) + 1)
    for taken, owner in zip(seconds, owners, strict=True):
        own[rows[owner]] += taken
    whole = own[:-1]
    for row in range(len(parents) - 1, -1, -1):
        if parents[row] != NETWORK:
            whole[parents[row]] += whole[row]
    return whole, own
