"""Comparisons that are killed at random, and gone on with until they are done: equal to the bit, and little is lost.

    python -m tests.faults.kills [--kills N] [--seed S]

Processes train the same configurations into one store, two workers each, with a checkpoint every `INTERVAL` seconds.
At a random time after the first sign of a training each is ended: by SIGKILL with its workers, by SIGKILL alone, by
SIGTERM, by Ctrl-C, or by a disk that takes no larger files. Then the next one goes on. When all runs are there, an
empty store takes the place of the old one. It holds: every run has the curves, statistics and answers of a training
that nobody disturbed; none is finished twice; none is lost; and what is done again after a kill took no longer than
`INTERVAL` and the longest stretch of that run between two signs: an evaluation, in which there are no checkpoints;
but for a disk that takes no checkpoint either, after which what was done since the last one is done again.
(Twice `INTERVAL` is allowed: where a checkpoint took more than 2 % of it, the next one comes later.)
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from archlab.records import Run, TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, train_all
from tests.faults.equality import numbers, unequal

INTERVAL = 3.0
CONFIG = TrainingConfig(
    network="lenet", epochs=12, train_samples=1200, test_samples=100, batch_size=16, probe_every=60, probes="signals"
)
WAYS = ("kill all", "kill parent", "terminate", "interrupt", "full disk")
FULL_BYTES = 100_000
"""Of the largest file on the full disk: less than a checkpoint."""
PROCESS = """
import sys, time
from tests.faults.kills import INTERVAL, configs
from archlab.store import open_store
from archlab.training import Execution, train_all
from archlab.training import session
with open(sys.argv[2], "a") as log:
    def note(event):
        log.write(f"{time.time()} {event.key} {event.state} {event.step}\\n")
        log.flush()
    where = Execution(store=open_store(sys.argv[1]), workers=2, device="cpu", checkpoint_seconds=INTERVAL)
    train_all(configs(int(sys.argv[3])), where, note)
"""


def configs(epochs: int = CONFIG.epochs) -> list[TrainingConfig]:
    """What is trained: with BatchNorm and without, two seeds each."""
    found = replace(CONFIG, epochs=epochs)
    return [replace(found, seed=seed, options={"norm": norm}) for norm in ("batch", "none") for seed in (0, 1)]


@dataclass(slots=True)
class Tally:
    """What was seen."""

    kills: dict[str, int] = field(default_factory=dict)
    lost: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of training that had to be done again, per run that was under way, and its longest silence."""
    without_room: list[tuple[float, float]] = field(default_factory=list)
    """The same where the disk took no checkpoint."""
    violations: list[str] = field(default_factory=list)
    rounds: int = 0


def once(folder: Path, chance: random.Random, tally: Tally, expected: Sequence[Run], whole: Path, kills: int) -> None:
    """Kill and go on until all runs are there, or so many kills have been."""
    store = open_store(folder / "store")
    log = folder / "log"
    log.touch()
    epochs = expected[0].config.epochs
    while True:
        way = chance.choice(WAYS) if sum(tally.kills.values()) < kills else ""
        done = log.stat().st_size
        process = subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(store.path), str(log), str(epochs)],
            stderr=subprocess.DEVNULL,
            preexec_fn=_fill if way == "full disk" else None,
        )
        if way:
            _until(lambda: process.poll() is not None or " step " in _since(log, done))  # noqa: B023
            time.sleep(chance.uniform(0.0, 4.0))
            with log.open("a") as file:
                file.write(f"{time.time()} {way.replace(' ', '-')} ended-by 0\n")
            if process.poll() is None or way == "full disk":
                tally.kills[way] = tally.kills.get(way, 0) + 1
                _end(process, way)
        process.wait(600)
        _until(lambda: not _going(store.path))
        if not way or (process.returncode == 0 and way != "full disk"):
            break
    runs = train_all(configs(epochs), Execution(store=store, workers=2, device="cpu"))
    events = [line.split() for line in log.read_text().splitlines() if len(line.split()) == 4]
    _count_lost(events, tally)
    for run, one in zip(runs, expected, strict=True):
        if run.status != "finished":
            tally.violations.append(f"{run.key} is {run.status}: {run.error}")
        elif apart := unequal(numbers(run, store), numbers(one, open_store(whole))):
            tally.violations.append(f"{run.key} has other {', '.join(apart[:5])}")
    ended = [event[1] for event in events if event[2] == "finished"]
    if len(set(ended)) < len(ended):
        tally.violations.append(f"finished twice: {ended}")
    names = sorted(item.name for item in (store.path / "runs").iterdir())
    if names != sorted(run.key for run in runs) or store.problems():
        tally.violations.append(f"the store holds {names} and {store.problems()}")
    tally.rounds += 1


