"""Damage to the files of a store, one at a time, under every command that reads it.

    python -m tests.faults.damage [--tries N] [--seed S] [--only KIND]

Each try damages one file of a copy of a store: a bit is flipped, bytes are lost, added or exchanged, the file is gone,
or something else is in its place. Half of the stores are as this archlab writes them, half as one did that knew no
hashes. Then commands read it. It holds: no command ends in an error that nobody foresaw, hangs, or takes all memory;
the other runs are listed as before; a command that does not say that something is wrong says what it said before the
damage. Where there are hashes, `runs verify` always says it. Afterwards `runs repair` leaves nothing damaged, or `runs
delete` removes the run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

SECONDS = 60
"""After which a command hangs."""
BYTES = 12_000_000_000
"""Of addresses that the whole may take, of which torch reserves some."""
TRAINED: dict[str, Any] = {"train_samples": 64, "test_samples": 32, "epochs": 2, "probe_every": 4, "landscape": 3}
ENDED, INTERRUPTED, COMPARISON, TRACE = "ended", "interrupted", "comparison", "trace"


@dataclass(frozen=True)
class Sample:
    """A store to be damaged, and what commands say of it while it is whole."""

    path: Path
    hashed: bool
    runs: tuple[str, ...]
    """Keys of its ended runs; of these the first is looked at."""
    comparison: str
    said: dict[tuple[str, ...], tuple[int, str]]
    """Command -> its exit code and what it wrote to stdout; of those that were asked for."""

    def before(self, command: tuple[str, ...]) -> tuple[int, str]:
        """What a command says of the store while it is whole."""
        if command not in self.said:
            with moved_to(self.path):
                self.said[command] = call(command)[:2]
        return self.said[command]

    def victims(self) -> list[Path]:
        """What can be damaged, relative to the store."""
        found = (path for name in ("runs", "comparisons", "traces") for path in (self.path / name).rglob("*"))
        return sorted(path.relative_to(self.path) for path in found if path.is_file())


def what(victim: Path) -> str:
    """What a file belongs to."""
    kind = {"comparisons": COMPARISON, "traces": TRACE}.get(victim.parts[0], ENDED)
    return INTERRUPTED if victim.parts[1].endswith(".partial") else kind


def sample(folder: Path) -> Sample:
    """A store with two runs, their comparison and an interrupted run, in an empty folder."""
    import torch

    import archlab
    from archlab.analysis.comparison import summarise
    from archlab.comparing import design
    from archlab.records import Epoch

    store = archlab.open_store(folder / "store")
    configs = design("lenet", bn="off", seeds=1, **TRAINED).configs
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other where cores are few
    runs = [archlab.train(config, store=store, progress=False) for config in configs]
    torch.set_num_threads(threads)
    comparison = store.save_comparison(summarise(runs, command="archlab compare --bn off"))
    with store.writer(runs[0].config, {"torch": "1"}) as writer:
        writer.append(Epoch(1, 90, 0.5, 2.0, 0.25, 2.1, 0.3))
        writer.append_steps(store.curves(runs[0].key))
        if (recording := store.recording(runs[0].key)) is not None:
            writer.keep_recording(recording)
    return Sample(store.path, True, tuple(run.key for run in runs), comparison.key, {})


def unhashed(made: Sample, folder: Path) -> Sample:
    """The same store without any hash, in an empty folder."""
    import archlab

    shutil.copytree(made.path, folder / "store")
    store = archlab.open_store(folder / "store")
    for run in store.runs():
        if run.key in made.runs:
            (store.path / "runs" / run.key / "contents.json").unlink()
            (store.path / "runs" / run.key / "run.json").write_text(run.to_json())
    (one,) = store.comparisons()
    (store.path / "comparisons" / f"{one.key}.json").write_text(one.to_json())
    return replace(made, path=store.path, hashed=False, said={})


def commands(made: Sample) -> list[tuple[str, ...]]:
    """Every command that reads a store, without those that change it; the first few are quick."""
    run, other = made.runs
    return [
        ("runs", "list"),
        ("runs", "show", run),
        ("runs", "show", made.comparison),
        ("runs", "list", "--json"),
        ("runs", "show", run, "--json"),
        ("runs", "show", "newest", "--format", "csv"),
        ("runs", "list", "--sort", "test_accuracy"),
        ("bn", run),
        ("runs", "export", run, other, "-o", "export"),
        ("runs", "export", made.comparison, "--to", "tensorboard", "-o", "logs"),
        ("report", run, "-o", "page.html"),
        ("report", made.comparison, "-o", "page.html"),
        ("report", "--all", "-o", "index.html"),
        ("landscape", run, "--points", "3"),
    ]


@contextlib.contextmanager
def moved_to(store: Path) -> Iterator[None]:
    """A context in an empty folder, in which commands find that store."""
    before = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ |= {"ARCHLAB_STORE": str(store), "ARCHLAB_DEBUG": "1", "BROWSER": "true"}
        try:
            yield
        finally:
            os.chdir(before[0])
            os.environ.clear()
            os.environ.update(before[1])


def call(command: tuple[str, ...]) -> tuple[int, str, str, str]:
    """The exit code of a command, what it wrote, and what nobody foresaw; empty where nothing."""
    from typer.testing import CliRunner

    from archlab.cli.app import app

    def hang(*_: object) -> None:
        raise TimeoutError(f"no end within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(SECONDS)
    try:
        result = CliRunner().invoke(app, list(command))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    error = result.exception
    unforeseen = "" if error is None or isinstance(error, SystemExit) else _described(error)
    return result.exit_code, result.stdout, result.stderr, unforeseen


def _described(error: BaseException) -> str:
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-4:]]
    return f"{type(error).__name__}: {str(error)[:200]} ({' > '.join(places)})"


def flip(path: Path, chance: random.Random) -> None:
    """One bit."""
    content = bytearray(path.read_bytes())
    place = chance.randrange(8 * len(content))
    content[place // 8] ^= 1 << place % 8
    path.write_bytes(content)


def exchange(path: Path, chance: random.Random) -> None:
    """Some bytes become others."""
    content = bytearray(path.read_bytes())
    start, count = chance.randrange(len(content)), chance.choice((1, 4, 64, 4096))
    part = content[start : start + count]
    content[start : start + count] = chance.choice((b"\xff", b"\0", b'"', b"[", b"9"))[:1] * len(part)
    if content == path.read_bytes():
        flip(path, chance)
    else:
        path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    """The end is lost."""
    path.write_bytes(path.read_bytes()[: chance.choice((0, 1, 7, 8, -1, -8, chance.randrange(path.stat().st_size)))])


def append(path: Path, chance: random.Random) -> None:
    """Something follows."""
    with path.open("ab") as file:
        file.write(chance.choice((b"\0", b"x", b"{}", b'{"epoch": 3, "st', b"\xff\xfe\n", bytes(100), b"[1]\n")))


def lose(path: Path, chance: random.Random) -> None:
    """The file is gone."""
    path.unlink()


def nest(path: Path, chance: random.Random) -> None:
    """JSON that is nested deeply."""
    path.write_text(chance.choice(("[", '{"a":')) * 100_000 + "\n")


def displace(path: Path, chance: random.Random) -> None:
    """Something else is in its place."""
    path.unlink()
    make: list[Callable[[Path], object]] = [
        Path.mkdir,
        os.mkfifo,
        lambda at: at.symlink_to("nowhere"),
        lambda at: at.symlink_to("/dev/zero"),
        lambda at: at.symlink_to(at.name),
    ]
    chance.choice(make)(path)


def retype(path: Path, chance: random.Random) -> None:
    """A field has another type, is gone, or is out of all bounds; in arrays, another name, type or shape."""
    if path.suffix == ".safetensors":
        _retype_arrays(path, chance)
        return
    if path.suffix not in (".json", ".jsonl"):
        exchange(path, chance)
        return
    text = path.read_text()
    document = json.loads(text.splitlines()[0] if path.suffix == ".jsonl" else text)
    places = [place for place in _places(document) if place[1] != "sha256"]  # else it were one of an older archlab
    for _ in range(chance.choice((1, 1, 3))):
        holder, key = chance.choice(places)
        with contextlib.suppress(KeyError, IndexError):
            if chance.random() < 0.2:
                del holder[key]
            else:
                values: tuple[Any, ...] = (
                    None,
                    -1,
                    0,
                    10**30,
                    1e308,
                    "",
                    "é",
                    [],
                    {},
                    True,
                    "archlab.run/2",
                    [[]],
                    "../..",
                )
                holder[key] = chance.choice(values)
    changed = json.dumps(document, indent=None if path.suffix == ".jsonl" else 2) + "\n"
    path.write_text(changed if changed != text else "{}\n")


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield document, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _retype_arrays(path: Path, chance: random.Random) -> None:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file, save

    with safe_open(path, "numpy") as held:
        texts = held.metadata()
    arrays: dict[str, Any] = dict(load_file(path))
    name = chance.choice(sorted(arrays))
    array = arrays.pop(name)
    with np.errstate(invalid="ignore"):  # what is no number is none as an integer
        typed = array.astype(chance.choice((np.uint8, np.float64, np.bool_, np.int64, np.complex64)))
    changed: dict[str, Any] = {
        "renamed": {f"{name}x": array},
        "lost": {},
        "typed": {name: typed},
        "flat": {name: array.reshape(-1)},
        "deep": {name: array[None]},
        "short": {name: array[:-1] if array.ndim else array},
        "empty": {name: array[:0] if array.ndim else array},
    }
    before = path.read_bytes()
    content = save({**arrays, **changed[chance.choice(sorted(changed))]}, texts)
    path.write_bytes(content if content != before else save(arrays, texts))


DAMAGES = {damage.__name__: damage for damage in (flip, exchange, cut, append, lose, nest, displace, retype)}


def attempt(made: Sample, place: int, kind: str, chance: random.Random, *, quick: bool = False) -> list[str]:
    """One try; what was violated, in sentences."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        shutil.copytree(made.path, store)
        victims = made.victims()
        victim = victims[place % len(victims)]
        DAMAGES[kind](store / victim, chance)
        seen = Seen(made, store, victim)
        with moved_to(store):
            chosen = commands(made)
            reading = chosen[:3] if quick else [*chosen[:2], *chance.sample(chosen[2:], 3)]
            for command in reading:
                seen.read(command)
            seen.verify()
            if chance.random() < 0.5:
                seen.repair()
            else:
                seen.delete()
        about = f"{kind} of {'' if made.hashed else 'unhashed '}{what(victim)} {victim.name}"
        return [f"{about}: {one}" for one in seen.violated]


