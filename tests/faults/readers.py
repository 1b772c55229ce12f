"""Damaged files: each is read or refused in a message, and none raises, hangs or takes a gigabyte.

    python -m tests.faults.readers [--minutes N] [--seed S] [--only READER]

The readers take turns. In a turn a copy of this process has hypothesis draw files, reads them as archlab does and shows
what it has read: as a table, in a notebook, on a page. What is violated is printed with the file that did it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.faults import spoiling
from tests.faults.children import in_a_copy
from tests.faults.messages import unclear
from tests.faults.pictures import read_cifar, read_idx_files, read_images
from tests.faults.reading import SECONDS, ViolationError, attempt

TURN = 15.0
"""Seconds of a reader's turn."""
Reader = Callable[[st.DataObject, Path], object]


class _TimeUpError(KeyboardInterrupt):
    """Hypothesis lets interrupts through at once."""


# Records


@cache
def samples() -> dict[str, Any]:
    """Documents of several kinds, by what they are."""
    from tests import profiles
    from tests.reports.samples import experiment, lenet_trace

    with tempfile.TemporaryDirectory() as name:
        store, comparison = experiment(Path(name) / "store", seeds=2)
        runs = store.runs()
    found = (lenet_trace(), runs[0], comparison, profiles.profile())
    return {type(one).__name__: one.to_dict() for one in found}


@cache
def kinds() -> dict[str, Any]:
    """All records that are documents, by name."""
    import archlab.records.experiment
    import archlab.records.search  # noqa: F401
    from archlab.records.document import Document

    found: dict[str, Any] = {}
    pending: list[Any] = [Document]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if hasattr(kind, "SCHEMA"):
            found[kind.__name__] = kind  # of the two that a class with slots leaves, the later one
    return dict(sorted(found.items()))


def content(data: st.DataObject, kind: Any) -> bytes:
    """The JSON of a record: of a sound one with damage, or of one that has senseless values of the right types."""
    sample = samples().get(kind.__name__)
    if sample is None or data.draw(st.booleans()):
        with contextlib.suppress(ValueError, OverflowError):  # it can't be written
            sample = data.draw(st.from_type(kind)).to_dict()
    text = data.draw(spoiling.documents(sample or {"schema": kind.SCHEMA}))
    return data.draw(spoiling.damaged(text)) if data.draw(st.integers(0, 4)) == 0 else text


def read_records(data: st.DataObject, folder: Path) -> None:
    """A file that holds a record of any kind, shown as `print` and a notebook show it."""
    kind = kinds()[data.draw(st.sampled_from(list(kinds())))]
    path = folder / "record.json"
    path.write_bytes(content(data, kind))
    found = attempt(lambda: kind.read(path))
    if found is not None:
        attempt(lambda: (str(found), found._repr_html_(), kind.from_json(found.to_json())))


def read_pages(data: st.DataObject, folder: Path) -> None:
    """A file of which `archlab report` makes a page."""
    from archlab.cli.report import _record_in
    from archlab.reports.document import page

    path = folder / "record.json"
    path.write_bytes(content(data, kinds()[data.draw(st.sampled_from((*samples(), "NormHealth", "ExperimentResult")))]))
    found = attempt(lambda: _record_in(path))
    if found is not None:
        attempt(lambda: page([found]))


@cache
def _store(place: Path) -> Path:
    from tests.reports.samples import experiment

    experiment(place / "sound", seeds=2)
    return place / "sound"


def read_stores(data: st.DataObject, folder: Path) -> None:
    """A store in which one file is damaged, looked through and shown on a page."""
    from archlab.reports.document import page
    from archlab.store import open_store
    from archlab.tables.runs import store_table

    sound = _store(Path(tempfile.gettempdir()) / f"readers-{os.getpid()}")
    shutil.copytree(sound, folder / "store")
    paths = sorted(path for path in (folder / "store").rglob("*") if path.is_file() and "locks" not in path.parts)
    path = data.draw(st.sampled_from(paths))
    whole = path.read_bytes()
    if path.suffix == ".json" and data.draw(st.booleans()):
        path.write_bytes(data.draw(spoiling.documents(json.loads(whole))))
    else:
        path.write_bytes(data.draw(spoiling.damaged(whole)))
    if data.draw(st.integers(0, 3)) == 0:  # a run that is going, or was interrupted
        ended = next((folder / "store" / "runs").iterdir())
        partial_run = ended.rename(ended.with_name(f"{ended.name}~abc.partial"))
        epoch = json.dumps(samples()["Run"]["epochs"][0]) + "\n"
        (partial_run / "metrics.jsonl").write_bytes(data.draw(spoiling.damaged(epoch.encode() * 3)))
        (partial_run / "steps.bin").write_bytes(data.draw(st.binary(max_size=40)))
    store = open_store(folder / "store")
    runs, comparisons, problems = store.runs(), store.comparisons(), store.problems()
    for problem in problems:
        if wrong := unclear(problem.error):
            raise ViolationError(f"{wrong}: {problem.error[:300]!r}")
    attempt(lambda: str(store_table(runs, comparisons)))
    for run in runs:
        for read in (store.curves, store.recording, store.probes, partial(store.recording, last=2)):
            attempt(partial(read, run.key))
        attempt(partial(store.trace, run))
    items: list[Any] = [*comparisons, *runs]
    if data.draw(st.integers(0, 3)) == 0 and items:
        attempt(lambda: page(items, store=store))


