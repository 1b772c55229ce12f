"""What checkpoints cost: their share of a training's time, and how large they are.

    python -m benchmarks.checkpoints [--seconds S] [--every S]

Each of the course's networks and ResNet-20 is trained on digits for about `--seconds`, in this process, on one
thread, into a store, with the recordings of a default run. Measured is what `Checkpoints.keep_if_due` takes, the
disk's time and all, and what a network's attributes take to be looked at in each epoch. Leaves with 1 where the share
is above 2 %.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch

from archlab.records import TrainingConfig
from archlab.training import Execution, session
from archlab.training.checkpoint import LARGEST_SHARE, Checkpoints
from archlab.training.loop import Trainer
from archlab.training.preparation import Preparer
from archlab.training.progress import Progress
from archlab.training.stopping import Stop, StoppedError

SEEN_SECONDS = 1e-3
"""More than it takes to see that none is due."""


class Case(NamedTuple):
    """One training."""

    network: str
    size: int
    batch_size: int


CASES = {
    "LeNet, batch 16": Case("lenet", 28, 16),
    "LeNet, batch 256": Case("lenet", 28, 256),
    "ResNet-20, batch 128": Case("resnet20", 32, 128),
    "the course's ResNet, 96": Case("resnet", 96, 64),
    "the course's DenseNet, 96": Case("densenet", 96, 64),
}


class Costs:
    """Seconds that were spent on checkpoints, and how many there were."""

    def __init__(self) -> None:
        self.seconds, self.count, self.bytes = 0.0, 0, 0
        keep, hold = Checkpoints.keep_if_due, Trainer.hold

        def timed_keep(checkpoints: Checkpoints) -> None:
            started = time.perf_counter()
            keep(checkpoints)
            spent = time.perf_counter() - started
            self.seconds += spent
            self.count += spent > SEEN_SECONDS

        def timed_hold(trainer: Trainer, *, weights: bool = False) -> None:
            started = time.perf_counter()
            hold(trainer, weights=weights)
            self.seconds += time.perf_counter() - started

        Checkpoints.keep_if_due, Trainer.hold = timed_keep, timed_hold  # type: ignore[assignment,method-assign]


def measured(case: Case, seconds: float, every: float, costs: Costs) -> float:
    """How long it trained; `costs` grows."""
    stop, ends = Stop(), time.perf_counter() + seconds

    def watch(event: Progress) -> None:
        if time.perf_counter() > ends:
            stop.ask()

    config = TrainingConfig(network=case.network, epochs=10_000, batch_size=case.batch_size, size=case.size)
    with tempfile.TemporaryDirectory() as store:
        preparer = Preparer(Execution(store=store, device="cpu", checkpoint_seconds=every))
        started = time.perf_counter()
        with contextlib.suppress(StoppedError):
            session.run(config, preparer, watch, stop=stop)
        costs.bytes = max(path.stat().st_size for path in Path(store).glob("runs/*/checkpoint-*"))
        return time.perf_counter() - started


def main() -> int:
    """Print a line per network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=45.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two checkpoints, at least")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    costs, worst = Costs(), 0.0
    print(f"{'':28}{'checkpoints':>12}{'MB each':>9}{'ms each':>9}{'share of the time':>19}")
    for name, case in CASES.items():
        costs.seconds, costs.count = 0.0, 0
        total = measured(case, chosen.seconds, chosen.every, costs)
        share = costs.seconds / total
        worst = max(worst, share)
        each = 1e3 * costs.seconds / max(1, costs.count)
        print(f"{name:28}{costs.count:12}{costs.bytes / 1e6:9.1f}{each:9.0f}{share:19.2%}", flush=True)
    return 1 if worst > LARGEST_SHARE else 0


if __name__ == "__main__":
    sys.exit(main())
