"""Tests: what a network answers to images that it isn't trained on, with running and with precise statistics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import DivergedError, RunError
from archlab.networks.strangers import contained, described, module_of, settings_kept
from archlab.records import TrainingConfig
from archlab.training import population, seeding
from archlab.training.datasets import Dataset, Split
from archlab.training.norm_uses import NormObserver
from archlab.training.norms import NormLayer, evaluating, kept_statistics
from archlab.training.population import Moments

EVALUATION_IMAGES = 256
"""Of a batch. Larger ones are no faster, and hold more memory."""


class Tester:
    """Tests a network that is being trained, on the CPU or on an accelerator.

    Args:
        network: in training mode, as it is afterwards again.
        dataset: whose test images it answers, and of whose training images precise statistics are taken.
        config: of the training.
        norms: its BatchNorm layers.
        uses: sees how they are used.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        config: TrainingConfig,
        norms: Sequence[NormLayer],
        uses: NormObserver,
    ) -> None:
        self._network, self._dataset, self._config = network, dataset, config
        self._norms, self._uses = norms, uses
        self._device = dataset.train.images.device
        self.on_batch: Callable[[], None] = lambda: None
        """Called after each batch."""
        self.predicted: tuple[int, ...] = ()
        """Test images that the network put into each class the last time."""
        self.left_out: dict[str, int] = {}
        """Batches, by layer, that precise statistics are without."""

    def test(self, epoch: int, step: int) -> tuple[dict[str, Any], Mapping[str, Moments] | None]:
        """The fields of `Epoch` that a test gives, and the precise statistics where there are some.

        They are NaN after an epoch after which none are due.

        Raises:
            DivergedError: the loss is not finite.
        """
        split, started = self._dataset.test, self._now()
        with kept_statistics(self._norms), self._uses.evaluation():  # no test image enters the running statistics
            loss, accuracy = self._evaluate()
        evaluated = self._now()
        uses = {use.path: use for use in self._uses.uses()}
        if any(use.depends_on_test_batch for use in uses.values()):
            tested: dict[str, Any] = {"test_batch": min(EVALUATION_IMAGES, len(split))}
        else:
            tested = {}
        precise = [layer for layer in self._norms if not uses[layer.path].is_frozen]
        if not self._norms or any(uses[layer.path].depends_on_test_batch for layer in self._norms):
            self._check(epoch, step, loss)
            tested |= {"test_loss": loss, "test_accuracy": accuracy, "evaluation_seconds": evaluated - started}
            return tested, None
        tested |= {"test_loss_running": loss if math.isfinite(loss) else None, "test_accuracy_running": accuracy}
        if not self._is_due(epoch):
            return tested | {"evaluation_seconds": evaluated - started}, population.unknown(precise)
        moments = population.measure(self._network, precise, self._precise_batches())
        self.left_out = {path: found.left_out for path, found in moments.items()}
        measured = self._now()
        with population.applied(precise, moments):
            loss, accuracy = self._evaluate()
        self._check(epoch, step, loss)
        tested |= {
            "test_loss": loss,
            "test_accuracy": accuracy,
            "evaluation_seconds": self._now() - measured + evaluated - started,
            "precise_seconds": measured - evaluated,
        }
        return tested, moments

    def _is_due(self, epoch: int) -> bool:
        """Whether precise statistics are taken after an epoch."""
        every = self._config.precise_every
        return epoch == self._config.epochs or (every > 0 and epoch % every == 0)

    def _evaluate(self) -> tuple[float, float]:
        """As `evaluate`, and count what is predicted."""
        split = self._dataset.test
        loss, predictions = answers(self._network, split, self.on_batch)
        self.predicted = tuple(torch.bincount(predictions, minlength=len(self._dataset.classes)).tolist())
        return loss, (predictions == split.labels).sum().item() / len(split)

    def _check(self, epoch: int, step: int, loss: float) -> None:
        if math.isfinite(loss):
            return
        found = f"the test loss after epoch {epoch} (step {step}) is {loss}"
        if poisoned := [layer.path for layer in self._norms if not layer.is_finite]:
            raise DivergedError(
                f"{found}, though every training loss is finite: the running statistics of {poisoned[0]} are not"
            )
        raise DivergedError(f"{found}: lower the learning rate, now {self._config.learning_rate:g}")

    def _precise_batches(self) -> Iterator[Tensor]:
        """Training images of a fixed order, the same after each epoch and for every variant of a seed.

        In batches as large as those of an evaluation, also where training takes smaller ones: a layer behind others
        then sees nearly what it sees in an evaluation, and not what a batch of two makes of it.
        """
        split = self._dataset.train
        order = seeding.order(self._config.seed, 0, len(split)).to(self._device)[: self._config.precise_images]
        for indices in torch.split(order, max(self._config.batch_size, EVALUATION_IMAGES)):
            yield split.batch(indices)[0]
            self.on_batch()

    def _now(self) -> float:
        return now(self._device)


def now(device: torch.device) -> float:
    """Seconds, once a device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()


def evaluate(network: nn.Module, split: Split) -> tuple[float, float]:
    """Mean cross-entropy in nats and share of right answers, in evaluation mode; all modes are put back."""
    loss, predictions = answers(network, split)
    return loss, (predictions == split.labels).sum().item() / len(split)


def logits_of(network: nn.Module, images: Tensor, classes: int | None, when: str) -> Tensor:
    """What a network answers to a batch: floats (images, classes).

    Args:
        network: somebody's.
        images: the batch.
        classes: how many there are; None where that isn't known.
        when: it is asked, for a message: "step 3".

    Raises:
        RunError: it fails, or answers something else.
    """
    logits: Tensor
    try:
        with settings_kept(), contained():
            logits = network(images)
    except Exception as error:  # whatever a stranger's network may raise
        raise RunError(
            f"{when}: the network failed on a batch of shape {tuple(images.shape)}{module_of(error, network)}: "
            + described(error)
        ) from error
    shape = tuple(logits.shape) if isinstance(logits, Tensor) and not logits.is_nested else None
    if shape is None or len(shape) != 2 or shape != (len(images), classes or shape[1]):
        raise RunError(
            f"the network gave {shape or type(logits).__name__} for a batch of {len(images)}, expected one tensor of "
            f"logits of shape {(len(images), classes or 'classes')}: images x classes"
        )
    if not logits.is_floating_point() or logits.device != images.device or logits.layout is not torch.strided:
        kind = f"{str(logits.dtype).removeprefix('torch.')} on {logits.device} ({logits.layout})"
        raise RunError(f"the network gave logits of {kind}, expected floats on {images.device} (torch.strided)")
    return logits


def answers(network: nn.Module, split: Split, on_batch: Callable[[], None] = lambda: None) -> tuple[float, Tensor]:
    """Mean cross-entropy in nats and the class that each image is put into, (images,), in evaluation mode.

    Args:
        network: whose modes are put back.
        split: the images.
        on_batch: called after each batch.
    """
    places = torch.arange(len(split), device=split.labels.device)
    losses, predictions = [], []
    with torch.inference_mode(), evaluating(network):
        for indices in torch.split(places, EVALUATION_IMAGES):
            images, labels = split.batch(indices)
            logits = logits_of(network, images, None, "the evaluation")
            losses.append(F.cross_entropy(logits, labels, reduction="sum"))
            predictions.append(logits.argmax(1))
            on_batch()
    return torch.stack(losses).sum().item() / len(split), torch.cat(predictions)
