"""How much of the processor's peak the training steps of the course's networks reach, and what takes the time.

    python -m benchmarks.roofline [--repeat N] [-o FILE.json]

The peak is that of a large float32 matrix product here, in one thread. The work of a step is what archlab's trace says:
two floating-point operations per multiply-accumulate of the forward and the backward pass. Each network's steps are
measured with archlab's kernels and with the network's own modules, in turns; the shares of operations are
torch.profiler's. What moves memory and multiplies nothing (BatchNorm, pooling, activations) counts as time without
work, so that no network reaches the peak.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from archlab import trace
from archlab.records import TrainingConfig
from archlab.training.datasets import Dataset, Split
from archlab.training.loop import Trainer
from archlab.training.seeding import build
from archlab.training.step import driven

CASES = [("lenet", 28, 256), ("lenet", 28, 16), ("resnet", 96, 32), ("densenet", 96, 32)]
"""Network, height and width of the images, images per step."""
STEPS = {256: 10, 16: 100, 32: 1}
"""Images per step -> steps of one measurement."""
SHOWN = 6
PRODUCT = 2048
"""Rows and columns of the matrices whose product is the peak."""


def peak(repeat: int) -> float:
    """Floating-point operations per second of a large matrix product."""
    one, other = torch.rand(2, PRODUCT, PRODUCT)
    return 2 * PRODUCT**3 / min(_seconds(lambda: one @ other) for _ in range(max(3, repeat)))


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def steps(config: TrainingConfig, size: int, count: int) -> Callable[[], None]:
    """A function that takes so many steps of a training, without tests and without recording."""
    from archlab import build as made

    images = torch.randint(256, (count * config.batch_size, 1, size, size), dtype=torch.uint8)
    split = Split(images, torch.randint(10, (len(images),)))
    network = build(lambda: made(config.network, **config.options), 0)
    trainer = Trainer(network, Dataset(split, split, tuple("0123456789"), ""), replace(config, epochs=10**6))

    def take() -> None:
        driven(trainer._train(len(trainer.recorder.steps) // count + 1, lambda step: None))
        trainer._place = 0

    return take


def shares(take: Callable[[], None]) -> dict[str, float]:
    """Operation -> share of the time, of those that take most."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        take()
    found = {event.key: event.self_cpu_time_total for event in profiled.key_averages()}
    total = sum(found.values())
    largest = sorted(found, key=lambda key: -found[key])[:SHOWN]
    return {key.removeprefix("aten::"): found[key] / total for key in largest}


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    reached = peak(given.repeat)
    print(f"peak: {reached / 1e9:.0f} GFLOP/s, one thread, {PRODUCT} x {PRODUCT} matrices")
    print(f"{'network':10}{'size':>6}{'batch':>7}{'plain':>11}{'archlab':>11}{'ratio':>7}{'of peak':>9}  operations")
    measured = []
    for name, size, batch_size in CASES:
        config = TrainingConfig(network=name, options={"norm": "batch"}, batch_size=batch_size, record_every=0)
        work = trace(name, [(1, 1, size, size)], columns=("backward",), norm="batch").totals.step_macs
        assert work is not None
        count = STEPS[batch_size]
        ours, plain = (steps(replace(config, kernels=kernels), size, count) for kernels in ("fast", "plain"))
        ours()
        plain()
        pairs = [(_seconds(ours), _seconds(plain)) for _ in range(given.repeat)]
        fast, slow = (statistics.median(times) / count for times in zip(*pairs, strict=True))
        ratio = statistics.median(slow / fast for fast, slow in pairs)
        share = 2 * work * batch_size / fast / reached
        largest = shares(ours)
        print(
            f"{name:10}{size:6}{batch_size:7}{slow * 1000:8.1f} ms{fast * 1000:8.1f} ms{ratio:7.2f}{share:9.1%}  "
            + ", ".join(f"{key} {value:.0%}" for key, value in largest.items()),
            flush=True,
        )
        measured.append(
            {
                "network": name,
                "size": size,
                "batch_size": batch_size,
                "plain_seconds": slow,
                "seconds": fast,
                "ratio": ratio,
                "share_of_peak": share,
                "operations": largest,
            }
        )
    if given.output is not None:
        given.output.write_text(json.dumps({"peak": reached, "measured": measured}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
