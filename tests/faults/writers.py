"""Processes that want the same runs of one store, while they and their workers are killed and stopped at random.

    python -m tests.faults.writers [--tries N] [--writers N] [--seed S]

In each try some processes train the same configurations into one store, two workers each. Meanwhile processes of all of
them are killed or stopped, at random times. Afterwards one process asks for the same runs. It holds: each run is in the
store, finished, with the numbers of a training that nobody disturbed; none was finished by two processes; no
other run is left. A process that is stopped is woken after a while, which is what a machine does that swaps.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from archlab.records import Run, TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, train_all

CONFIG = TrainingConfig(network="lenet", epochs=2, train_samples=320, test_samples=64, batch_size=32)
RUNS, WORKERS = 6, 2
QUIET_SECONDS = 1.0
"""For processes to start, before the first is disturbed."""
PROCESS = """
import sys
from tests.faults.writers import configs
from archlab.store import open_store
from archlab.training import Execution, train_all
store = open_store(sys.argv[1])
with open(sys.argv[2], "a") as log:
    def note(event):
        if event.state == "finished":
            log.write(event.key + "\\n")
            log.flush()
    train_all(configs(int(sys.argv[3])), Execution(store=store, workers=WORKERS, device="cpu"), note)
""".replace("WORKERS", str(WORKERS))


def configs(count: int = RUNS) -> list[TrainingConfig]:
    """What is trained: one network with several seeds."""
    return [replace(CONFIG, seed=seed) for seed in range(count)]


def numbers(run: Run) -> list[tuple[float | None, ...]]:
    """What a run measured, without its times."""
    return [
        (epoch.train_loss, epoch.train_accuracy, epoch.test_loss, epoch.test_accuracy, epoch.test_loss_running)
        for epoch in run.epochs
    ]


def disturb(folder: Path, writers: int, kills: int, chance: random.Random, expected: Sequence[Run]) -> list[str]:
    """One try in an empty folder; what was violated, in sentences."""
    store = open_store(folder / "store")
    logs = [folder / f"{place}.log" for place in range(writers)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(store.path), str(log), str(len(expected))], stderr=subprocess.DEVNULL
        )
        for log in logs
    ]
    try:
        time.sleep(QUIET_SECONDS)
        for _ in range(kills):
            time.sleep(chance.uniform(0.0, 1.5))
            alive = [process.pid for process in processes if process.poll() is None]
            targets = [pid for parent in alive for pid in (parent, *_children(parent))]
            if not targets:
                break
            target = chance.choice(targets)
            with contextlib.suppress(ProcessLookupError):
                if chance.random() < 0.5:
                    os.kill(target, signal.SIGKILL)
                else:
                    os.kill(target, signal.SIGSTOP)
                    time.sleep(chance.uniform(0.0, 1.0))
                    os.kill(target, signal.SIGCONT)
        for process in processes:
            process.wait(300)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    runs = train_all(configs(len(expected)), Execution(store=store, workers=WORKERS, device="cpu"))
    finished = Counter(key for log in logs if log.exists() for key in log.read_text().split())
    found = [f"{key} was finished {count} times" for key, count in finished.items() if count > 1]
    found += [
        f"{run.key} is {run.status}: {run.error or 'other numbers'}"
        for run, whole in zip(runs, expected, strict=True)
        if run.status != "finished" or numbers(run) != numbers(whole)
    ]
    names = sorted(item.name for item in (store.path / "runs").iterdir())
    if names != sorted(run.key for run in runs):
        found.append(f"the store holds {names}")
    found += [f"{problem.path} can't be read: {problem.error}" for problem in store.problems()]
    return found


def _children(parent: int) -> list[int]:
    """Processes that a process has started; empty where the system doesn't say so."""
    try:
        return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except OSError:
        return []


def main() -> int:
    """Try as often as was asked, and say what was violated."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--kills", type=int, default=10, help="processes killed or stopped in each try")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        expected = train_all(configs(), Execution(store=Path(folder) / "whole", device="cpu"))
        violated = 0
        for place in range(arguments.tries):
            chance = random.Random(arguments.seed + place)
            room = Path(folder) / str(place)
            room.mkdir()
            found = disturb(room, arguments.writers, arguments.kills, chance, expected)
            violated += bool(found)
            print(f"try {place + 1} of {arguments.tries}: {'; '.join(found) or 'all as promised'}", flush=True)
    print(f"{arguments.tries - violated} of {arguments.tries} tries as promised")
    return 1 if violated else 0


if __name__ == "__main__":
    sys.exit(main())
