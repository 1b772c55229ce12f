"""Removing a run for good."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from archlab import files
from archlab.errors import StoreError
from archlab.store.run_folder import RUNS, RunFolder


def delete_run(store: Path, key: str, partials: Sequence[RunFolder]) -> None:
    """Remove the folders of a run.

    Args:
        store: the folder of the store.
        key: of the run.
        partials: its partial folders.

    Raises:
        StoreError: the run is being written or may be, or a folder can't be changed.
    """
    held = [folder.is_held for folder in partials]
    if any(held):
        raise StoreError(f"run {key} is being written: stop its process first")
    if None in held:
        raise StoreError(f"run {key} may be going, its lock in {store} can't be read: ask whoever trains it")
    for path in (store / RUNS / key, *(folder.path for folder in partials)):
        if path.exists():
            with files.writing(path):
                shutil.rmtree(path)
