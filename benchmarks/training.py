"""How fast a whole comparison is beside what a user would run instead, and whether it finds the same.

    python -m benchmarks.training --data-dir DATA                    # the course's loop, half an hour
    python -m benchmarks.training --data-dir DATA --against memory   # a competent loop in memory, on all cores
    python -m benchmarks.training --data-dir DATA --against memory --lean   # archlab without its recordings
    python -m benchmarks.training --data-dir DATA --against lightning
    python -m benchmarks.training --data-dir DATA --network resnet --size 96 --seeds 1 --train-samples 2000
    python -m benchmarks.training --data-dir DATA --quick            # a smoke test: its ratios say nothing

One side is the command `archlab compare` with everything that it does: its estimate, the processes that train,
recordings, both evaluations, precise statistics, the store, the report. The other is one of `benchmarks.loops`. Both
train the same network on the same images with the same mathematics. The sides take turns; a throughput is training
images (runs x epochs x images) by the seconds of the whole side, its start included. `-o FILE` writes what was measured
as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from archlab.records import TrainingConfig
from archlab.store import open_store
from benchmarks.loops import LOOPS

REQUIRED = {
    ("course", 256): 5.0,
    ("course", 16): 4.5,
    ("memory", 256): 1.0,
    ("memory", 16): 1.0,
    ("lean", 256): 1.3,
    ("lean", 16): 1.3,
}
"""What is compared with, and the batch size -> the least ratio of throughputs, for LeNet."""
LEAN: dict[str, Any] = {"record_every": 0, "precise_every": 0}
"""Settings of archlab's side with `--lean`: no recordings, precise statistics after the last epoch alone."""
NORMS = ("batch", "none")


@dataclass(frozen=True)
class Side:
    """One side's turn."""

    images_per_second: float
    train_accuracy: dict[str, list[float]]
    """Norm -> accuracy in the last epoch, one value per seed."""
    test_accuracy: dict[str, list[float]]
    """With running statistics, as the course has it."""


def archlab_side(configs: Sequence[TrainingConfig], data_dir: str, images: int, device: str) -> Side:
    """Train everything with the command, from its start to its report; nothing is known from before."""
    config, own = configs[0], TrainingConfig(configs[0].network)
    settings = {name: value for name, value in asdict(config).items() if name not in ("options", "variant")}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items() if value != getattr(own, name)]
    words = [word.replace("--learning-rate", "--lr") for word in words if not word.startswith("--seed=")]
    with tempfile.TemporaryDirectory() as folder:
        command = ["compare", config.network, "--bn=off", f"--seeds={len(configs) // len(NORMS)}", *words]
        command += [f"--store={folder}", f"--data-dir={data_dir}", f"--device={device}"]
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", "from archlab.cli.app import main; main()", *command],
            check=True,
            capture_output=True,
            env=os.environ | {"ARCHLAB_CACHE": "off"},
        )
        seconds = time.perf_counter() - start
        runs = {(str(run.config.options["norm"]), run.config.seed): run for run in open_store(folder).runs()}
    accuracies = []
    for config in configs:
        last = runs[str(config.options["norm"]), config.seed].epochs[-1]
        evaluated = last.test_accuracy if last.test_accuracy_running is None else last.test_accuracy_running
        assert last.train_accuracy is not None
        assert evaluated is not None
        accuracies.append((last.train_accuracy, evaluated))
    return _side(configs, accuracies, images / seconds)


def other_side(name: str, configs: Sequence[TrainingConfig], data_dir: str, images: int, device: str) -> Side:
    """Train everything with one of the loops."""
    start = time.perf_counter()
    accuracies = LOOPS[name](configs, data_dir, device)
    return _side(configs, accuracies, images / (time.perf_counter() - start))


def _side(configs: Sequence[TrainingConfig], accuracies: Sequence[tuple[float, float]], throughput: float) -> Side:
    train: dict[str, list[float]] = {norm: [] for norm in NORMS}
    test: dict[str, list[float]] = {norm: [] for norm in NORMS}
    for config, (in_training, tested) in zip(configs, accuracies, strict=True):
        train[str(config.options["norm"])].append(in_training)
        test[str(config.options["norm"])].append(tested)
    return Side(throughput, train, test)


