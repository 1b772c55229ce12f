"""What a worker needs of the machine that it runs on: files that networks come from, data, the store.

Whoever starts workers elsewhere says what there is here (`needs_of`); a worker looks whether it has the same. Files
that networks come from must be there, since they import others. Data may be sent, once per machine (`packed`,
`unpacked`). A store that is not there is written here, from what the worker hands over.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from archlab import __version__, files
from archlab.circumstances import digest
from archlab.errors import InputError, StoreError
from archlab.records import TrainingConfig
from archlab.training import images
from archlab.training.execution import Execution
from archlab.training.torchvision_files import LAYOUTS

PIECE_BYTES = 1 << 26
"""Of data that is sent, about so much at a time."""
FILES = (".py", ".pt2", ".json")
"""How the names of files end that a network comes from."""

Piece = tuple[tuple[str, bytes], ...]
"""Some files of a data set: name and content."""


@dataclass(frozen=True, slots=True)
class Data:
    """A data set that lies in files."""

    dataset: str
    sizes: str
    """A hash of the names and sizes of its files."""
    version: str
    """A hash of these and of when they were written: the name of the copy that a machine is sent."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What all jobs of a worker need."""

    version: str
    """Of archlab."""
    folder: str
    """The working folder, from which relative paths lead."""
    files: tuple[tuple[str, str], ...] = ()
    """Files that networks come from, each with a hash of its content."""
    data: tuple[Data, ...] = ()
    sign: tuple[str, str] = ("", "")
    """The path of a file in the store, and what it holds: a machine that reads it there sees the same store."""


def needs_of(configs: Iterable[TrainingConfig], execution: Execution, sign: tuple[str, str]) -> Needs:
    """What is needed for some runs, as it is on this machine.

    Args:
        configs: what is trained.
        execution: where and how.
        sign: path and content of the file in the store.
    """
    networks, datasets = set(), set()
    for config in configs:
        networks.add(config.network)
        datasets.add(config.dataset)
    named = sorted({path for network in networks if (path := _file(network)) and Path(path).is_file()})
    described = [data for name in sorted(datasets) if (data := _data(name, execution)) is not None]
    sums = tuple((path, _sum(path)) for path in named)
    return Needs(__version__, str(Path.cwd()), sums, tuple(described), sign)


def working_folder(needs: Needs) -> str:
    """The folder on this machine in which a worker finds all files that networks come from.

    It is the one that it would have anyhow, where a cluster has put a copy of the caller's; else the caller's own.

    Raises:
        InputError: there is none, or archlab is another.
    """
    if needs.version != __version__:
        raise InputError(f"this machine has archlab {__version__}, expected {needs.version}: install the same on each")
    candidates = [folder for folder in dict.fromkeys((str(Path.cwd()), needs.folder)) if Path(folder).is_dir()]
    for folder in candidates:
        if all(_sum(os.path.join(folder, path)) == known for path, known in needs.files):  # noqa: PTH118
            return candidates[-1] if not needs.files else folder
    lacking = next(
        path
        for path, known in needs.files
        if all(_sum(os.path.join(folder, path)) != known for folder in candidates)  # noqa: PTH118
    )
    raise InputError(
        f"this machine does not have {lacking} as it is where the command was given: let it lie, with all that it "
        "imports, in a folder that all machines share, or send the folder along: "
        "ray job submit --working-dir . -- archlab compare ..."
    )


def sees_store(needs: Needs) -> bool:
    """Whether this machine sees the caller's store, and may write there."""
    path, held = needs.sign
    try:
        return Path(path).read_text(encoding="utf-8") == held and os.access(Path(path).parent, os.W_OK)
    except OSError:
        return False


def missing_data(needs: Needs, execution: Execution) -> list[Data]:
    """The data sets that this machine does not have."""
    return [data for data in needs.data if (own := _data(data.dataset, execution)) is None or own.sizes != data.sizes]


def packed(data: Data, execution: Execution) -> Iterator[Piece]:
    """The files of a data set, some at a time."""
    root, names = images.files_of(data.dataset, execution.data_dir) or (Path(), [])
    piece: list[tuple[str, bytes]] = []
    for name in names:
        piece.append((name, (root / name).read_bytes()))
        if sum(len(content) for _, content in piece) >= PIECE_BYTES:
            yield tuple(piece)
            piece = []
    if piece:
        yield tuple(piece)


def unpacked(data: Data, pieces: Iterable[Piece]) -> tuple[str, str, str]:
    """A data set that was sent, now in files: as `Execution.placed` has it.

    The first worker of a machine writes them, the others wait for it; they stay in the folder for temporary files.

    Raises:
        StoreError: the disk is full.
    """
    from filelock import FileLock

    name = Path(data.dataset).name
    home = Path(tempfile.gettempdir()) / f"archlab-data-{os.getuid() if hasattr(os, 'getuid') else 0}"
    target = home / data.version / name
    with files.writing(home):
        home.mkdir(exist_ok=True, mode=0o700)
        if hasattr(os, "getuid") and home.stat().st_uid != os.getuid():
            raise StoreError(f"{home} is someone else's folder, expected this user's: have it removed")
        with FileLock(home / f"{data.version}.lock"):
            if not target.is_dir():
                draft = files.draft_path(target)
                for piece in pieces:
                    for inner, content in piece:
                        path = draft / inner
                        if not path.resolve().is_relative_to(draft.resolve()):
                            raise StoreError(f"{inner} is no name in a data set")
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(content)
                draft.rename(target)
    return (data.dataset, data.dataset, str(target)) if data.dataset in LAYOUTS else (data.dataset, str(target), "")


def _file(network: str) -> str:
    """The file that a network comes from; empty where it comes from none."""
    name = network.removeprefix("hf:")
    path = name if name.endswith(FILES) else name.rpartition(":")[0]
    return path if path.endswith(FILES) else ""


def _sum(path: str) -> str:
    try:
        return hashlib.sha256(files.read_regular(Path(path))).hexdigest()
    except OSError:
        return ""


def _data(dataset: str, execution: Execution) -> Data | None:
    """A data set as it lies on this machine; None where it needs no files, or there are none."""
    lies = images.files_of(dataset, execution.data_dir)
    if lies is None or not lies[1]:
        return None
    root, names = lies
    states = [(root / name).stat() for name in names]
    sizes = [[name, state.st_size] for name, state in zip(names, states, strict=True)]
    return Data(dataset, digest(sizes), digest(sizes, [state.st_mtime_ns for state in states]))
