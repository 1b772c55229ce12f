"""The training loss as a function of the weights alone, to be looked at in the middle of a training.

Measuring semantics: the loss is the mean cross-entropy, in nats, of the first `PROBED_IMAGES` training images in the
order of (seed, epoch 0), in which no epoch trains, so that it is the same function at every step and for every variant
of a seed. They are one batch, in the mode in which the network trains: BatchNorm normalises by the batch, since that
is the loss that training descends, and since running statistics belong to the weights they were averaged over and are
wrong at any others. Dropout and its like draw the same each time. What it is not: the loss of the whole training set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.networks import members
from archlab.training import seeding
from archlab.training.datasets import Split

PROBED_IMAGES = 256
"""The course's batch, whatever the run's own is: variants with other batches are probed with the same images."""


class TrainingLoss:
    """The loss of a fixed set of training images at the weights as they are: 0-dimensional, the same each time.

    Args:
        forward: from images to logits through the network.
        split: the training images.
        seed: of the run; it decides which images are taken, and what dropout draws.
        images: how many are taken, if there are so many; by default `PROBED_IMAGES`.
    """

    def __init__(self, forward: Callable[[Tensor], Tensor], split: Split, seed: int, images: int | None = None) -> None:
        chosen = seeding.order(seed, 0, len(split))[: images or PROBED_IMAGES].to(split.labels.device)
        self.images, self.labels = split.batch(chosen)
        self._forward = forward
        self._draws = seeding.derive(seed, "probe")

    def logits(self, images: Tensor) -> Tensor:
        """(images, classes) of any images."""
        torch.manual_seed(self._draws)
        return self._forward(images)

    def __call__(self) -> Tensor:
        """The mean cross-entropy."""
        return F.cross_entropy(self.logits(self.images), self.labels)


class Surface:
    """A loss over the weights of a network.

    Args:
        network: whose trainable parameters the weights are.
        loss: gives the loss at the weights as they are, the same each time.
        images: how many the loss is the mean over.
    """

    def __init__(self, network: nn.Module, loss: Callable[[], Tensor], images: int) -> None:
        self.network = network
        self.loss = loss
        self.images = images
        self.parameters = {name: held for name, held in members.named_parameters(network) if held.requires_grad}

    def gradient(self, names: Iterable[str] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The loss, and its gradients with respect to the parameters of these names; by default to all of them."""
        held = self.parameters.values() if names is None else [self.parameters[name] for name in names]
        # Not by backward(): that would leave something in .grad.
        with torch.enable_grad():
            loss = self.loss()
            gradients = torch.autograd.grad(loss, [*held], materialize_grads=True)
        return loss.detach(), gradients

    @contextmanager
    def moving(self) -> Iterator[dict[str, Tensor]]:
        """A context in which the parameters may be moved in place; it gives copies of them by name.

        Afterwards parameters, buffers and random states are what they were, bit for bit.
        """
        weights = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        # Some networks write into their buffers, others put new tensors in their places.
        buffers = [
            (module, name, buffer, buffer.clone())
            for module in members.modules(self.network)
            for name, buffer in module.named_buffers(recurse=False)
        ]
        device = next((weight.device for weight in weights.values()), None)
        with seeding.preserved(device):
            try:
                yield weights
            finally:
                with torch.no_grad():
                    for name, weight in weights.items():
                        self.parameters[name].copy_(weight)
                    for module, name, buffer, value in buffers:
                        buffer.copy_(value)
                        setattr(module, name, buffer)


def joint_norm(tensors: Iterable[Tensor]) -> Tensor:
    """The Euclidean norm of some tensors as one vector."""
    norms = torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors])
    norm: Tensor = torch.linalg.vector_norm(norms)
    return norm


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter is more than a vector; a scale of shape (1, 64, 1, 1) is one."""
    return sum(size > 1 for size in parameter.shape) > 1


def has_filters(module: nn.Module, parameter: Tensor) -> bool:
    """Whether a module's own parameter is a matrix or a kernel, of whatever size: no bias, scale or shift."""
    if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return parameter.dim() > 1
    return not isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and is_matrix(parameter)
