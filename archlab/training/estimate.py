"""How long training will take, from a few steps of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from archlab.errors import ArchlabError, DivergedError, InputError
from archlab.networks.devices import accelerators
from archlab.networks.strangers import described
from archlab.records import Epoch, TrainingConfig
from archlab.records.settings import settled
from archlab.training.calibration import known_seconds
from archlab.training.engines.choosing import worker_count
from archlab.training.evaluation import EVALUATION_IMAGES
from archlab.training.execution import Execution
from archlab.training.loop import Trainer
from archlab.training.preparation import Preparation, Preparer
from archlab.training.probes.correlation import POINTS, lines_of
from archlab.training.probes.listening import has_weights
from archlab.training.probes.shift import MOST_LAYERS
from archlab.training.probes.smoothness import RATES
from archlab.training.probes.surface import PROBED_IMAGES

START_SECONDS = 3.0
"""Until workers are up."""
STEP_SECONDS = 0.5
"""A batch is made smaller for the trial if its step would take longer: by then nearly all of it is arithmetic."""
TRIAL_SECONDS = 0.1
"""Steps of a trial take about so long together, beside the first."""
LONG_SECONDS = 0.02
"""A step that takes so long is known from itself alone: what an epoch takes beside its steps is a few milliseconds."""
MOST_STEPS = 8
FORWARD_STEPS = 0.5
"""Of a forward pass on a CPU: .54 of LeNet's step, .45 of ResNet-20's."""
LOOK_STEPS = {"smoothness": 1.0 + len(RATES), "signals": 1.4, "rank": 0.3, "similarity": 0.3, "correlation": 1.5}
"""What a look takes in steps, beside a forward pass that some share (`python -m benchmarks.probing` measures them).

For `correlation` they are steps on as many images as lie on its lines.
"""
SHIFT_STEPS = 0.6
"""Of each gradient that `shift` takes: one, and one per layer. They don't go back to the first layer."""


@dataclass(frozen=True, slots=True)
class TimeEstimate:
    """How long some runs will take."""

    seconds: float
    """For all of them, side by side; those that diverged while they were timed count nothing."""
    failures: tuple[str, ...] = ()
    """How those diverged, once per variant."""
    runs: tuple[float, ...] = ()
    """The seconds of each, in their order."""


class _Times(NamedTuple):
    """What the parts of a training take, in seconds."""

    step: float
    """On a batch of the size that was asked for."""
    epoch: float
    """Of an epoch, beside its steps."""
    testing: float
    """An image of the test, with all evaluations."""
    precise: float
    """An image of the precise statistics."""
    probed: float
    """A step on the images that probes look at."""


def estimate_time(configs: Sequence[TrainingConfig], where: Execution | Preparer = Execution()) -> TimeEstimate:
    """The time that `train_all` will take: what an equal run took here before, else from a few timed steps.

    Args:
        configs: what is trained.
        where: where and how; or a preparer that executes so, whose networks and images are used.

    It is a guess: workers are taken not to slow each other, and a network whose steps are long is timed on smaller
    batches (`python -m benchmarks.estimate` holds it against trainings). It takes one to three seconds per variant
    itself; runs in the store are not considered.

    Raises:
        InputError: as `train_all`; or a network fails on these images, which it would do again in each run.

    >>> estimate_time([TrainingConfig(epochs=1)], Execution(device="cpu")).seconds < 60
    True
    """
    preparer = Preparer.of(where)
    device = preparer.device
    seconds: list[float] = []
    configs = [settled(config) for config in configs]
    before = known_seconds(configs, preparer.execution)
    known = [(replace(configs[place], seed=0, variant=""), found) for place, found in before.items()]
    failures: list[str] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for config in configs:
            alike = replace(config, seed=0, variant="")
            found = next((value for other, value in known if other == alike), None)
            if found is None:
                prepared = preparer.prepare(alike)
                try:
                    found = _run_seconds(prepared, device)
                except DivergedError as error:
                    found = 0.0
                    failures.append(str(error))
                except Exception as error:  # whatever a stranger's network may raise
                    raise _refusal(prepared, config.label, error) from error
                known.append((alike, found))
            seconds.append(found)
    finally:
        torch.set_num_threads(threads)
    if not seconds:
        return TimeEstimate(0.0)
    processes = worker_count(preparer.execution, accelerators=accelerators(device))
    return TimeEstimate(START_SECONDS + max(max(seconds), sum(seconds) / processes), tuple(failures), tuple(seconds))


