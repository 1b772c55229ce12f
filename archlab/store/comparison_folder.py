"""The comparisons of a store: one JSON file each, named after its key, which holds its own hash."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from archlab import files
from archlab.errors import InputError, StoreError, nearest
from archlab.records import Comparison
from archlab.store.problem import Problem
from archlab.store.reading import reading
from archlab.store.sealing import check_seal, sealed


@dataclass(frozen=True, slots=True)
class ComparisonFolder:
    """The folder of all comparisons."""

    path: Path

    def find(self, key: str) -> Path | None:
        """The file of a comparison, if there is one of that name."""
        path = self.path / f"{key}.json"
        return path if path.stem == key and os.path.lexists(path) else None  # no way out of the store

    def read(self, key: str) -> Comparison:
        """The comparison of that name.

        Raises:
            InputError: there is none.
            StoreError: its file can't be read.
        """
        path = self.find(key)
        if path is None:
            known = [item.stem for item in self.path.glob("*.json")]
            raise InputError(f"no comparison {key!r} in {self.path.parent}: {nearest(key, known)}")
        return read_comparison(path)

    def scan(self) -> tuple[list[Comparison], list[Problem]]:
        """All readable comparisons, the oldest first, and the files that can't be read."""
        comparisons: list[Comparison] = []
        problems: list[Problem] = []
        for path in sorted(self.path.glob("*.json")):
            try:
                comparisons.append(read_comparison(path))
            except StoreError as error:
                problems.append(Problem(path, str(error)))
        return sorted(comparisons, key=lambda item: (item.created, item.key)), problems

    def save(self, comparison: Comparison) -> None:
        """Keep a comparison under its key, in the place of an older one.

        Raises:
            StoreError: the folder can't be written.
        """
        files.make_folder(self.path)
        files.save(self.path / f"{comparison.key}.json", sealed(comparison.to_json()))


def read_comparison(path: Path) -> Comparison:
    """The comparison in a file.

    Raises:
        StoreError: it can't be read, or is not what was written.
    """
    with reading(path, f"the comparison in {path}"):
        content = files.read_regular(path)
        check_seal(content)
        return replace(Comparison.from_json(content, str(path)), key=path.stem)
