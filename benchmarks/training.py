"""How much faster a whole comparison is than the course's own loop, and whether it finds the same.

    python -m benchmarks.training --data-dir DATA            # 2 variants x 6 seeds, 2 epochs, half an hour
    python -m benchmarks.training --data-dir DATA --quick    # a smoke test: its ratios say nothing
    python -m benchmarks.training --data-dir DATA --device cuda --seeds 2 --rounds 1   # both sides on an accelerator

One side is `archlab.training.train_all` with everything that it does: start of the processes, recording, both
evaluations, population statistics, store. The other is the loop of the course: a DataLoader with two workers that
transforms one image at a time, `loss.item()` every step, an evaluation after each epoch, one run after the other, torch
with its default number of threads. Both train the same LeNet on the same images with the same mathematics. The sides
take turns; a throughput is training images (runs x epochs x images) by the seconds of the whole side.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archlab.records import TrainingConfig
from archlab.store import open_store
from archlab.training import Execution, train_all

REQUIRED = {256: 2.5, 16: 3.5}
"""Batch size -> the least ratio of throughputs."""
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
    """Train everything with archlab."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        runs = train_all(configs, Execution(store=open_store(folder), device=device, data_dir=data_dir))
        seconds = time.perf_counter() - start
    train: dict[str, list[float]] = {norm: [] for norm in NORMS}
    test: dict[str, list[float]] = {norm: [] for norm in NORMS}
    for run in runs:
        last = run.epochs[-1]
        norm = str(run.config.options["norm"])
        evaluated = last.test_accuracy if last.test_accuracy_running is None else last.test_accuracy_running
        assert last.train_accuracy is not None
        assert evaluated is not None
        train[norm].append(last.train_accuracy)
        test[norm].append(evaluated)
    return Side(images / seconds, train, test)


def course_side(configs: Sequence[TrainingConfig], data_dir: str, images: int, device: str) -> Side:
    """Train everything with the course's loop."""
    train: dict[str, list[float]] = {norm: [] for norm in NORMS}
    test: dict[str, list[float]] = {norm: [] for norm in NORMS}
    start = time.perf_counter()
    for config in configs:
        norm = str(config.options["norm"])
        train_accuracy, test_accuracy = course_run(config, data_dir, device)
        train[norm].append(train_accuracy)
        test[norm].append(test_accuracy)
    return Side(images / (time.perf_counter() - start), train, test)


def course_run(config: TrainingConfig, data_dir: str, device: str) -> tuple[float, float]:
    """The course's loop: accuracy over the last epoch, and on the test images after it."""
    import torch
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    from archlab import build
    from archlab.training.datasets import subset

    torch.manual_seed(config.seed)
    transform = transforms.Compose([transforms.ToTensor()])
    train_data, test_data = (FashionMNIST(data_dir, train=train, transform=transform) for train in (True, False))
    train_part = Subset(train_data, subset(len(train_data), config.train_samples or len(train_data)).tolist())
    test_part = Subset(test_data, subset(len(test_data), config.test_samples or len(test_data)).tolist())
    train_batches = DataLoader(train_part, config.batch_size, shuffle=True, num_workers=2)
    test_batches = DataLoader(test_part, config.batch_size, num_workers=2)
    network = build(config.network, **config.options).to(device)
    measure = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for _ in range(config.epochs):
        network.train()
        loss_sum, right, seen = 0.0, 0, 0
        for images, labels in train_batches:
            images, labels = images.to(device), labels.to(device)
            logits = network(images)
            loss = measure(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss_sum += loss.item()
            right += (logits.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
        network.eval()
        test_right, test_seen = 0, 0
        with torch.no_grad():
            for images, labels in test_batches:
                images, labels = images.to(device), labels.to(device)
                test_right += (network(images).argmax(dim=1) == labels).sum().item()
                test_seen += len(labels)
    return right / seen, test_right / test_seen


def compare(configs: Sequence[TrainingConfig], data_dir: str, images: int, rounds: int, device: str) -> float:
    """The median ratio of throughputs, with everything about it printed."""
    ours, theirs = [], []
    for number in range(1, rounds + 1):
        theirs.append(course_side(configs, data_dir, images, device))
        ours.append(archlab_side(configs, data_dir, images, device))
        print(
            f"  round {number}: course {theirs[-1].images_per_second:,.0f} images/s, "
            f"archlab {ours[-1].images_per_second:,.0f}, "
            f"ratio {ours[-1].images_per_second / theirs[-1].images_per_second:.2f}",
            flush=True,
        )
    for norm in NORMS:
        for name, course, archlab in (
            ("train accuracy", theirs[0].train_accuracy[norm], ours[0].train_accuracy[norm]),
            ("test accuracy, running statistics", theirs[0].test_accuracy[norm], ours[0].test_accuracy[norm]),
        ):
            print(
                f"  norm={norm}, {name}: course {spread(course)}, archlab {spread(archlab)}: {verdict(course, archlab)}"
            )
    return statistics.median(
        mine.images_per_second / other.images_per_second for mine, other in zip(ours, theirs, strict=True)
    )


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
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side; the median ratio counts")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=list(REQUIRED))
    parser.add_argument("--train-samples", type=int, default=60_000)
    parser.add_argument("--test-samples", type=int, default=10_000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quick", action="store_true", help="2 seeds, 1 epoch, 1 round, 6,000 and 1,000 images")
    options = parser.parse_args()
    if options.quick:
        options.seeds, options.epochs, options.rounds = 2, 1, 1
        options.train_samples, options.test_samples = 6_000, 1_000
    if not Path(options.data_dir, "FashionMNIST", "raw").is_dir():
        parser.error(f"{options.data_dir} holds no FashionMNIST/raw")
    enough = True
    for batch_size in options.batch_sizes:
        configs = [
            TrainingConfig(
                options={"norm": norm},
                variant=f"norm={norm}",
                dataset="fashion-mnist",
                seed=seed,
                epochs=options.epochs,
                batch_size=batch_size,
                train_samples=options.train_samples,
                test_samples=options.test_samples,
            )
            for seed in range(options.seeds)
            for norm in NORMS
        ]
        print(f"batch {batch_size}: {len(configs)} runs, {options.epochs} epochs, {options.train_samples:,} images")
        images = len(configs) * options.epochs * options.train_samples
        ratio = compare(configs, options.data_dir, images, options.rounds, options.device)
        required = REQUIRED.get(batch_size, 1.0)
        print(f"  ratio (median of {options.rounds}): {ratio:.2f}, required {required}")
        enough &= ratio >= required
    return 0 if enough or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
