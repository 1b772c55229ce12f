"""One step of a training: a batch, and the pass and update that it waits for.

`Trainer.epoch` is a generator that hands out a step and is sent what it gave. So whoever drives it decides how steps
are taken: each by itself (`driven`), or those of several trainings as one (`archlab.training.stacking`).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import RunError
from archlab.networks.strangers import contained, described, module_of, settings_kept
from archlab.training.evaluation import logits_of
from archlab.training.optimizers import Optimizer

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What a step gave."""

    predictions: Tensor
    """The class that each image was put into before the update, (images,) int64."""
    loss: Tensor
    """Mean over the batch, () in nats."""
    elsewhere: float = 0.0
    """Seconds in which its training waited for others that are driven with it."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A step that waits to be taken."""

    network: nn.Module
    optimizer: Optimizer
    images: Tensor
    """(images, channels, height, width), as the network is given them."""
    labels: Tensor
    """(images,) int64."""
    number: int
    """From 1."""
    rate: float
    """Learning rate."""
    classes: int
    """Of the data set."""
    label_smoothing: float = 0.0

    def take(self) -> Taken:
        """What it gives by itself: forward, backward, update.

        Raises:
            RunError: the network fails.
        """
        logits = logits_of(self.network, self.images, self.classes, f"step {self.number}")
        loss = F.cross_entropy(logits, self.labels, label_smoothing=self.label_smoothing)
        self._backward(loss)
        self.optimizer.step(self.rate)
        return Taken(logits.detach().argmax(1), loss.detach())

    def _backward(self, loss: Tensor) -> None:
        step = f"step {self.number}"
        if not loss.requires_grad:
            raise RunError(f"{step}: the loss depends on no parameter of the network that requires a gradient")
        try:
            with settings_kept(), contained():
                loss.backward()  # type: ignore[no-untyped-call]
        except Exception as error:  # whatever a stranger's network may raise
            place = module_of(error, self.network)
            raise RunError(f"{step}: the network failed in its backward pass{place}: {described(error)}") from error


Course = Generator[Step, Taken, T]
"""A part of a training that hands out its steps, and comes to a result."""


def driven(course: Course[T]) -> T:
    """What a course comes to, each step taken by itself; what a step raises is raised where it was handed out."""
    try:
        step = next(course)
        while True:
            try:
                taken = step.take()
            except BaseException as error:
                step = course.throw(error)
            else:
                step = course.send(taken)
    except StopIteration as end:
        result: T = end.value
        return result