def compare(
    name: str,
    ours_as: Sequence[TrainingConfig],
    configs: Sequence[TrainingConfig],
    images: int,
    given: argparse.Namespace,
) -> list[float]:
    """The ratio of throughputs in each round, with everything about it printed."""
    ours, theirs = [], []
    for number in range(1, given.rounds + 1):
        theirs.append(other_side(name, configs, given.data_dir, images, given.device))
        ours.append(archlab_side(ours_as, given.data_dir, images, given.device))
        print(
            f"  round {number}: {name} {theirs[-1].images_per_second:,.0f} images/s, "
            f"archlab {ours[-1].images_per_second:,.0f}, "
            f"ratio {ours[-1].images_per_second / theirs[-1].images_per_second:.2f}",
            flush=True,
        )
    for norm in NORMS:
        for what, other, archlab in (
            ("train accuracy", theirs[0].train_accuracy[norm], ours[0].train_accuracy[norm]),
            ("test accuracy, running statistics", theirs[0].test_accuracy[norm], ours[0].test_accuracy[norm]),
        ):
            print(
                f"  norm={norm}, {what}: {name} {spread(other)}, archlab {spread(archlab)}: {verdict(other, archlab)}"
            )
    return [mine.images_per_second / other.images_per_second for mine, other in zip(ours, theirs, strict=True)]


def spread(values: Sequence[float]) -> str:
    """Mean, standard deviation and n in words."""
    deviation = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation} (n={len(values)})"


def verdict(one: Sequence[float], other: Sequence[float]) -> str:
    """Whether two means differ by more than the spread over seeds lets expect."""
    if len(one) < 4:
        return f"{len(one)} seeds say nothing"
    difference = statistics.mean(other) - statistics.mean(one)
    error = ((statistics.variance(one) + statistics.variance(other)) / len(one)) ** 0.5
    return f"difference {difference:+.4f}, {'within' if abs(difference) <= 3 * error else 'OUTSIDE'} 3 standard errors"


def main() -> int:
    """Print the ratios; the exit code is 1 if one is too small."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="the folder that holds FashionMNIST/raw")
    parser.add_argument("--against", choices=tuple(LOOPS), default="course")
    parser.add_argument("--lean", action="store_true", help="archlab with --record-every 0 --precise-every 0")
    parser.add_argument("--network", default="lenet")
    parser.add_argument("--size", type=int, help="height and width of the images")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; the median ratio counts")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[256, 16])
    parser.add_argument("--train-samples", type=int, default=12_000)
    parser.add_argument("--test-samples", type=int, default=2_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--output", type=Path, help="a JSON file")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 1 epoch, 1 round, 6,000 and 1,000 images")
    given = parser.parse_args()
    if given.quick:
        given.seeds, given.epochs, given.rounds = 2, 1, 1
        given.train_samples, given.test_samples = 6_000, 1_000
    if not Path(given.data_dir, "FashionMNIST", "raw").is_dir():
        parser.error(f"{given.data_dir} holds no FashionMNIST/raw")
    enough, measured = True, []
    for batch_size in given.batch_sizes:
        configs = [
            TrainingConfig(
                network=given.network,
                options={"norm": norm},
                variant=f"norm={norm}",
                dataset="fashion-mnist",
                seed=seed,
                epochs=given.epochs,
                batch_size=batch_size,
                size=given.size,
                train_samples=given.train_samples,
                test_samples=given.test_samples,
            )
            for seed in range(given.seeds)
            for norm in NORMS
        ]
        ours = [replace(config, **LEAN) for config in configs] if given.lean else configs
        print(
            f"{given.network}, batch {batch_size}: {len(configs)} runs, {given.epochs} epochs, "
            f"{given.train_samples:,} images, {'lean, ' if given.lean else ''}against {given.against}"
        )
        images = len(configs) * given.epochs * given.train_samples
        ratios = compare(given.against, ours, configs, images, given)
        required = REQUIRED.get(("lean" if given.lean else given.against, batch_size), 1.0)
        required = required if given.network == "lenet" else {"course": 1.8}.get(given.against, 1.0)
        ratio = statistics.median(ratios)
        print(f"  ratio: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f}, n={len(ratios)}), required {required}")
        enough &= ratio >= required
        measured.append({"batch_size": batch_size, "ratios": ratios, "median": ratio, "required": required})
    if given.output is not None:
        asked = {name: value for name, value in vars(given).items() if name not in ("output", "data_dir")}
        given.output.write_text(json.dumps({"asked": asked, "measured": measured}, indent=1) + "\n")
    return 0 if enough or given.quick else 1


if __name__ == "__main__":
    sys.exit(main())
