"""What `archlab.watch` costs at its defaults.

    python -m benchmarks.watching [--only TEXT] [--rounds N] [--device NAME]

Two trainings of one network in a plain loop, one of them watched into a store, take turns step by step; a round is as
many steps as lie between two looks at the layers, so that the watched one has one look in it, 10 records of BatchNorm,
and what is written once per second. The first steps, which have more looks, are left out. One thread; random images,
which cost what real ones do. The ratio is of the sums over all rounds. On a CPU, seconds are those of the processor,
whatever else the machine does. Leaves with 1 where a ratio is above 1.05.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Generator
from typing import NamedTuple

import torch
from torch.nn import functional

import archlab
from archlab.training.watching.opening import EVERY

MOST = 1.05
WARM_UP = 40
"""Steps that are left out: behind the third early look."""


class Case(NamedTuple):
    """One network, and the batches that it is trained on."""

    network: str
    channels: int
    size: int
    batch_size: int


CASES = {
    "LeNet, 28 x 28, batch 16": Case("lenet", 1, 28, 16),
    "LeNet, 28 x 28, batch 256": Case("lenet", 1, 28, 256),
    "ResNet-20, 32 x 32, batch 64": Case("resnet20", 3, 32, 64),
}


def training(case: Case, store: str | None, device: torch.device) -> Generator[float, None, None]:
    """The seconds of each step; watched where there is a store."""
    torch.manual_seed(0)
    options = {"size": case.size} if case.network == "lenet" else {}
    network = archlab.build(case.network, **options).to(device).train()
    optimizer = torch.optim.Adam(network.parameters())
    images = torch.randn(case.batch_size, case.channels, case.size, case.size, device=device)
    labels = torch.randint(10, (case.batch_size,), device=device)
    run = archlab.watch(network, optimizer, store=store) if store else None
    try:
        while True:
            started = now(device)
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if run is not None:
                run.step(loss=loss)
            yield now(device) - started
    finally:
        if run is not None:
            run.close()


def now(device: torch.device) -> float:
    """Seconds of the processor, or of an accelerator that has come to the end of its work."""
    if device.type == "cpu":
        return time.process_time()
    torch.accelerator.synchronize(device)
    return time.perf_counter()


def ratio(case: Case, rounds: int, device: torch.device) -> tuple[float, float]:
    """Seconds of a plain step, and how many times as long a watched one takes."""
    with tempfile.TemporaryDirectory() as store:
        sides = [training(case, None, device), training(case, store, device)]
        seconds: list[list[float]] = [[], []]
        for number in range(WARM_UP + rounds * EVERY):
            for place in (0, 1) if number % 2 else (1, 0):
                seconds[place].append(next(sides[place]))
        plain, watched = (statistics.mean(found[WARM_UP:]) for found in seconds)
        for side in sides:
            side.close()
        return plain, watched / plain


def main() -> int:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    failed = False
    print(f"{'':32} {'plain step':>12} {'watched / plain':>16}")
    for name, case in CASES.items():
        if chosen.only in name:
            step, found = ratio(case, chosen.rounds, torch.device(chosen.device))
            failed |= found > MOST
            print(f"{name:32} {1000 * step:9.2f} ms {found:16.3f}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