def read_headers(data: st.DataObject, folder: Path) -> None:
    """Headers and indices of safetensors, the address of a live page, and a program of torch.export."""
    from archlab.networks.hugging_face.safetensors import checkpoint
    from archlab.reports.live.access import last_address

    entries = {"a.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "__metadata__": {"format": "pt"}}
    header = data.draw(spoiling.documents(entries))
    file = folder / "model.safetensors"
    file.write_bytes(data.draw(spoiling.damaged(len(header).to_bytes(8, "little") + header + bytes(16))))
    index = folder / "model.safetensors.index.json"
    index.write_bytes(data.draw(spoiling.documents({"weight_map": {"a.weight": "model.safetensors"}})))
    address = folder / ".live.json"
    address.write_bytes(data.draw(spoiling.documents({"token": "t" * 32, "port": 1234})))
    address.chmod(0o600)
    for path in (file, index, folder):
        found = attempt(partial(checkpoint, path))
        if found is not None:
            attempt(found.to_json)
            attempt(partial(str, found))
    last_address(address)


# Turns


READERS: dict[str, Reader] = {
    "records": read_records,
    "pages": read_pages,
    "stores": read_stores,
    "headers": read_headers,
    "idx": read_idx_files,
    "images": read_images,
    "cifar": read_cifar,
}


VIOLATIONS, COUNT = "violations.txt", "count.txt"


def examples(name: str, count: int, chosen: int, place: Path, until: float = float("inf")) -> Counter[str]:
    """How many files a reader was given, and what it did wrong with how many, by where.

    Args:
        name: of the reader.
        count: files at most.
        chosen: the seed that they are drawn by.
        place: an empty folder; of what went wrong the files stay in it.
        until: when to stop, by `time.monotonic`.
    """
    found: Counter[str] = Counter()
    numbers = itertools.count()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @seed(chosen)
    @given(data=st.data())
    def run(data: st.DataObject) -> None:
        if time.monotonic() > until:
            raise _TimeUpError  # a test that returned early would not be the same each time
        folder = place / f"{name}-{chosen}-{next(numbers)}"
        folder.mkdir()
        os.utime(place)
        try:
            READERS[name](data, folder)
        except Exception as error:
            if type(error).__module__.startswith("hypothesis"):
                raise
            words = f"{name}: {told(error)[:300]}"
            found[words] += 1
            if found[words] == 1:
                (folder / "traceback.txt").write_text("".join(traceback.format_exception(error)))
                with (place / VIOLATIONS).open("a") as file:
                    file.write(f"{words}\n    {folder}\n")
                return
        else:
            found[""] += 1
        shutil.rmtree(folder)

    with contextlib.suppress(_TimeUpError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a loss of 1e300 in a damaged file, whose square numpy warns of
        run()
    return found


def told(error: Exception) -> str:
    """What went wrong, and where in archlab."""
    if isinstance(error, ViolationError):
        return str(error)
    every = traceback.extract_tb(error.__traceback__)
    frame = [one for one in every if "site-packages" not in one.filename][-1]
    return f"{type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}: {error}"


def turn(name: str, chosen: int, place: Path, seconds: float = TURN) -> tuple[int, str]:
    """How many files a copy of this process gave a reader in some seconds, and what went wrong."""
    place.mkdir()

    def act() -> int:
        until, total = time.monotonic() + seconds, 0
        for number in itertools.count():
            if time.monotonic() > until:
                break
            total += sum(examples(name, 200, chosen * 1000 + number, place, until).values())
        (place / COUNT).write_text(str(total))
        return 0

    def alive() -> float:
        return time.monotonic() - (time.time() - place.stat().st_mtime)

    result = in_a_copy(act, place.with_suffix(".txt"), SECONDS * 2, alive)
    count = int((place / COUNT).read_text()) if (place / COUNT).exists() else 0
    lines = (place / VIOLATIONS).read_text().splitlines() if (place / VIOLATIONS).exists() else []
    if result.code:
        newest = max(
            (one for one in place.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime, default=place
        )
        wrong = result.violation or f"exit code {result.code}"
        lines += [f"{name}: {wrong}", f"    {newest}", *result.output.splitlines()[-3:]]
    return count, "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Give the readers turns as long as was asked for, and print what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(READERS), help="the reader to try")
    chosen = parser.parse_args(arguments)
    ends, given_files, violated = time.monotonic() + 60 * chosen.minutes, Counter[str](), 0
    place = Path(tempfile.mkdtemp(prefix="readers-"))
    samples()
    turns = itertools.cycle([chosen.only] if chosen.only else READERS)
    for number, name in enumerate(turns):
        left = ends - time.monotonic()
        if left <= 0:
            break
        folder = place / f"{name}{number}"
        count, wrong = turn(name, chosen.seed * 1000 + number, folder, min(TURN, left))
        given_files[name] += count
        if wrong:
            violated += 1
            print(wrong, flush=True)
        else:
            shutil.rmtree(folder)
    print(f"{dict(given_files)} files, {violated} turns with violations")
    if violated:
        print(f"what did it is in {place}")
    else:
        shutil.rmtree(place)
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
