"""The runs that an index keeps, read when they are asked for: of 30,000 a list shows the newest 1,000."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import overload

from archlab.records.entry import Entry, Setup
from archlab.store.columns import Columns
from archlab.store.look import each_once


class Kept(Sequence[Entry]):
    """Runs, each once, the oldest first. The newest, `[-N:]`, are read without the others.

    Args:
        parts: what the index keeps, of which nothing has changed.
        setups: what they share, by its numbers.
        others: further runs, of which the index keeps none.
    """

    def __init__(self, parts: Sequence[Columns], setups: Mapping[int, Setup], others: Sequence[Entry]) -> None:
        self._parts = parts
        self._setups = setups
        self._others = others

    @cached_property
    def _all(self) -> list[Entry]:
        return each_once([*self._others, *(entry for part in self._parts for entry in part.entries(self._setups))])

    def __len__(self) -> int:
        return len(self._others) + sum(len(part.created) for part in self._parts)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._all)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> list[Entry]: ...

    def __getitem__(self, place: int | slice) -> Entry | list[Entry]:
        if isinstance(place, slice) and place.stop is place.step is None and -len(self) < (place.start or 0) < 0:
            return self._newest(-place.start)
        return self._all[place]

    def _newest(self, number: int) -> list[Entry]:
        """So many of them, the oldest of these first."""
        columns = [(part.created, part.names) for part in self._parts]
        columns.append(([one.created for one in self._others], [one.key for one in self._others]))
        first = heapq.nlargest(number, chain.from_iterable(created for created, _ in columns))[-1]
        # Of each run from then on, when it was created, its key, and its place: in which columns, and where there.
        runs = [
            (time, keys[place], at, place)
            for at, (created, keys) in enumerate(columns)
            for place, time in enumerate(created)
            if time >= first
        ]
        places: dict[int, list[int]] = {}
        for _, _, at, place in sorted(runs)[-number:]:
            places.setdefault(at, []).append(place)
        others = [self._others[place] for place in places.pop(len(self._parts), ())]
        chosen = [entry for at, found in places.items() for entry in self._parts[at].some_entries(found, self._setups)]
        return each_once([*others, *chosen])
