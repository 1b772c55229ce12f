"""The row of each node."""

from __future__ import annotations

from collections.abc import Sequence


def ranked(before: Sequence[Sequence[int]], after: Sequence[Sequence[int]], entries: int, exits: int) -> list[int]:
    """Rows by longest path: entries in row 0, exits in the last, what no entry feeds above its consumer.

    Nodes without any wire stand under one another from row 1 on. `before` and `after` list each node's neighbours;
    every edge leads to a higher number.
    """
    count = len(before)
    rows = [0] * count
    start = 1 if entries else 0
    for node in range(entries, count):
        rows[node] = max((rows[source] + 1 for source in before[node]), default=start)
    fed = [node < entries for node in range(count)]
    for node in range(entries, count):
        fed[node] = any(fed[source] for source in before[node])
    for node in reversed(range(entries, count - exits)):
        if not fed[node] and after[node]:
            rows[node] = max(start, min(rows[target] for target in after[node]) - 1)
    loose = [node for node in range(entries, count - exits) if not before[node] and not after[node]]
    for place, node in enumerate(loose):
        rows[node] = start + place
    last = max((rows[node] + 1 for node in range(count - exits)), default=0)
    for node in range(count - exits, count):
        rows[node] = last
    return rows
