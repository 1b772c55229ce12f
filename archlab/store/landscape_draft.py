"""A landscape that is being measured of a run that has ended: what is done of it, so that it can go on after a stop.

    landscape.safetensors     `weights/NAME`, and `losses`: of the first points of the grid, row by row

It lies in the run's folder until the landscape is whole, which is then kept with what else was probed of the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from archlab import files
from archlab.errors import InputError, StoreError
from archlab.records import Landscape, Probes
from archlab.store import lock
from archlab.store.arrays import read_arrays, write_arrays
from archlab.store.measurements import read_probes, write_probes
from archlab.store.run_folder import LOCKS, RunFolder

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from archlab.store.arrays import Array

DRAFT = "landscape.safetensors"


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
        from filelock import Timeout

        with files.writing(self._path):
            try:
                self._lock = lock.hold(self._folder.path.parents[1] / LOCKS / f"{self._folder.key}.landscape")
            except Timeout:
                raise InputError(
                    f"another process measures the landscape of {self._folder.key}: wait for it, or stop it"
                ) from None
        try:
            arrays = read_arrays(self._path)
            weights = {name.removeprefix("weights/"): array for name, array in arrays.items() if "/" in name}
            if weights:
                self.losses, self.points = arrays["losses"].tolist(), int(arrays["points"][0])
                self.weights = weights
        except (StoreError, KeyError, IndexError):
            pass  # damaged: as if there were none
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            lock.release(self._lock)

    def keep(self, points: int, losses: Sequence[float]) -> None:
        """Keep the weights and what is done, in the place of what was kept before.

        Raises:
            StoreError: the folder can't be written.
        """
        import numpy as np

        self.points, self.losses = points, losses
        named = {f"weights/{name}": array for name, array in self.weights.items()}
        with files.writing(self._path), files.replacing(self._path) as draft:
            write_arrays(draft, {**named, "points": np.array([points]), "losses": np.array(losses, dtype=np.float32)})

    def finish(self, landscape: Landscape) -> None:
        """Keep the whole landscape with what else was probed of the run, and remove the draft.

        Raises:
            StoreError: the folder can't be written.
        """
        with files.writing(self._path):
            write_probes(self._folder.path, replace(read_probes(self._folder.path) or Probes(), landscape=landscape))
            self._path.unlink(missing_ok=True)
