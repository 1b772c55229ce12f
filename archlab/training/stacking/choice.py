"""Whether several trainings are quicker as one program than one after the other, by a few steps of both.

*Measuring semantics.* Copies of the networks, at their first weights, take steps on the first batch of their own data:
each by itself, and all as one, in turns. What is compared is the time of a step of all of them: on a processor the
process's own, which others on the machine don't lengthen; on an accelerator the clock's, once it has done all. The
ratio is the median over the turns, after one that isn't counted. The rest of a training (recording, tests) takes the
same time either way, and isn't in it.

The turn that isn't counted shows whether both give the same: for every network, the first update by gradient descent
may be off by `TOLERANCES` of its length at most. A network that computes across the images of a batch outside the
layers that are known, or whose layers do something else in each network, is found so.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from archlab.networks import members
from archlab.networks.strangers import contained, described
from archlab.records import TrainingConfig
from archlab.training import seeding
from archlab.training.checkpoint import NetworkState, UnkeptError
from archlab.training.datasets import Dataset
from archlab.training.evaluation import now
from archlab.training.kernels import fit
from archlab.training.norms import norm_layers
from archlab.training.optimizers import SGD, optimizer
from archlab.training.stacking.layers import UnstackableError, check_stackable
from archlab.training.stacking.lockstep import is_out_of_memory
from archlab.training.stacking.stack import Stack
from archlab.training.step import Step

TURNS, TRIAL_SECONDS = 5, 1.0
"""Turns that are counted; three of them where they take longer than so many seconds."""
GAIN = 1.05
"""Times as quick that a stack must be at least: it gives up that the same call gives the same bits."""
RATE = 0.1
"""Learning rate of the first update, by which both ways are compared."""
TOLERANCES = {"fp32": 1e-3, "tf32": 2e-2, "bf16": 1e-1}
"""Of the length of an update, by precision."""


@dataclass(frozen=True, slots=True)
class Choice:
    """How some trainings are trained."""

    most: int
    """Trainings of one stack; 1 for one after the other."""
    words: str
    """What was chosen and why, as a sentence without its full stop."""
    ratio: float | None = None
    """Times as quick as one after the other; None where that wasn't measured."""


def choose(
    networks: Sequence[nn.Module],
    configs: Sequence[TrainingConfig],
    dataset: Dataset,
    most: int | None = None,
    *,
    measured: bool = True,
) -> Choice:
    """How to train some networks of one structure. Nothing of them is changed, nor random states.

    Args:
        networks: on the device of the data, at their first weights.
        configs: theirs, which agree in batch size and precision.
        dataset: what they are trained on.
        most: trainings of one stack; None for all.
        measured: choose the quicker way; else a stack wherever it gives the same.
    """
    count = len(networks)
    size, short = min(most or count, count), ""
    apart = f"{count} runs are trained one after the other: "
    while size > 1:
        try:
            ratio = _tried(networks[:size], configs[:size], dataset, measured=measured)
        except UnstackableError as error:
            return Choice(1, f"{apart}{error}")
        except Exception as error:  # whatever a stranger's network may raise
            if not is_out_of_memory(error):
                return Choice(1, f"{apart}as one program they fail: {described(error)}")
            short, size = f"the memory is not enough for {size} as one program", size // 2
            continue
        if ratio is not None and ratio < GAIN:
            return Choice(1, f"{apart}as one program they would be {ratio:.2f} times as quick", ratio)
        at_a_time = "" if size == count else f", {size} at a time" + (f" ({short})" if short else "")
        gain = "" if ratio is None else f": {ratio:.2f} times as quick as one after the other"
        return Choice(size, f"{count} runs are trained as one program{at_a_time}{gain}", ratio)
    return Choice(1, f"{apart}{short or 'one at a time was asked for'}")