def _count_lost(events: Sequence[Sequence[str]], tally: Tally) -> None:
    """Of each run that went on after a kill: from when its step was done for the first time to the last sign of it."""
    reached: dict[str, list[tuple[int, float]]] = {}
    way = ""
    for moment, run, state, step in events:
        if state == "ended-by":
            way = run
        if state == "started" and reached.get(run):
            signs = [at for _, at in reached[run]]
            first = next((at for number, at in reached[run] if number >= int(step)), signs[-1])
            silence = max((after - before for before, after in itertools.pairwise(signs)), default=0.0)
            lost = tally.without_room if way == "full-disk" else tally.lost
            lost.append((signs[-1] - first, silence))
        if state in ("started", "step", "measuring", "epoch"):
            reached.setdefault(run, []) if state != "started" else reached.update({run: []})
            reached[run].append((int(step), float(moment)))


def _fill() -> None:
    """Have the process find no room for larger files."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FULL_BYTES, resource.RLIM_INFINITY))


def _end(process: subprocess.Popen[bytes], way: str) -> None:
    workers = _children(process.pid)
    with contextlib.suppress(ProcessLookupError):
        if way == "terminate":
            process.send_signal(signal.SIGTERM)
        elif way == "interrupt":
            process.send_signal(signal.SIGINT)
        elif way != "full disk":
            process.kill()
    for worker in workers if way == "kill all" else ():
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def _children(parent: int) -> list[int]:
    """Processes that a process has started; empty where the system doesn't say so."""
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return []


def _going(store: Path) -> bool:
    """Whether a worker still ends its step."""
    return any(run.status == "running" for run in open_store(store).runs())


def _since(log: Path, place: int) -> str:
    return log.read_bytes()[place:].decode()


def _until(is_so: object, seconds: float = 120.0) -> None:
    assert callable(is_so)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not is_so():
        time.sleep(0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill as often as was asked, and say what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    chance, tally = random.Random(chosen.seed), Tally()
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        expected = train_all(configs(), Execution(store=whole, workers=2, device="cpu", checkpoint_seconds=0))
        while sum(tally.kills.values()) < chosen.kills:
            room = Path(name) / str(tally.rounds)
            room.mkdir()
            once(room, chance, tally, expected, whole, chosen.kills)
            print(f"{sum(tally.kills.values())} kills, {tally.rounds} comparisons: {tally.violations}", flush=True)
    tally.violations += [
        f"{seconds:.2f} s were lost, with {silence:.2f} s between two signs"
        for seconds, silence in tally.lost
        if seconds > 2 * INTERVAL + silence
    ]
    kinds = ", ".join(f"{count} x {way}" for way, count in sorted(tally.kills.items()))
    print(f"{sum(tally.kills.values())} kills ({kinds}) of {tally.rounds} comparisons with {len(configs())} runs each")
    if tally.lost:
        seconds = [seconds for seconds, _ in tally.lost]
        within = sum(value <= INTERVAL for value in seconds)
        print(f"{len(seconds)} times a run went on, {within} of them with less than {INTERVAL:g} s lost")
        print(f"lost were {statistics.median(seconds):.2f} s (median), {max(seconds):.2f} s at most")
    if tally.without_room:
        most = max(seconds for seconds, _ in tally.without_room)
        print(f"{len(tally.without_room)} times after a disk had no room for checkpoints: {most:.2f} s lost at most")
    print("; ".join(tally.violations) or "all as promised")
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
