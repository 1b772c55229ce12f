"""How long training will take, from a few steps of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from archlab.errors import ArchlabError, RunError
from archlab.records import Epoch, TrainingConfig
from archlab.training import datasets
from archlab.training.datasets import Dataset
from archlab.training.engine import default_workers
from archlab.training.execution import Execution
from archlab.training.loop import Trainer
from archlab.training.preparation import Preparation, Preparer
from archlab.training.probing import PROBED_IMAGES
from archlab.training.smoothness import RATES

START_SECONDS = 3.0
"""Until workers are up."""
LONGEST_TRIED_STEP_SECONDS = 0.3
"""A larger batch is not tried if its step would take longer."""


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """How long some runs will take."""

    seconds: float
    """For all of them, side by side; those that failed while they were timed count nothing."""
    failures: tuple[str, ...] = ()
    """What went wrong in those, once per variant."""


def estimate_time(configs: Sequence[TrainingConfig], where: Execution | Preparer = Execution()) -> TimeEstimate:
    """The time that `train_all` will take, from a few timed steps of each network.

    Args:
        configs: what is trained.
        where: where and how; or a preparer that executes so, whose networks and images are used.

    It is a guess, good to perhaps a third: workers are taken not to slow each other, and a network whose steps are
    long is timed on small batches. It takes about a second per variant itself; runs in the store are not considered.
    A variant that fails in these steps is no reason to leave the others out: it will fail again in its place.

    Raises:
        InputError: as `train_all`.

    >>> estimate_time([TrainingConfig(epochs=1)], Execution(device="cpu")).seconds < 60
    True
    """
    preparer = Preparer.of(where)
    device = preparer.device
    seconds: list[float] = []
    known: list[tuple[TrainingConfig, float]] = []
    failures: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for config in configs:
            alike = replace(config, seed=0, variant="")
            found = next((value for other, value in known if other == alike), None)
            if found is None:
                try:
                    found = _run_seconds(preparer.prepare(alike), device)
                except Exception as error:  # whatever a stranger's network may raise
                    if isinstance(error, ArchlabError) and not isinstance(error, RunError):
                        raise
                    found = 0.0
                    failures.append(str(error) if isinstance(error, RunError) else f"{type(error).__name__}: {error}")
                known.append((alike, found))
            seconds.append(found)
    finally:
        torch.set_num_threads(threads)
    if not seconds:
        return TimeEstimate(0.0)
    processes = preparer.execution.workers or default_workers(accelerator=device.type != "cpu")
    return TimeEstimate(START_SECONDS + max(max(seconds), sum(seconds) / processes), tuple(failures))


def _run_seconds(prepared: Preparation, device: torch.device) -> float:
    """The time of one run."""
    config, found = prepared.config, prepared.images
    train, test = prepared.samples
    batch = min(config.batch_size, train)
    tried: list[tuple[int, Epoch]] = []
    count = min(2, batch)
    while True:
        some = datasets.prepare(found, prepared.size, count, min(count, len(found.test.labels)), device)
        tried.append((count, _short_epoch(prepared, some)))
        larger = min(4 * count, batch)
        if larger == count or tried[-1][1].seconds * larger / count > LONGEST_TRIED_STEP_SECONDS:
            break
        count = larger
    batches = train / batch
    training = batches * _at(batch, [(size, epoch.seconds) for size, epoch in tried])
    precise = min(batches, config.precise_batches) * _at(
        batch, [(size, epoch.precise_seconds) for size, epoch in tried]
    )
    testing = test / len(some.test) * tried[-1][1].evaluation_seconds
    probed = _at(min(PROBED_IMAGES, train), [(size, epoch.seconds) for size, epoch in tried])
    looks = config.epochs * math.ceil(batches) // config.probe_every + 1 if config.probe_every else 0
    # On a CPU a forward pass takes about half of a step: .54 of LeNet's, .45 of ResNet-20's.
    probing = looks * (1 + len(RATES)) * probed + config.landscape**2 * probed / 2
    return config.epochs * (training + testing + precise) + probing


def _at(batch: int, times: list[tuple[int, float]]) -> float:
    """The time of a batch from those of smaller ones: on the line through the last two."""
    count, last = times[-1]
    if len(times) == 1:
        return last * batch / count
    smaller, first = times[-2]
    return last + max(last - first, 0.0) / (count - smaller) * (batch - count)


def _short_epoch(prepared: Preparation, dataset: Dataset) -> Epoch:
    """What a step on the whole of a small data set takes; the first one, which is slower, is left out."""
    size = len(dataset.train)
    short = replace(prepared.config, epochs=3, batch_size=size, warmup=0.0, until=None, probe_every=0, landscape=0)
    trainer = Trainer(prepared.network().to(dataset.train.images.device), dataset, short)
    epochs = list(trainer.epochs())
    return replace(
        epochs[-1],
        seconds=(epochs[2].seconds - epochs[0].seconds) / 2,
        evaluation_seconds=min(epoch.evaluation_seconds for epoch in epochs[1:]),
        precise_seconds=min(epoch.precise_seconds for epoch in epochs[1:]),
    )
