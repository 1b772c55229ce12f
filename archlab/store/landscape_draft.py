"""A landscape that is being measured of a run that has ended: what is done of it, so that it can go on after a stop.

    landscape.safetensors     `weights/NAME`, and `losses`: of the first points of the grid, row by row. Their hash
                              is in the header

It lies in the run's folder until the landscape is whole, which is then kept with what else was probed of the run.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from archlab import files
from archlab.errors import InputError, StoreError
from archlab.records import Landscape, Probes
from archlab.store import lock
from archlab.store.arrays import read_arrays, read_texts, write_arrays
from archlab.store.measurements import KINDS, write_probes
from archlab.store.reading import reading
from archlab.store.run_folder import LOCKS, RunFolder

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from archlab.store.arrays import Array

DRAFT = "landscape.safetensors"
HASH = "sha256"
"""In the header of the draft."""
LOCK = ".landscape"
"""What the lock of a landscape that is being measured is called behind the key of its run."""


class LandscapeDraft:
    """What is done of a run's landscape, for one process at a time; use it in a `with` statement.

    Args:
        folder: of a run that has ended.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._path = folder.path / DRAFT
        self._lock: BaseFileLock | None = None
        self.weights: Mapping[str, Array] = {}
        """The trained weights by name, once they are known."""
        self.points = 0
        """On each side of the grid that `losses` are of."""
        self.losses: Sequence[float] = ()
        """Of the points so far, in the order in which they are measured."""

    @property
    def key(self) -> str:
        """Of the run."""
        return self._folder.key

    def __enter__(self) -> Self:
        with files.writing(self._path):
            self._lock = lock.claim(self._folder.path.parents[1] / LOCKS / f"{self._folder.key}{LOCK}")
        if self._lock is None:
            raise InputError(f"another process measures the landscape of {self._folder.key}: wait for it, or stop it")
        try:
            self._folder.probes(*KINDS)  # what is measured will be kept with them
            self._read()
        except BaseException:
            lock.disclaim(self._lock)
            raise
        return self

    def _read(self) -> None:
        """Take up what is there; a draft that is not as it was written is as if there were none."""
        with contextlib.suppress(StoreError), reading(self._path):
            arrays = read_arrays(self._path)
            if not arrays or read_texts(self._path).get(HASH) != _hash(arrays):
                return
            self.losses, self.points = arrays["losses"].tolist(), int(arrays["points"][0])
            self.weights = {name.removeprefix("weights/"): array for name, array in arrays.items() if "/" in name}

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            lock.disclaim(self._lock)

    def keep(self, points: int, losses: Sequence[float]) -> None:
        """Keep the weights and what is done, in the place of what was kept before.

        Raises:
            StoreError: the folder can't be written.
        """
        import numpy as np

        self.points, self.losses = points, losses
        named = {f"weights/{name}": array for name, array in self.weights.items()}
        arrays = {**named, "points": np.array([points]), "losses": np.array(losses, dtype=np.float32)}
        with files.writing(self._path):
            write_arrays(self._path, arrays, {HASH: _hash(arrays)})

    def finish(self, landscape: Landscape) -> None:
        """Keep the whole landscape with what else was probed of the run, and remove the draft.

        Raises:
            StoreError: the folder can't be written.
        """
        with files.writing(self._path):
            before = self._folder.probes(*KINDS) or Probes()
            write_probes(self._folder.path, replace(before, landscape=landscape))
            self._path.unlink(missing_ok=True)


def _hash(arrays: Mapping[str, Array]) -> str:
    """Of names, types, shapes and numbers."""
    import numpy as np

    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        held = np.ascontiguousarray(array)  # as it is written: of a single number it makes one of one
        digest.update(f"{name} {held.dtype} {held.shape}\n".encode())
        digest.update(held.data)
    return digest.hexdigest()
