"""What a store holds, held against its hashes: which runs, comparisons and traces are as they were written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import InputError, StoreError, nearest
from archlab.records import Run, Trace
from archlab.records.soundness import Soundness, State, StoreSoundness
from archlab.store import contents
from archlab.store.checkpoints import checkpoints_in
from archlab.store.comparison_folder import read_comparison
from archlab.store.leftovers import leftovers
from archlab.store.measurements import PROBES, RECORDING, read_probes, read_recording
from archlab.store.reading import DeniedError, NewerError, reading
from archlab.store.run_folder import CURVES, EPOCHS, STEPS, RunFolder, read_curves, read_epochs, read_steps
from archlab.store.sealing import check_seal

if TYPE_CHECKING:
    from archlab.store.store import Store

TRACES, COMPARISONS = "traces", "comparisons"


def verify(store: Store, keys: Sequence[str] = ()) -> StoreSoundness:
    """What was found of everything in a store, or of some runs and comparisons.

    Args:
        store: whose files are all read once.
        keys: of runs and comparisons; none for all, and for traces and leftovers too.

    Raises:
        InputError: there is no run and no comparison of a key.
    """
    folders, comparisons = store.run_folders(), _items(store.path / COMPARISONS)
    if keys:
        known = {folder.key for folder in folders} | {path.stem for path in comparisons}
        for key in keys:
            if key not in known:
                raise InputError(f"no run or comparison {key!r} in {store.path}: {nearest(key, known)}")
        folders = [folder for folder in folders if folder.key in keys]
        comparisons = [path for path in comparisons if path.stem in keys]
    found = [*map(of_run, folders), *map(of_comparison, comparisons)]
    if keys:
        return StoreSoundness(str(store.path), tuple(found))
    found += map(of_trace, _items(store.path / TRACES))
    left = (str(one.path.relative_to(store.path)) for one in leftovers(store.path))
    return StoreSoundness(str(store.path), tuple(found), tuple(left))


def of_run(folder: RunFolder) -> Soundness:
    """What was found of a run: its record, its files, the trace that it names."""
    name = folder.key or folder.path.name
    try:
        run = folder.run()
        sums = None if folder.is_partial else contents.load(folder.path)
        if folder.is_partial:
            return _of_partial(folder, run, name)
        return _of_ended(folder, run, name, sums)
    except StoreError as error:
        return Soundness(name, "run", _state(error), said=(str(error),))


def _state(error: StoreError) -> State:
    return "newer" if isinstance(error, NewerError) else "no access" if isinstance(error, DeniedError) else "damaged"


def _of_ended(folder: RunFolder, run: Run, name: str, sums: contents.Contents | None) -> Soundness:
    said = unreadable(folder) if sums is None else differing(folder.path)
    if run.trace and not (folder.path.parents[1] / TRACES / f"{run.trace}.json").exists():
        said[TRACES] = f"the trace of its network, {run.trace[:12]}, is missing"
    state: State = "damaged" if said else "no hashes" if sums is None else "whole"
    return Soundness(name, "run", state, 0 if sums is None else len(sums.files) + 1, tuple(said.values()))


def _of_partial(folder: RunFolder, run: Run, name: str) -> Soundness:
    if run.status == "running":
        return Soundness(name, "run", "running")
    if said := unreadable(folder):
        return Soundness(name, "run", "damaged", said=tuple(said.values()))
    torn = (f"{folder.path / EPOCHS}: its last line was cut short",) if is_torn(folder.path / EPOCHS) else ()
    return Soundness(name, "run", "interrupted", said=torn)


def differing(folder: Path) -> dict[str, str]:
    """The files of an ended run that are not what was written, by name, and how they differ.

    Raises:
        StoreError: the hashes can't be read, or this user may not read a file.
    """
    known = contents.load(folder)
    found: dict[str, str] = {}
    for name in sorted({*contents.names(folder), *(known.files if known else ())}):
        try:
            contents.check(folder, name)
        except DeniedError:
            raise
        except StoreError as error:
            found[name] = str(error)
    return found | _checkpoints(folder)


def _checkpoints(folder: Path) -> dict[str, str]:
    """The checkpoints of a run that are not what was written, as their names tell."""
    damaged = [one.path for one in checkpoints_in(folder) if one.content() is None]
    return {path.name: f"{path} is damaged: its bytes are not those that were written (sha256)" for path in damaged}


def unreadable(folder: RunFolder) -> dict[str, str]:
    """The files of a run that can't be read whatever their hashes are, by name, and why.

    Raises:
        DeniedError: this user may not read one.
    """
    readers: dict[str, Callable[[], object]] = {
        EPOCHS: lambda: read_epochs(folder.path / EPOCHS),
        CURVES: lambda: read_curves(folder.path / CURVES),
        STEPS: lambda: read_steps(folder.path / STEPS),
        RECORDING: lambda: read_recording(folder.path),
        PROBES: lambda: read_probes(folder.path),
    }
    found: dict[str, str] = {}
    for name, read in readers.items():
        try:
            read()
        except DeniedError:
            raise
        except StoreError as error:
            found[name] = str(error)
    return found | _checkpoints(folder.path)


def is_torn(path: Path) -> bool:
    """Whether the last line of a file was cut short."""
    try:
        content = files.read_regular(path)
    except OSError:
        return False
    return bool(content) and not content.endswith(b"\n")


def of_comparison(path: Path) -> Soundness:
    """What was found of a comparison."""
    try:
        read_comparison(path)
        with reading(path):
            sealed = check_seal(files.read_regular(path))
    except StoreError as error:
        return Soundness(path.stem, "comparison", _state(error), said=(str(error),))
    return Soundness(path.stem, "comparison", "whole" if sealed else "no hashes", int(sealed))


def of_trace(path: Path) -> Soundness:
    """What was found of a trace, which is named after its hash."""
    try:
        with reading(path):
            content = files.read_regular(path)
            if contents.digest(content) != path.stem:
                raise StoreError(f"{path} is damaged: its bytes are not those that were written (sha256)")
            Trace.from_json(content, str(path))
    except StoreError as error:
        return Soundness(path.stem, "trace", _state(error), said=(str(error),))
    return Soundness(path.stem, "trace", "whole", 1)


def _items(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*.json"))