class Seen:
    """What commands say of a store in which one file is damaged."""

    def __init__(self, made: Sample, store: Path, victim: Path) -> None:
        self._made, self._store, self._victim = made, store, victim
        self._what = what(victim)
        self.violated: list[str] = []

    def _call(self, command: tuple[str, ...], codes: tuple[int, ...] = (0, 1, 2)) -> tuple[int, str, str]:
        code, out, err, unforeseen = call(command)
        if unforeseen:
            self.violated.append(f"archlab {' '.join(command)}: {unforeseen}")
        elif code not in codes:
            self.violated.append(f"archlab {' '.join(command)} left with {code}: {(err or out)[-300:]}")
        return code, out, err

    def read(self, command: tuple[str, ...]) -> None:
        """A command says what it said before, or that something is wrong; it lists the other runs in any case."""
        code, out, err = self._call(command)
        before, text = self._made.before(command)
        gone = self._what == COMPARISON and not os.path.lexists(self._store / self._victim)
        told = gone or code != before or "damaged" in err + out or "can't be read" in err + out or "warning" in err
        if not told and self._made.hashed and self._what != INTERRUPTED and out != text:
            self.violated.append(f"archlab {' '.join(command)} says something else, and no word of damage")
        if command == ("runs", "list"):
            lines = set(_rows(out))
            others = [key for key in (*self._made.runs, self._made.comparison) if key not in str(self._victim)]
            lost = [line for line in _rows(text) if line.startswith(tuple(others)) and line not in lines]
            self.violated += [f"not listed any more: {line}" for line in lost]

    def verify(self) -> None:
        """It says that something is wrong, where there are hashes."""
        code, out, _ = self._call(("runs", "verify"))
        lost = self._what == COMPARISON and not os.path.lexists(self._store / self._victim)  # as one that was deleted
        always = self._what == TRACE or (self._made.hashed and self._what != INTERRUPTED and not lost)
        if always and code != 1:
            self.violated.append(f"archlab runs verify left with {code}: {out[-300:]}")

    def repair(self) -> None:
        """Nothing is damaged afterwards; a dry run changes nothing."""
        files = _state(self._store)
        self._call(("runs", "repair", "--dry-run"), (0,))
        if _state(self._store) != files:
            self.violated.append("a dry run of archlab runs repair changed the store")
        self._call(("runs", "repair"), (0,))
        code, out, _ = self._call(("runs", "verify"))
        newer = "newer" in out
        if code and not newer:
            self.violated.append(f"damaged after archlab runs repair: {out[-600:]}")

    def delete(self) -> None:
        """What is damaged can be deleted, and is gone then."""
        if self._what == TRACE or (self._what == COMPARISON and not os.path.lexists(self._store / self._victim)):
            return  # is nobody's alone, or is gone already
        key = self._victim.stem if self._what == COMPARISON else self._victim.parts[1].partition("~")[0]
        self._call(("runs", "delete", key), (0,))
        _, out, err = self._call(("runs", "list"), (0,))
        if any(line.startswith(key) for line in out.splitlines()) or key in err.replace(self._made.comparison, ""):
            self.violated.append(f"{key} is there after archlab runs delete")


def _rows(text: str) -> list[str]:
    """The lines of a table, however wide its columns."""
    return [" ".join(line.split()) for line in text.splitlines()]


def _state(store: Path) -> list[tuple[str, int, int]]:
    paths = (path for path in sorted(store.rglob("*")) if "locks" not in path.parts)
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths if not path.is_dir()]


def main(arguments: list[str] | None = None) -> int:
    """Try as often as was asked, and print what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help=f"one of {', '.join(DAMAGES)}")
    chosen = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    kinds = [kind for kind in (*DAMAGES, *("flip",) * 4) if not chosen.only or kind == chosen.only]
    violated, tried = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        whole = sample(Path(folder) / "hashed")
        samples = [whole, unhashed(whole, Path(folder) / "unhashed")]
        for place in range(chosen.tries):
            chance = random.Random(f"{chosen.seed}/{place}")
            kind, made = chance.choice(kinds), samples[place % 2]
            found = attempt(made, chance.randrange(10**6), kind, chance)
            tried[kind] += 1
            violated += bool(found)
            for one in found:
                print(f"try {place}: {one}", flush=True)
    print(f"{chosen.tries - violated} of {chosen.tries} damages as promised; {dict(tried)}")
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
