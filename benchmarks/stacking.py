"""How much quicker several trainings are as one program than one after the other, by batch size and how many there are.

    python -m benchmarks.stacking                                  # LeNet with BatchNorm, on a processor
    python -m benchmarks.stacking resnet --option width=16 --counts 4 --batches 16 -o stacking.json
    python -m benchmarks.stacking --whole                          # six runs of digits, from the command to the store

Steps are timed as `archlab.training.stacking.choice` times them, whose choice is printed beside: in turns, in one
thread, by the process's own time (on an accelerator, by the clock's). With `--whole`, a worker and everything that it
does, for the first batch size and the last count: new stores in turns, with `--stack off` and with all in one stack.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, train_all
from archlab.training.preparation import Preparer
from archlab.training.stacking.choice import GAIN, choose


def steps(options: argparse.Namespace) -> list[dict[str, object]]:
    """The ratio for each batch size and number of networks."""
    torch.set_num_threads(1)
    preparer = Preparer(Execution(device=options.device, data_dir=options.data_dir))
    found: list[dict[str, object]] = []
    print(f"{'batch':>6} {'runs':>5} {'ratio':>6}  choice", flush=True)
    for batch in options.batches:
        for count in options.counts:
            configs = [config_of(options, seed, batch) for seed in range(count)]
            prepared = [preparer.prepare(config) for config in configs]
            networks = [run.network().to(preparer.device) for run in prepared]
            chosen = choose(networks, configs, preparer.dataset(prepared[0]))
            ratio = "" if chosen.ratio is None else f"{chosen.ratio:.2f}"
            print(f"{batch:6} {count:5} {ratio:>6}  {chosen.words}", flush=True)
            found.append({"batch": batch, "runs": count, "ratio": chosen.ratio, "most": chosen.most})
    return found


def whole(options: argparse.Namespace) -> list[dict[str, object]]:
    """The ratio of whole comparisons, from the call to the store."""
    found: list[dict[str, object]] = []
    for batch in options.batches:
        for count in options.counts:
            configs = [config_of(options, seed, batch) for seed in range(count)]
            ratios = []
            for _ in range(options.rounds):
                apart, together = (seconds(configs, options, stack) for stack in ("off", str(max(2, count))))
                ratios.append(apart / together)
            ratio = statistics.median(ratios)
            print(f"batch {batch}, {count} runs, {configs[0].epochs} epochs: {ratio:.2f} times as quick", flush=True)
            found.append({"batch": batch, "runs": count, "ratio": ratio, "ratios": ratios})
    return found


def seconds(configs: list[TrainingConfig], options: argparse.Namespace, stack: str) -> float:
    """What all runs take in a new store, with one worker: of a processor, or on an accelerator by the clock."""
    with tempfile.TemporaryDirectory() as folder:
        where = Execution(
            store=open_store(folder), device=options.device, data_dir=options.data_dir, workers=1, stack=stack
        )
        started = clock(options.device)
        train_all(configs, where)
        return clock(options.device) - started


def clock(device: str) -> float:
    """Seconds; for a processor those of the processes that have ended, which no other work lengthens."""
    times = os.times()
    return times.children_user + times.children_system if device == "cpu" else time.perf_counter()


def config_of(options: argparse.Namespace, seed: int, batch: int) -> TrainingConfig:
    """The configuration of a seed."""
    return TrainingConfig(
        network=options.network,
        options=dict(text.split("=", 1) for text in options.option),
        dataset=options.dataset,
        seed=seed,
        batch_size=batch,
        epochs=options.epochs,
        train_samples=options.train_samples,
        test_samples=options.test_samples,
    )


def main() -> int:
    """Print the ratios, and write them where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="lenet")
    parser.add_argument("--option", action="append", default=[], metavar="K=V", help="an option of the network")
    parser.add_argument("--batches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--counts", type=int, nargs="+", default=[2, 4, 12], help="how many runs")
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--test-samples", type=int)
    parser.add_argument("--whole", action="store_true", help="time whole comparisons")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side of whole comparisons")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    if options.whole:
        options.batches, options.counts = options.batches[:1], options.counts[-1:]
    rows = whole(options) if options.whole else steps(options)
    if options.output is not None:
        header = {"network": options.network, "device": options.device, "gain": GAIN, "whole": options.whole}
        options.output.write_text(json.dumps(header | {"rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