def _tried(
    networks: Sequence[nn.Module], configs: Sequence[TrainingConfig], dataset: Dataset, *, measured: bool
) -> float | None:
    """Times as quick as one after the other, where that is measured.

    Raises:
        UnstackableError: they can't be stacked, or don't give the same.
    """
    precision, device = configs[0].precision, dataset.train.images.device
    with seeding.preserved(device):
        alone, together = (_steps(networks, configs, dataset) for _ in range(2))
        _compare(alone, together, precision, device)
        if not measured:
            return None
        alone, together = (
            [replace(step, optimizer=optimizer(config, _trainable(step.network)), number=2) for step, config in pairs]
            for pairs in (zip(alone, configs, strict=True), zip(together, configs, strict=True))
        )
        stack = Stack(together, precision)
        ratios: list[float] = []
        started = time.perf_counter()
        while len(ratios) < 1 + TURNS and (len(ratios) < 4 or time.perf_counter() - started < TRIAL_SECONDS):
            one_by_one = _seconds(lambda: [step.take() for step in alone], device)
            ratios.append(one_by_one / _seconds(lambda: stack.take(together), device))
    return statistics.median(ratios[1:])


def _steps(networks: Sequence[nn.Module], configs: Sequence[TrainingConfig], dataset: Dataset) -> list[Step]:
    """A step of a copy of each network, by plain gradient descent."""
    steps = []
    for network, config in zip(networks, configs, strict=True):
        with contained():
            own = members.set_training(copy.deepcopy(network), True)
        own = fit(own, config, dataset.image_shape, dataset.train.images.device)
        if config.momentum is not None:
            for layer in norm_layers(own):
                layer.set_share(config.momentum)
        order = seeding.order(config.seed, 1, len(dataset.train))[: config.batch_size]
        images, labels = dataset.train.batch(order.to(dataset.train.images.device))
        plain, classes = SGD(_trainable(own)), len(dataset.classes)
        steps.append(Step(own, plain, images, labels, 1, RATE, classes, config.label_smoothing))
    return steps


def _compare(alone: Sequence[Step], together: Sequence[Step], precision: str, device: torch.device) -> None:
    """Take some steps each by itself and others as one, and hold the ones against the others.

    Raises:
        UnstackableError: something else came of it.
    """
    check_stackable([step.network for step in together])
    drawn, states = seeding.states(device), [NetworkState(step.network) for step in alone]
    firsts = [torch.cat([tensor.detach().flatten() for tensor in _trainable(step.network)]) for step in alone]
    for step in alone:
        step.take()
    if not _same(drawn, seeding.states(device)):
        raise UnstackableError("their networks draw random numbers")
    try:
        changed = [name for state in states for name in state.state()["attributes"]]
    except UnkeptError:
        changed = [("", "what it holds")]
    if changed:
        path, name = changed[0]
        raise UnstackableError(f"each step changes {name} of {path or 'the network'}, which is no parameter or buffer")
    Stack(together, precision).take(together)
    tolerance = TOLERANCES[precision]
    for first, one, other in zip(firsts, alone, together, strict=True):
        for held in (_trainable, _buffers):
            expected, found = (
                torch.cat([tensor.detach().flatten().double() for tensor in held(step.network)] or [torch.zeros(1)])
                for step in (one, other)
            )
            length = (expected - first if held is _trainable else expected).norm()
            if not (found - expected).norm() <= tolerance * length:
                raise UnstackableError("as one program they give something else")


def _trainable(network: nn.Module) -> list[Tensor]:
    return [parameter for parameter in members.parameters(network) if parameter.requires_grad]


def _buffers(network: nn.Module) -> list[Tensor]:
    return list(members.buffers(network))


def _same(one: object, other: object) -> bool:
    """Whether two random states are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return bool(torch.as_tensor(one == other).all()) if not isinstance(one, tuple) else one == other


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cpu":
        started = time.process_time()
        work()
        return time.process_time() - started
    begun = now(device)
    work()
    return now(device) - begun
