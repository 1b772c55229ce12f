"""Writing runs into a folder: whole or not at all, and the same call twice gives the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError, nearest
from archlab.exporting.history import History, history
from archlab.exporting.mlflow import write_mlflow
from archlab.exporting.rows import write_csv, write_parquet
from archlab.exporting.tensorboard import write_tensorboard
from archlab.records import Run

if TYPE_CHECKING:
    from archlab.store import Store

Writer = Callable[[Iterable[History], Path, Path], None]
"""Writes the runs, each read when its turn comes, into a folder; the other is what that folder will be called."""

WRITERS: dict[str, Writer] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "tensorboard": write_tensorboard,
    "mlflow": write_mlflow,
}
MANIFEST = "archlab-export.json"
"""Names the files of an export, so that a later one replaces these and nothing else."""


def export(
    runs: Sequence[Run],
    form: str,
    folder: str | Path,
    *,
    store: Store | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """The folder that holds the runs in another tool's form; what an earlier export left there is replaced.

    All epochs, all steps that the store has, and what was probed; every setting as a parameter; key, status, variant,
    network, data set and environment as tags.

    Args:
        runs: any number, each once.
        form: `csv` or `parquet` (tables `runs`, `epochs`, `steps`, `probes`), `tensorboard` (one folder per run),
            `mlflow` (a database, `mlflow.db`). The last two hold of the probes what is one number by step.
        folder: made if it is not there.
        store: where the curves by step and the probes are.
        progress: called after each run with how many are done.

    Raises:
        InputError: there is no run, the form is unknown, its package is not installed, or the folder is the current
            one, or holds files that no export wrote.
        StoreError: the folder can't be written.
    """
    if form not in WRITERS:
        raise InputError(f"runs can't be exported to {form!r}: {nearest(form, WRITERS)}")
    if not runs:
        raise InputError("there is no run to export: archlab compare --bn off makes some")
    target = Path(folder)
    _check(target)
    unique = {run.key: run for run in runs}
    draft = files.draft_path(target.resolve())
    with files.writing(target):
        try:
            draft.mkdir(parents=True)
            WRITERS[form](_histories(list(unique.values()), store, progress), draft, target)
            manifest = {
                "schema": "archlab.export/1",
                "form": form,
                "files": _listed(draft),
                "runs": list(unique),
            }
            (draft / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            files.replace_folder(draft, target.resolve())
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def _histories(runs: Sequence[Run], store: Store | None, tell: Callable[[int], None]) -> Iterator[History]:
    for done, run in enumerate(runs, start=1):
        yield history(run, store)
        tell(done)


def _check(target: Path) -> None:
    """Raise an `InputError` if something lies there that would be lost."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file, expected a folder: choose another")
    if not target.exists():
        return
    if Path.cwd().is_relative_to(target.resolve()):  # it is replaced as a whole, and would be gone for who is in it
        raise InputError(f"{target} is the current folder, or holds it: choose one inside it")
    try:
        known = {MANIFEST, *json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, TypeError, KeyError):
        known = set()
    foreign = sorted(set(_listed(target)) - known)
    if foreign:
        raise InputError(
            f"{target} holds {foreign[0]}, which no export wrote: choose a new folder, or move what is in it away"
        )


def _listed(folder: Path) -> list[str]:
    """All files in a folder and beneath it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
