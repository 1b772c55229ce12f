"""Networks with planted faults: each ends in one clear message or in a result, and leaves nothing behind.

    python -m tests.faults.networks [--tries N] [--seed S] [--only WORDS]

Each network of `planting.py` is traced, trained for an epoch, or given to a command, by name or as a module, in a copy
of this process. What is violated is printed with what did it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from archlab.errors import ArchlabError
from tests.faults import deeds, leftovers, planting
from tests.faults.children import Result, in_a_copy
from tests.faults.messages import unclear

FILE = Path(planting.__file__)
SECONDS = 90.0
COLUMNS = ((), (), ("saved",), ("backward",), ("receptive-field",), ("source",), ("recomputed",))
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("shapes", "--depth", "all"),
    ("shapes", "--csv-or-json"),
    ("check", "--max-parameters", "1"),
    ("check", "--lint"),
    ("diff",),
    ("growth",),
    ("train", "--epochs", "1", "--train-samples", "40", "--test-samples", "20", "--batch-size", "20"),
    ("graph",),
)
WAYS = ("trace module", "trace name", "train module", "train name", "command")
MUST_FAIL = (
    *(f"a layer raises {name}" for name in deeds.ERRORS),
    "a layer matches no shape",
    "a layer views what can't be",
    "a layer adds other sizes",
    "a layer indexes too far",
    "a hook that fails",
    "a linear layer that doesn't fit",
    "channels that don't fit",
)
"""Faults of which no way may make a result."""


class Try(NamedTuple):
    """One network, and what is done with it."""

    plant: str
    way: str
    seed: int


def drawn(seed: int, place: int) -> Try:
    """The try of that number."""
    chance = random.Random(f"{seed}/{place}")
    plant = planting.PLANTS[(place * 7919 + seed) % len(planting.PLANTS)] if chance.random() < 0.9 else ""
    return Try(plant or chance.choice(planting.PLANTS), chance.choice(WAYS), chance.randrange(10**6))


def act(one: Try, store: Path) -> list[str]:
    """What is violated where a network is traced or trained in this process."""
    import archlab

    chance = random.Random(one.seed)
    source = f"{FILE}:planted"
    subject: Any = source
    if one.way.endswith("module"):
        try:
            subject = planting.planted(one.plant, one.seed)
        except BaseException:  # its constructor is what fails: archlab sees none of it
            return []
    options: dict[str, Any] = {} if one.way.endswith("module") else {"plant": one.plant, "seed": one.seed}
    columns = chance.choice(COLUMNS)

    def do() -> object:
        if one.way.startswith("trace"):
            return archlab.trace(subject, "1x1x8x8", columns=columns, **options)
        few: dict[str, Any] = {"epochs": 1, "train_samples": 40, "test_samples": 20, "batch_size": 20, "store": store}
        return archlab.train(subject, progress=False, options=options, **few)

    held = leftovers.network(subject) if not isinstance(subject, str) else {}
    before, found, result = leftovers.process(), list[str](), None
    try:
        result = do()
    except ArchlabError as error:
        if wrong := unclear(str(error)):
            found.append(f"{wrong}: {str(error)[:300]!r}")
        elif not any(word in str(error).lower() for word in ("planted", "network", "giving", "blocks", "head", "stem")):
            found.append(f"no word of which network: {error}")
    except KeyboardInterrupt:
        if "Interrupt" not in one.plant:
            found.append("an interrupt that nobody made")
    except BaseException as error:
        import traceback

        every = traceback.extract_tb(error.__traceback__)
        own = [f"{Path(item.filename).name}:{item.lineno}" for item in every if "/archlab/" in item.filename]
        found.append(f"{type(error).__name__} out of archlab, by {' '.join(own[-4:])}")
    if result is not None and one.plant in MUST_FAIL:
        found.append("a result of what fails")
    if left := leftovers.changed(before, leftovers.process()):
        found.append(f"left behind: {left}")
    if not isinstance(subject, str) and (left := leftovers.changed(held, leftovers.network(subject))):
        found.append(f"changed of the network: {left[:300]}")
    return found


def command(one: Try, store: Path) -> tuple[list[str], Callable[[], None]]:
    """A command line, and what runs it in this process."""
    chance = random.Random(one.seed)
    name, *rest = chance.choice(COMMANDS[:3] if one.plant == planting.ENDLESS else COMMANDS)
    source = [f"{FILE}:planted", "--option", f"plant={one.plant}", "--option", f"seed={one.seed}"]
    if name == "diff":
        source.insert(1, "lenet")
    if name == "train":
        rest += ["--store", str(store)]
    else:
        rest += ["--input", "1x1x8x8"] if name != "growth" else []
        rest += ["--timeout", "1" if one.plant == planting.ENDLESS else "30"] if name in ("shapes", "check") else []
    rest = ["--format", chance.choice(("csv", "json", "markdown"))] if rest == ["--csv-or-json"] else rest
    words = [name, *source, *(word for word in rest if word != "--csv-or-json")]

    def run() -> None:
        sys.argv = ["archlab", *words]
        from archlab.cli.app import main

        main()

    return words, run


def judged(one: Try, words: list[str], result: Result) -> list[str]:
    """What is violated in what a command left behind."""
    found = [result.violation] if result.violation else []
    if result.code not in (0, 1, 2, 130):
        found.append(f"exit code {result.code}")
    if result.code == 0 and (one.plant in MUST_FAIL or "--max-parameters" in words):
        found.append("a gate that is passed")
    if result.code in (1, 2) and not result.violation:
        message = result.errors.strip()
        if words[0] != "check" and (wrong := unclear(message, lines=40)):
            found.append(f"{wrong}: {message[-300:]!r}")
    if result.code == 0 and "HELLO" in result.said:
        found.append("what the network prints is among the data")
    return found


def tried(one: Try, folder: Path) -> list[str]:
    """What is violated by one network."""
    folder.mkdir()
    if one.way == "command":
        words, run = command(one, folder / "store")
        result = in_a_copy(run, folder / "output", SECONDS)
        return judged(one, words, result)

    def run_here() -> None:
        found = act(one, folder / "store")
        (folder / "found.json").write_text(json.dumps(found))
        os._exit(0)  # whatever stands in the way of an end

    result = in_a_copy(run_here, folder / "output", SECONDS)
    if not (folder / "found.json").exists():
        return [result.violation or f"exit code {result.code}", *result.output.splitlines()[-2:]]
    found: list[str] = json.loads((folder / "found.json").read_text())
    return found + ([result.violation] if result.violation.endswith("GB") else [])


def main(arguments: list[str] | None = None) -> int:
    """Try as many as were asked for, and print what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="words of the faults to try")
    chosen = parser.parse_args(arguments)
    prepare()
    violated, ways, done = 0, Counter[str](), 0
    with tempfile.TemporaryDirectory() as name:
        for place in range(chosen.tries):
            one = drawn(chosen.seed, place)
            if place % 100 == 99:
                one = one._replace(plant=planting.ENDLESS, way="command")
            if chosen.only not in f"{one.plant} / {one.way}":
                continue
            done += 1
            ways[one.way] += 1
            found = tried(one, Path(name) / str(place))
            if found:
                violated += 1
                print(f"{one}\n    " + "\n    ".join(item[:500] for item in found), flush=True)
    print(f"{done - violated} of {done} networks as promised; {dict(ways)}")
    return 1 if violated else 0


def prepare() -> None:
    """Load what each copy needs, once."""
    import archlab.analysis.diff
    import archlab.networks
    import archlab.tracing
    import archlab.training.session  # noqa: F401

    torch.set_num_threads(1)  # a copy of a process has none of its threads


if __name__ == "__main__":
    sys.exit(main())
