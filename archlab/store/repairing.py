"""What can be done about what `verify` finds. Nothing that was measured is deleted: damage is moved into `damaged/`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from archlab import files
from archlab.errors import StoreError
from archlab.store import contents
from archlab.store.contents import RUN
from archlab.store.leftovers import leftovers
from archlab.store.reading import reading
from archlab.store.run_folder import EPOCHS, RunFolder, read_run
from archlab.store.sealing import check_seal, sealed
from archlab.store.verifying import (
    COMPARISONS,
    TRACES,
    differing,
    is_torn,
    of_comparison,
    of_run,
    of_trace,
    unreadable,
    verify,
)

if TYPE_CHECKING:
    from archlab.store.store import Store

DAMAGED = "damaged"
"""The store's folder of what was moved away, laid out as the store."""
WITHOUT = "the run stays without it"


@dataclass(frozen=True, slots=True)
class Repair:
    """One thing that can be done; nothing is done before `act` is called."""

    said: str
    """What it does, in a sentence that begins with a verb in the present."""
    act: Callable[[], object]
    """Raises `OSError` or `StoreError` where the file system refuses."""


def repairs(store: Store, keys: Sequence[str] = ()) -> Iterator[Repair]:
    """What can be done of everything in a store, or of some runs and comparisons; each is looked for when its turn is.

    Args:
        store: that nobody else repairs meanwhile; runs that are being written are left alone.
        keys: of runs and comparisons; none for all, and for traces and leftovers too.

    Raises:
        InputError: there is no run and no comparison of a key.
    """
    if keys:
        verify(store, keys)  # which refuses a key that nobody knows
    else:
        for left in leftovers(store.path):
            done = f"remove the leftover {left.path}" if left.restored is None else f"put {left.path} back"
            yield Repair(done, left.clear)
        for path in sorted((store.path / TRACES).glob("[!.]*.json")):
            yield from _of_document(store, path, of_trace(path).state, "reports build the network anew")
    for folder in store.run_folders():
        if not keys or folder.key in keys:
            yield from _of_run(store, folder)
    for path in sorted((store.path / COMPARISONS).glob("[!.]*.json")):
        if not keys or path.stem in keys:
            yield from _of_document(store, path, of_comparison(path).state, "the same archlab compare makes it again")


def _of_document(store: Store, path: Path, state: str, after: str) -> Iterator[Repair]:
    if state == "damaged":
        yield _aside(store, path, after)
    elif state == "no hashes":
        yield Repair(f"write its hash into {path}", lambda: _seal(path))


def _of_run(store: Store, folder: RunFolder) -> Iterator[Repair]:
    state = of_run(folder).state
    if state in ("whole", "running", "newer", "no access"):
        return
    if folder.is_partial and folder.is_held is not False:
        return  # nothing is moved on a guess
    try:
        folder.run()
    except StoreError:
        yield _aside(store, folder.path, "the same command trains it again")
        return
    if folder.is_partial:
        yield from _of_partial(store, folder)
        return
    try:
        hashed = contents.load(folder.path) is not None
    except StoreError:
        hashed = False
        if os.path.lexists(folder.path / contents.CONTENTS):
            yield _aside(store, folder.path / contents.CONTENTS, "nothing tells any more what the files were")
    if hashed:
        for name in differing(folder.path):
            yield from _of_file(store, folder, name)
    else:
        for name in unreadable(folder):
            yield _aside(store, folder.path / name, WITHOUT)
        yield Repair(f"write the hashes of the files in {folder.path}", lambda: _hash(folder.path))
    trace = read_run(folder.path / RUN).trace if os.path.lexists(folder.path) else ""  # it may have been moved
    if trace and not os.path.lexists(store.path / TRACES / f"{trace}.json"):
        yield Repair(
            f"have {folder.path / RUN} name no trace, which is lost: reports build the network anew",
            lambda: _forget_trace(folder.path),
        )


def _of_file(store: Store, folder: RunFolder, name: str) -> Iterator[Repair]:
    """What is done about a file that is not what was written."""
    path = folder.path / name
    if name == RUN:
        yield _aside(store, folder.path, "the same command trains it again")
    elif name == EPOCHS and (text := _epochs_again(folder.path)):
        if os.path.lexists(path):
            yield _aside(store, path, f"it is written anew from {RUN}")
        yield Repair(f"write {path} anew from {RUN}", lambda: files.replace_text(path, text))
    elif os.path.lexists(path):
        aside = _aside(store, path, WITHOUT)

        def act() -> None:
            aside.act()
            contents.forget(folder.path, name)

        yield replace(aside, act=act)
    else:
        yield Repair(f"take {path}, which is lost, from the hashes", lambda: contents.forget(folder.path, name))


def _of_partial(store: Store, folder: RunFolder) -> Iterator[Repair]:
    target = folder.path.with_name(folder.key)
    if _is_whole(folder.path) and not os.path.lexists(target):
        yield Repair(f"give {folder.path} its name, {folder.key}: it had ended", lambda: folder.path.rename(target))
        return
    for name in unreadable(folder):
        yield _aside(store, folder.path / name, WITHOUT)
    epochs = folder.path / EPOCHS
    if is_torn(epochs):
        yield Repair(f"drop the last line of {epochs}, which was cut short", lambda: _untear(epochs))


def _is_whole(folder: Path) -> bool:
    """Whether a run had ended, and lacks nothing but its name."""
    with contextlib.suppress(StoreError):
        return contents.load(folder) is not None and not differing(folder)
    return False


def _hash(folder: Path) -> None:
    _seal(folder / RUN)
    contents.keep(folder)


def _aside(store: Store, path: Path, after: str) -> Repair:
    target = store.path / DAMAGED / path.relative_to(store.path)
    if os.path.lexists(target):
        target = files.draft_path(target).with_name(files.draft_path(target).name.lstrip("."))

    def act() -> None:
        files.make_folder(target.parent)
        path.rename(target)

    return Repair(f"move {path} to {target}: {after}", act)


def _seal(path: Path) -> None:
    with reading(path):
        content = files.read_regular(path)
        if not check_seal(content):
            files.replace_text(path, sealed(content.decode()))


def _epochs_again(folder: Path) -> str:
    """The lines of a run's epochs from its record, where they have the hash that was written; else none."""
    known = contents.load(folder)
    text = "".join(json.dumps(asdict(epoch)) + "\n" for epoch in read_run(folder / RUN).epochs)
    written = [one.sha256 for one in known.allowed(EPOCHS)] if known else []
    return text if contents.digest(text.encode()) in written else ""


def _untear(path: Path) -> None:
    complete, newline, _ = files.read_regular(path).rpartition(b"\n")
    files.replace_bytes(path, complete + newline)


def _forget_trace(folder: Path) -> None:
    run = replace(read_run(folder / RUN), trace="")
    files.replace_text(folder / RUN, sealed(run.to_json()))
    contents.keep(folder)
