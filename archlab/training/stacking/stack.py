"""The steps of several trainings taken as one: one forward pass, one backward pass, few updates.

*Semantics.* The loss of each network is the mean over its own batch, and what is differentiated is the sum of these
losses, in which a network's parameters occur in its own loss alone: so each gradient is that of its own training.
Parameters and buffers of the networks are from the first such step on a part of tensors (networks, ...), so that every
network stays whole in its own trainer's hands: tests, probes and checkpoints see it as it is. Optimisers do in one call
what those of one kind, rate and number of steps do; the others update by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.networks import members
from archlab.training.evaluation import logits_of
from archlab.training.optimizers import Optimizer
from archlab.training.stacking.layers import UnstackableError, check_stackable, stacked_network
from archlab.training.step import Step, Taken


class Stack:
    """Some trainings that take their steps together.

    Args:
        steps: those that wait, one of each training, none of which is taken yet.
        precision: in which the networks compute.

    Raises:
        UnstackableError: their networks can't be stacked.
    """

    def __init__(self, steps: Sequence[Step], precision: str = "fp32") -> None:
        networks = [step.network for step in steps]
        check_stackable(networks)
        held = {name: _side_by_side(parts) for name, parts in _named(networks)}
        self._steps = tuple(step.network for step in steps)
        self._network = stacked_network(networks, held, precision)
        self._trained = [held[name] for name, tensor in members.named_parameters(networks[0]) if tensor.requires_grad]
        self._optimizers = [step.optimizer for step in steps]
        self._buffers = [held[name] for name, _ in members.named_buffers(networks[0])]
        self._kept = [buffer.clone() for buffer in self._buffers]
        self._updates: dict[tuple[tuple[int, int], ...], list[_Update]] = {}

    def is_of(self, steps: Sequence[Step]) -> bool:
        """Whether these steps are those of its trainings, in its order."""
        return [step.network for step in steps] == list(self._steps)

    def take(self, steps: Sequence[Step]) -> list[Taken]:
        """What each step gives, in their order.

        Args:
            steps: one of each training, in its order, of equally many images.

        Raises:
            RuntimeError: the memory is not enough, or the network fails. All is then as it was before.
        """
        _copy(self._buffers, self._kept)
        try:
            logits, losses = self._pass(steps)
        except Exception:
            _copy(self._kept, self._buffers)
            for parameter in self._trained:
                parameter.grad = None
            raise
        for update in self._grouped(steps):
            update.step([parameter.grad for parameter in self._trained], steps)
        for parameter in self._trained:
            parameter.grad = None
        predictions = logits.argmax(1).view(-1, len(steps))
        return [Taken(predictions[:, place], losses[place]) for place in range(len(steps))]

    def _pass(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        """Logits (images x networks, classes) and mean losses (networks,); gradients are in the parameters."""
        first = steps[0]
        images = torch.stack([step.images for step in steps], dim=1).flatten(0, 1)
        labels = torch.stack([step.labels for step in steps], dim=1).flatten()
        logits = logits_of(self._network, images, first.classes, f"step {first.number}")
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=first.label_smoothing)
        means = losses.view(-1, len(steps)).mean(0)
        means.sum().backward()  # type: ignore[no-untyped-call]
        return logits.detach(), means.detach()

    def _grouped(self, steps: Sequence[Step]) -> list[_Update]:
        """The updates that all optimisers make, neighbours that are alike in one call."""
        keys = [(step.optimizer.kind, step.rate, step.number) for step in steps]
        bounds, start = [], 0
        for _, alike in groupby(keys):
            bounds.append((start, start := start + len([*alike])))
        if tuple(bounds) not in self._updates:  # what is remembered of the steps so far goes over to the new groups
            self._updates = {tuple(bounds): [_Update(self._optimizers[a:b], self._trained, a, b) for a, b in bounds]}
        return self._updates[tuple(bounds)]


class _Update:
    """What neighbouring optimisers do in one call."""

    def __init__(self, optimizers: Sequence[Optimizer], trained: Sequence[Tensor], start: int, stop: int) -> None:
        self._place = slice(start, stop)
        self._parameters = [tensor.detach()[start:stop] for tensor in trained]
        first, *others = optimizers
        self._optimizer = first.joined(others, self._parameters)

    def step(self, gradients: Sequence[Tensor | None], steps: Sequence[Step]) -> None:
        """Update by the gradients of all networks, (networks, ...) each; None of what the loss doesn't depend on."""
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient[self._place]
        self._optimizer.step(steps[self._place.start].rate)


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    """Copy all in one call."""
    if sources:
        torch._foreach_copy_(targets, sources)


def _named(networks: Sequence[nn.Module]) -> list[tuple[str, list[Tensor]]]:
    """Each parameter and buffer by name, of all networks."""
    tables = [[*members.named_parameters(network), *members.named_buffers(network)] for network in networks]
    return [(places[0][0], [tensor for _, tensor in places]) for places in zip(*tables, strict=True)]


@torch.no_grad()
def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """A tensor (parts, ...) of whose memory each part is a piece from now on."""
    if len({(tensor.shape, tensor.dtype, tensor.device) for tensor in parts}) > 1:
        raise UnstackableError("the networks differ in more than their weights")
    stacked = torch.stack([tensor.detach() for tensor in parts])
    for place, tensor in enumerate(parts):
        tensor.data = stacked[place]
    return stacked.requires_grad_(parts[0].requires_grad)
