"""Damaged files: each is read or refused in a message, and none raises, hangs or takes a gigabyte.

    python -m tests.faults.readers [--minutes N] [--seed S] [--only READER]

The readers take turns. In a turn a copy of this process has hypothesis draw files, reads them as archlab does and shows
what it has read: as a table, in a notebook, on a page. What is violated is printed with the file that did it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from archlab.errors import ArchlabError
from tests.faults import damage
from tests.faults.children import BYTES, in_a_copy
from tests.faults.messages import unclear

SECONDS = 10.0
"""That the reading of one file may take."""
TURN = 15.0
"""Seconds of a reader's turn."""
Reader = Callable[[st.DataObject, Path], object]


class ViolationError(Exception):
    """A file did what none may do."""


class _TimeUpError(KeyboardInterrupt):
    """Hypothesis lets interrupts through at once."""


def attempt(read: Callable[[], object]) -> Any:
    """What was read; None where it was refused, in a clear message.

    Raises:
        ViolationError: the message is none, or it took too long or too much memory.
    """
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = None
    try:
        found = read()
    except ArchlabError as error:
        if wrong := unclear(str(error)):
            raise ViolationError(f"{wrong}: {str(error)[:300]!r}") from None
    seconds = time.monotonic() - started
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    if seconds > SECONDS or more > BYTES:
        raise ViolationError(f"it took {seconds:.1f} s and {more / 1e9:.1f} GB")
    return found


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
    text = data.draw(damage.documents(sample or {"schema": kind.SCHEMA}))
    return data.draw(damage.damaged(text)) if data.draw(st.integers(0, 4)) == 0 else text


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
        path.write_bytes(data.draw(damage.documents(json.loads(whole))))
    else:
        path.write_bytes(data.draw(damage.damaged(whole)))
    if data.draw(st.integers(0, 3)) == 0:  # a run that is going, or was interrupted
        ended = next((folder / "store" / "runs").iterdir())
        partial_run = ended.rename(ended.with_name(f"{ended.name}~abc.partial"))
        epoch = json.dumps(samples()["Run"]["epochs"][0]) + "\n"
        (partial_run / "metrics.jsonl").write_bytes(data.draw(damage.damaged(epoch.encode() * 3)))
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
    header = data.draw(damage.documents(entries))
    file = folder / "model.safetensors"
    file.write_bytes(data.draw(damage.damaged(len(header).to_bytes(8, "little") + header + bytes(16))))
    index = folder / "model.safetensors.index.json"
    index.write_bytes(data.draw(damage.documents({"weight_map": {"a.weight": "model.safetensors"}})))
    address = folder / ".live.json"
    address.write_bytes(data.draw(damage.documents({"token": "t" * 32, "port": 1234})))
    address.chmod(0o600)
    for path in (file, index, folder):
        found = attempt(partial(checkpoint, path))
        if found is not None:
            attempt(found.to_json)
            attempt(partial(str, found))
    last_address(address)


# Images


def read_idx_files(data: st.DataObject, folder: Path) -> None:
    """A folder of Fashion-MNIST, of eight images, in which one file is damaged."""
    from archlab.training import torchvision_files
    from archlab.training.images import load_images

    own = {"train": ("train", 6), "test": ("t10k", 2)}
    kept, torchvision_files.IDX_FILES = torchvision_files.IDX_FILES, own
    try:
        place = folder / torchvision_files.LAYOUTS["fashion-mnist"].folder
        place.mkdir(parents=True)
        odd, named = data.draw(st.integers(0, 3)), itertools.count()
        for stem, count in own.values():
            for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
                whole = bytes([0, 0, 8, len(shape)]) + np.array(shape, ">u4").tobytes() + bytes(int(np.prod(shape)))
                suffix = ""
                if next(named) == odd:
                    whole = data.draw(damage.damaged(whole))
                    if data.draw(st.booleans()):
                        whole, suffix = data.draw(damage.packed(whole)), ".gz"
                (place / f"{stem}-{kind}-ubyte{suffix}").write_bytes(whole)
        attempt(lambda: load_images("fashion-mnist", folder))
    finally:
        torchvision_files.IDX_FILES = kept