def _run_seconds(prepared: Preparation, device: torch.device) -> float:
    """The time of one run."""
    config = prepared.config
    train, test = prepared.samples
    times = _timed(prepared, device)
    batches = train / min(config.batch_size, train)
    training = batches * times.step + times.epoch
    precise = min(train, config.precise_images) * times.precise
    looks = config.epochs * math.ceil(batches) // config.probe_every + 1 if config.probe_every else 0
    probing = looks * _look_steps(prepared) + config.landscape**2 * FORWARD_STEPS
    return config.epochs * (training + test * times.testing + precise) + probing * times.probed


def _look_steps(prepared: Preparation) -> float:
    """What a look with all probes takes, in steps on the images that they look at."""
    chosen = set(prepared.config.probed)
    steps = sum(LOOK_STEPS[name] for name in chosen - {"shift", "correlation"})
    if "correlation" in chosen:
        images = range(min(PROBED_IMAGES, prepared.samples[0]))
        steps += LOOK_STEPS["correlation"] * lines_of(images) * POINTS / len(images)
    if chosen & {"signals", "rank", "similarity"}:
        steps += FORWARD_STEPS  # one for all three
    if "shift" in chosen:
        layers = sum(map(has_weights, prepared.network("meta").modules()))
        steps += SHIFT_STEPS * (1 + min(MOST_LAYERS, max(0, layers - 1)))
    return steps


def _timed(prepared: Preparation, device: torch.device) -> _Times:
    """What the parts take, from a first look at two images and then from steps of the real size where they are short.

    A short step's time is the difference of an epoch of several and one of a single step: what an epoch takes beside
    its steps (the order, the accuracies) is thousands of steps of a small network at two images each.
    """
    train, test = prepared.samples
    batch = min(prepared.config.batch_size, train)
    rough = _epoch(prepared, device, min(2, train), 1).seconds / 2
    # Two at least, where there are: BatchNorm on maps of one position trains on no single image.
    size = max(min(2, batch), min(batch, int(STEP_SECONDS / max(rough, 1e-9)), train // 2))
    one = _epoch(prepared, device, size, 1)
    if one.seconds >= LONG_SECONDS:
        steps, several, step = 1, one, one.seconds
    else:
        steps = max(2, min(MOST_STEPS, int(TRIAL_SECONDS / max(one.seconds, 1e-9)), train // size))
        several = _epoch(prepared, device, size, steps)
        step = max(several.seconds - one.seconds, 0.1 * several.seconds) / (steps - 1)
    images, tested = size * steps, _tested(test, size * steps)
    return _Times(
        step=step * batch / size,
        epoch=max(one.seconds - step, 0.0),
        testing=several.evaluation_seconds / tested,
        precise=several.precise_seconds / min(images, train, prepared.config.precise_images),
        probed=step * min(PROBED_IMAGES, train) / size,
    )


def _tested(test: int, images: int) -> int:
    """How many test images a trial on so many training images looks at: a whole batch of an evaluation, if it may."""
    return min(test, max(images, min(EVALUATION_IMAGES, 8 * images)))


def _epoch(prepared: Preparation, device: torch.device, size: int, steps: int) -> Epoch:
    """What an epoch of so many steps takes; the first one, which is slower, is left out."""
    found, config = prepared.images, prepared.config
    images = min(size * steps, len(found.train.labels))
    some = prepared.dataset(images, _tested(prepared.samples[1], images), device)
    short = replace(config, epochs=3, batch_size=size, probe_every=0, probes=None, landscape=0, warmup=0.0, until=None)
    epochs = list(Trainer(prepared.network().to(device), some, short).epochs())
    return replace(
        epochs[-1],
        seconds=min(later.seconds - earlier.seconds for earlier, later in itertools.pairwise(epochs)),
        evaluation_seconds=min(epoch.evaluation_seconds for epoch in epochs[1:]),
        precise_seconds=min(epoch.precise_seconds for epoch in epochs[1:]),
    )


def _refusal(prepared: Preparation, name: str, error: Exception) -> ArchlabError:
    """What to tell of a network that fails on the images."""
    if isinstance(error, InputError):
        return error
    reason = str(error) if isinstance(error, ArchlabError) else described(error)
    return InputError(f"{name} can't be trained on {prepared.config.dataset}: {reason.rstrip('.')}")
