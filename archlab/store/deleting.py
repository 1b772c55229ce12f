"""Removing a run for good."""

from __future__ import annotations

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
    folders = {folder.path: folder for folder in (RunFolder(store / RUNS / key), *partials)}
    held = [folder.is_held for path, folder in folders.items() if path.exists()]
    if any(held):
        raise StoreError(f"run {key} is being written: stop its process first")
    if None in held:
        raise StoreError(f"run {key} may be going, its lock in {store} can't be read: ask whoever trains it")
    for path in folders:
        with files.writing(path):
            files.remove(path)