FORMS: dict[str, dict[str, Any]] = {
    "png": {}, "gif": {}, "bmp": {}, "jpeg": {"progressive": True}, "webp": {}, "ppm": {}, "tiff": {},
    "tiff ": {"compression": "tiff_lzw"}, "tiff  ": {"compression": "packbits"}, "png ": {"bits": 4}, "jpeg ": {},
    "webp ": {"lossless": True}, "eps": {}, "pcx": {}, "ico": {}, "jpeg2000": {}, "dds": {}, "tga": {}, "sgi": {},
}  # fmt: skip
"""Formats of Pillow, also those that archlab doesn't read: a file's name says nothing of what is in it."""
MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "LA", "YCbCr")


@cache
def picture(form: str, mode: str) -> bytes:
    """A small image; empty where the format doesn't have that mode."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        whole = Image.linear_gradient("L").resize((12, 10))
        made = whole.convert("I").convert(mode) if mode == "I;16" else whole.convert("RGB").convert(mode)
        made.save(buffer, form.strip(), **FORMS[form])
    except (OSError, ValueError, KeyError):
        return b""
    return buffer.getvalue()


@st.composite
def pngs(draw: st.DrawFn) -> bytes:
    """A PNG whose parts have right sums, with sizes, kinds and contents that go together or not."""
    size = st.sampled_from((0, 1, 3, 4, 8, 1000, 9459, 70_000, 2**31 - 1))
    form = [draw(st.sampled_from((1, 2, 4, 8, 16, 3))), draw(st.sampled_from((0, 2, 3, 4, 6, 1)))]
    header = np.array([draw(size), draw(size)], ">u4").tobytes() + bytes([*form, 0, 0, draw(st.integers(0, 2))])
    kinds = (b"IDAT", b"PLTE", b"tRNS", b"zTXt", b"iTXt", b"iCCP", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IHDR", b"gAMA")
    bodies = (b"", b"\0" * 40, b"k\0\0" + zlib.compress(bytes(10**7)), zlib.compress(bytes(10**6)), b"\xff" * 26)
    parts = [
        damage.chunk(draw(st.sampled_from(kinds)), draw(st.sampled_from(bodies) | st.binary(max_size=30)))
        for _ in range(draw(st.integers(0, 4)))
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join([damage.chunk(b"IHDR", header), *parts, damage.chunk(b"IEND", b"")])


def read_images(data: st.DataObject, folder: Path) -> None:
    """A folder of images per class in which some file is damaged, or no photo."""
    from archlab.training.images import EXTENSIONS, load_images

    for kind in "ab":
        (folder / kind).mkdir()
        for number in range(3):
            (folder / kind / f"{number}.png").write_bytes(picture("png", "L"))
    whole = b""
    while not whole:
        form, mode = data.draw(st.sampled_from(list(FORMS))), data.draw(st.sampled_from(MODES))
        whole = picture(form, mode)
    odd = data.draw(pngs() if data.draw(st.integers(0, 3)) == 0 else damage.damaged(whole))
    (folder / "a" / f"odd{data.draw(st.sampled_from(sorted(EXTENSIONS)))}").write_bytes(odd)
    found = attempt(lambda: load_images(str(folder)))
    if found is not None:
        for part in (found.train, found.test):
            attempt(partial(part.pixels, np.arange(len(part.labels)), 8))


def read_cifar(data: st.DataObject, folder: Path) -> None:
    """A file of CIFAR-10, of two images, that is damaged or a pickle of something else."""
    import pickle

    from archlab.training.cifar import read_batch, read_names

    held = {"data": np.zeros((2, 3072), np.uint8), "labels": [0, 9], "label_names": list("abcdefghij")}
    whole = pickle.dumps(held, protocol=data.draw(st.sampled_from((2, 4))))
    path = folder / "batch"
    path.write_bytes(data.draw(damage.damaged(whole)))
    attempt(lambda: read_batch(path, 2, "labels", 10))
    attempt(lambda: read_names(path, "label_names", 10))


READERS: dict[str, Reader] = {
    "records": read_records,
    "pages": read_pages,
    "stores": read_stores,
    "headers": read_headers,
    "idx": read_idx_files,
    "images": read_images,
    "cifar": read_cifar,
}


# Turns

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
