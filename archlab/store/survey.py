"""All runs of a store at a glance, looked at once or again and again: what is new or has changed is read."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.records.display import Shown
from archlab.store.columns import fits
from archlab.store.contents import PARTIAL
from archlab.store.index import Index, Indexed
from archlab.store.kept import Kept
from archlab.store.listed import Setups
from archlab.store.look import Look, each_once, folder_names, is_partial, stamps_of
from archlab.store.looking import are_current, looks_at
from archlab.store.problem import Problem
from archlab.store.run_folder import RUNS, RunFolder

if TYPE_CHECKING:
    from archlab.records.entry import Entry

INDEXED_RUNS = 500
"""From so many ended runs on a store has an index. Looking at a smaller one, which is read quickly, writes nothing."""
CLOSELY = 100
"""Up to so many ended runs each glance asks all of them whether they have changed."""
REST = 400
"""In a larger store they are asked so rarely that it takes one part in so many of the time."""
SETTLED_SECONDS = 2.0
"""A folder that was changed later than that before a look may change again without another time to show for it."""


@dataclass(frozen=True)
class Listing(Shown):
    """What lists say of all runs: each run once, the oldest first, and what can't be read."""

    entries: Sequence[Entry]
    problems: Sequence[Problem]


class Survey:
    """The folders of a store's runs; `looks` has one look for each, by its name, in the order of the names.

    Args:
        store: the folder of the store.
        once: for one look and one listing. No glance can follow, and `looks` stays empty where the index keeps all that
            is asked for.
        meanwhile: of one look, what may be done while others ask after folders; it isn't called where no others do.
    """

    def __init__(self, store: Path, *, once: bool = False, meanwhile: Callable[[], object] | None = None) -> None:
        self._root = str(store / RUNS)
        self._once = once
        self._meanwhile = meanwhile
        self._listing: Listing | None = None
        """What the index says, where it needed no looks."""
        self._index = Index(store)
        self._setups = Setups()
        self._numbers: dict[str, int] = {}
        """Name of a folder -> its number in the file system, which another folder of that name has not."""
        self._changed: int | None = None
        """When the folder of all runs was last changed, in nanoseconds since 1970; None where it may still change
        without another time to show for it."""
        self._due = -math.inf
        """When all ended runs are asked again, by the monotonic clock."""
        self._partials: list[str] = []
        self.has_lost = False
        """Whether a folder was gone when it was to be read: perhaps it has another name now."""
        self.looks: dict[str, Look] = {}

    def look(self) -> bool:
        """Whether something has changed since the last time; every folder is asked."""
        with _without_collection():
            return self._look()

    def _look(self) -> bool:
        start = time.monotonic()
        is_first = not self.looks
        self._numbers = self._scan()
        known: Mapping[str, Look] = self.looks
        if is_first and len(self._numbers) >= INDEXED_RUNS:
            indexed = self._index.read(self._setups)
            if self._once and (found := self._kept(indexed)) is not None:
                self._listing = found
                return True
            known = indexed.looks()
        if self._once:
            self._numbers = dict(sorted(self._numbers.items()))
        # Of one look it was asked already, and the answer was no.
        is_current = is_first and not self._once and bool(known) and are_current(self._root, indexed.parts)
        current = known if is_current else self._unchanged(known)
        self._due = time.monotonic() + REST * (time.monotonic() - start)
        has_changed = self._take(current)
        if sum(not is_partial(name) for name in self._numbers) >= INDEXED_RUNS:
            changed = {name for name, look in self.looks.items() if name not in current and fits(name, look)}
            changed |= {name for name in known if name not in self.looks and not is_partial(name)}
            if changed:
                self._index.write({name: look for name, look in self.looks.items() if fits(name, look)}, changed)
        return has_changed

    def _kept(self, indexed: Indexed) -> Listing | None:
        """What lists say, where the index keeps all ended runs as they are; None where it doesn't."""
        ended = {name for part in indexed.parts for name in part.names}
        partials = sorted(self._numbers.keys() - ended)
        if len(ended) + len(partials) != len(self._numbers) or not all(map(is_partial, partials)):
            return None
        if not are_current(self._root, indexed.parts, self._meanwhile):
            return None
        looks = looks_at(self._root, partials, self._setups)
        others = each_once(one for look in looks.values() if (one := look.entry) is not None and one.key not in ended)
        errors = {name: look.error for name, look in looks.items() if look.entry is None}
        errors |= {name: error for part in indexed.parts for name, error in part.unreadable}
        problems = [Problem(Path(self._root, name), errors[name]) for name in sorted(errors)]
        return Listing(Kept(indexed.parts, indexed.setups, others), problems)

    def _unchanged(self, known: Mapping[str, Look]) -> Mapping[str, Look]:
        """The folders that are as they were when they were looked at."""
        names = [name for name in self._numbers if name in known]
        ended = [name for name in names if not name.endswith(PARTIAL)]
        before = [known[name].stamp for name in ended]
        stamps = list(stamps_of(self._root, ended))
        if len(ended) == len(names) and None not in before and stamps == before:  # nearly always, and found out at once
            return known
        asked = zip(ended, stamps, before, strict=True)
        current = {name: known[name] for name, stamp, was in asked if stamp is not None and stamp == was}
        partials = [name for name in names if is_partial(name) and self._is_current(name, known[name])]
        return current | {name: known[name] for name in partials}

    def glance(self) -> bool:
        """Whether something has changed since the last time, seen at little cost.

        New, renamed and partial folders are seen at once; an ended run that somebody changes in its place is seen at
        once in a small store, and within minutes in a large one.
        """
        if len(self.looks) <= CLOSELY or time.monotonic() >= self._due:
            return self.look()
        outdated = {name for name in self._partials if not self._is_current(name, self.looks[name])}
        if self._changed is None or self._changed != _changed(self._root):
            before, self._numbers = self._numbers, self._scan()
            outdated |= {name for name, number in before.items() if self._numbers.get(name) != number}
            if not outdated and len(before) == len(self._numbers):
                return False
        elif not outdated:
            return False
        return self._take({name: look for name, look in self.looks.items() if name not in outdated})

    def listing(self) -> Listing:
        """What lists say, by the last look."""
        if self._listing is not None:
            return self._listing
        problems = [Problem(Path(self._root, name), look.error) for name, look in self.looks.items() if not look.entry]
        return Listing(each_once(look.entry for look in self.looks.values() if look.entry is not None), problems)

    def _scan(self) -> dict[str, int]:
        """The folders by their names, each with its number in the file system; in order, unless for one look."""
        self._changed = None
        changed = _changed(self._root)
        try:
            if self._once:
                return dict.fromkeys(folder_names(self._root), 0)
            with os.scandir(self._root) as items:
                found = {item.name: item.inode() for item in items if not item.name.startswith(".")}
        except FileNotFoundError:
            return {}
        if changed is not None and time.time() - changed / 1e9 > SETTLED_SECONDS:
            self._changed = changed
        return {name: found[name] for name in sorted(found)}

    def _is_current(self, name: str, look: Look) -> bool:
        """Whether a partial folder is as it was when it was looked at."""
        return look.stamp is not None and look.stamp == RunFolder(Path(self._root, name)).fingerprint()

    def _take(self, current: Mapping[str, Look]) -> bool:
        """Read the folders that are not among those that are known; whether something has changed."""
        missing = [name for name in self._numbers if name not in current]
        found = looks_at(self._root, missing, self._setups) if missing else {}
        looks = {name: look for name in self._numbers if (look := current.get(name) or found.get(name)) is not None}
        self.has_lost = len(looks) < len(self._numbers)
        if self.has_lost:
            self._numbers = {name: number for name, number in self._numbers.items() if name in looks}
        has_changed = looks != self.looks
        self.looks = looks
        self._partials = [name for name in looks if is_partial(name)]
        return has_changed


@contextmanager
def _without_collection() -> Iterator[None]:
    """A context without a search for reference cycles.

    Tens of thousands of looks are made, and none of them in a cycle: searching them as they come takes a third of the
    time. Nor are they searched right afterwards: what is frozen and released counts as old, and is searched rarely.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # else somebody else wants some objects to stay frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()


def _changed(root: str) -> int | None:
    """When a folder was changed, in nanoseconds since 1970; None where it isn't there."""
    try:
        return Path(root).stat().st_mtime_ns
    except OSError:
        return None
