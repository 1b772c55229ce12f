"""What it costs to record BatchNorm, and to look with each probe.

    python -m benchmarks.probing [--only TEXT] [--rounds N]

Networks of the course and ResNet-20, on the digits, one thread each, as a worker trains. Two tables:

- recording: the training time of epochs with a record of BatchNorm at every step (`--record-every 1`, the default, all
  probes off) against none (`--record-every 0`). In each round two new trainings take turns by short epochs; the share
  is of the medians, and its median over the rounds is printed. Leaves with 1 where one is above 5 %.
- probes: the time of a look in steps of training on as many images as it looks at (256, or all, if there are fewer),
  forward, backward and optimiser. Looks and steps take turns; the median over the rounds counts. With a look per epoch,
  that is, of 256 images, a share of the whole time of an epoch, here of the digits' 1,437 images and of CIFAR's 50,000.
  Seconds are those of the processor, whatever else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from archlab.records import TrainingConfig
from archlab.records.config import PROBES
from archlab.training import datasets
from archlab.training.execution import Execution
from archlab.training.loop import Trainer
from archlab.training.optimizers import optimizer
from archlab.training.preparation import Preparer
from archlab.training.probes.correlation import POINTS, lines_of
from archlab.training.probes.looking import Probing
from archlab.training.probes.surface import PROBED_IMAGES, TrainingLoss

MOST_RECORDING = 0.05
"""Of training time."""
EPOCHS = {"digits": 1_437, "CIFAR": 50_000}
"""Training images."""


class Case(NamedTuple):
    """One network, and how it is trained."""

    config: TrainingConfig
    recorded: int
    """Training images of an epoch that is recorded: few, so that both sides see the machine in the same state."""
    turns: int
    """Such epochs in a round, each side's."""
    probed: int
    """Training images that probes choose theirs from."""


def _config(network: str, size: int, batch_size: int) -> TrainingConfig:
    return TrainingConfig(
        network, size=size, batch_size=batch_size, test_samples=16, precise_images=16, record_every=0, epochs=1000
    )


CASES = {
    "LeNet, 28 x 28, batch 16": Case(_config("lenet", 28, 16), recorded=256, turns=40, probed=1_437),
    "LeNet, 28 x 28, batch 256": Case(_config("lenet", 28, 256), recorded=512, turns=40, probed=1_437),
    "ResNet-20, 32 x 32, batch 64": Case(_config("resnet20", 32, 64), recorded=64, turns=5, probed=256),
    "ResNet, 96 x 96, batch 16": Case(_config("resnet", 96, 16), recorded=16, turns=5, probed=32),
    "DenseNet, 96 x 96, batch 16": Case(_config("densenet", 96, 16), recorded=16, turns=5, probed=32),
}
PREPARER = Preparer(Execution(device="cpu"))


def prepared(config: TrainingConfig, images: int) -> tuple[torch.nn.Module, datasets.Dataset, TrainingConfig]:
    """A new network, so many training images, and the settings."""
    run = PREPARER.prepare(replace(config, train_samples=images))
    return run.network(), PREPARER.dataset(run), run.config


def recording_share(case: Case, rounds: int) -> float:
    """What recording at every step adds to the training time, as a share."""
    shares = []
    for _ in range(rounds):
        trainers = [Trainer(*prepared(replace(case.config, record_every=every), case.recorded)) for every in (0, 1)]
        sides = [_Side(trainer) for trainer in trainers]
        for number in range(1 + case.turns):
            for side in sides if number % 2 else reversed(sides):
                side.train()
        without, recorded = (statistics.median(side.seconds[1:]) for side in sides)
        shares.append(recorded / without - 1)
    return statistics.median(shares)


class _Side:
    """A training that goes on epoch by epoch."""

    def __init__(self, trainer: Trainer) -> None:
        self._epochs = trainer.epochs()
        self._trained = 0.0
        self.seconds: list[float] = []
        """Of each epoch, training alone."""

    def train(self) -> None:
        """Train for one epoch."""
        trained = next(self._epochs).seconds
        self.seconds.append(trained - self._trained)
        self._trained = trained


def look_steps(case: Case, probe: str, rounds: int) -> tuple[float, float]:
    """What a look takes in steps on as many images, and a look at 256 in images trained on in the case's batches."""
    network, data, config = prepared(replace(case.config, probe_every=1, probes=probe), case.probed)
    network.train()
    loss = TrainingLoss(network, data.train, config.seed)
    images, labels = torch.split(loss.images, config.batch_size), torch.split(loss.labels, config.batch_size)
    update = optimizer(config, [held for held in network.parameters() if held.requires_grad])

    def train(images: Sequence[Tensor], labels: Sequence[Tensor]) -> None:
        for some, classes in zip(images, labels, strict=True):
            functional.cross_entropy(network(some), classes).backward()  # type: ignore[no-untyped-call]
            update.step(config.learning_rate)

    probing = Probing(network, network, data.train, config)
    probing.look(0)  # the first one is longer
    looked = lines_of(loss.images) * POINTS if probe == "correlation" else len(loss.labels)
    in_steps, in_images = [], []
    for number in range(1, rounds + 1):
        step = timed(partial(train, [loss.images], [loss.labels]))
        batches = timed(partial(train, images, labels))
        probing.before()
        look = timed(partial(probing.look, number))
        in_steps.append(look / step * len(loss.labels) / looked)
        in_images.append(look / batches * len(loss.labels) * PROBED_IMAGES / looked)
    return statistics.median(in_steps), statistics.median(in_images)


def timed(work: Callable[[], None]) -> float:
    """Seconds of this process that it takes, whatever else the machine does."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> int:
    """Print both tables."""
    parser = argparse.ArgumentParser(description="The cost of recording BatchNorm and of looking with each probe.")
    parser.add_argument("--only", default="", help="networks whose name has this in it")
    parser.add_argument("--rounds", type=int, default=7, help="turns, of which the median counts")
    parser.add_argument("--probes", default=",".join(PROBES), help="which, divided by commas")
    parser.add_argument("--no-recording", dest="recording", action="store_false", help="the second table alone")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = {name: case for name, case in CASES.items() if given.only in name}
    too_much = False
    if given.recording:
        print(f"{'recording at every step, probes off':45}{'share of training time':>25}")
    for name, case in cases.items() if given.recording else ():
        share = recording_share(case, given.rounds)
        too_much |= share > MOST_RECORDING
        print(f"{name:45}{share:>25.1%}", flush=True)
    print(f"\n{'look':45}{'steps':>7}" + "".join(f"{f'share, {name}':>18}" for name in EPOCHS))
    for name, case in cases.items():
        for probe in given.probes.split(","):
            steps, images = look_steps(case, probe, given.rounds)
            shares = "".join(f"{images / (images + every):>18.1%}" for every in EPOCHS.values())
            print(f"{f'{name}: {probe}':45}{steps:>7.1f}{shares}", flush=True)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
