"""A trained network on images: its answers with running, precise and batch statistics, and what its layers see.

Measuring semantics: four passes. (1) The tested images in evaluation mode, as `model.eval()` gives it; there the zeros
behind activations are counted. (2) The images for statistics, in training mode of the BatchNorm layers, from which the
precise statistics come (`archlab.training.population`) and the noise of batches: the deviation of the batches' own
means and variances, which for batches of independent images falls with the root of their size, so that it is taken in
batches of `STATISTICS_BATCH` and scaled to those of the training. (3) The tested images with the precise statistics.
(4) The same with each batch's own, in batches of the training's size. Weights, statistics, counters and modes are
afterwards what they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archlab.errors import ForwardError
from archlab.networks.imports import quote
from archlab.normalisation.activations import ZeroCounter
from archlab.normalisation.feeding import Feed, Stack
from archlab.normalisation.layers import normalisations
from archlab.records import NormUse
from archlab.records.norm_health import Outcome, Statistics
from archlab.training import population
from archlab.training.norm_uses import observing_uses
from archlab.training.norms import NormLayer, evaluating, kept_statistics, norm_layers, showing_batches
from archlab.training.population import Moments

EVALUATION_BATCH = 64
"""Images per batch in evaluation, where it decides nothing: larger ones are no faster on a processor."""
STATISTICS_BATCH = 64
"""Larger ones are no faster, and give fewer values for the noise."""
NOISE_BATCHES = 8
"""That there should be for the noise: of fewer images, batches are smaller."""
Tell = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What the passes found."""

    outcomes: tuple[Outcome, ...]
    moments: Mapping[str, Moments]
    noise: Mapping[str, tuple[Tensor, Tensor]]
    """Path -> deviation of batch means in precise deviations, and of batch variances over the precise one."""
    zeros: Mapping[str, Tensor]
    functions: Mapping[str, str]
    labelled: bool
    running: Tensor
    """The outputs in evaluation, (images, values)."""
    uses: tuple[NormUse, ...]


class Passes:
    """Runs a network over images, and says how far it is.

    Args:
        network: whose modes are put back after each pass.
        device: where it lies.
        tell: called with what is done, the images so far and those in all.
    """

    def __init__(self, network: nn.Module, device: torch.device, tell: Tell) -> None:
        self._network, self._device, self._tell = network, device, tell

    def batches(self, stack: Stack, size: int, what: str) -> Iterator[Tensor]:
        """The images in batches, each told."""
        done = 0
        for batch in stack.batches(size, self._device):
            yield batch
            done += len(batch)
            self._tell(what, done, len(stack))

    def answers(
        self, stack: Stack, what: str, size: int = EVALUATION_BATCH, layers: Sequence[NormLayer] = ()
    ) -> Tensor:
        """(images, values) what the network gives, with its running statistics or, in `layers`, those of the batch.

        Raises:
            ForwardError: the network doesn't take the images, or gives no tensor.
        """
        by_batch: AbstractContextManager[Any] = showing_batches(layers) if layers else nullcontext()
        kept = kept_statistics(norm_layers(self._network))
        found = []
        with torch.no_grad(), evaluating(self._network), kept, by_batch:
            for batch in self.batches(stack, size, what):
                try:
                    output = self._network(batch)
                except Exception as error:
                    raise ForwardError(
                        f"the network doesn't take images of shape {tuple(batch.shape)}: {quote(error)}"
                    ) from error
                found.append(_tensor_of(output).float().flatten(1))
        return torch.cat(found)

    def measure(self, feed: Feed, batch_size: int) -> Measured:
        """All four passes."""
        layers = norm_layers(self._network)
        found = normalisations(self._network)
        with observing_uses(self._network) as observer, ZeroCounter(found) as zeros:
            size = EVALUATION_BATCH if layers else batch_size  # which decides where there are no running statistics
            running = self.answers(feed.tested, "evaluation", size)
        uses = observer.uses()
        moments, noise = self._statistics(feed.statistics, layers, batch_size) if layers else ({}, {})
        with population.applied(layers, moments):
            precise = self.answers(feed.tested, "precise statistics") if layers else running
        by_batch = self.answers(feed.tested, "batch statistics", batch_size, layers) if layers else running
        labels = feed.tested.labels
        if labels is not None and running.shape[1] < max(feed.classes, 2):
            labels = None
        made: list[tuple[Statistics, Tensor]] = [("running", running), ("precise", precise), ("batch", by_batch)]
        outcomes = tuple(outcome(name, given, precise, labels) for name, given in made[0 if layers else 2 :])
        return Measured(outcomes, moments, noise, zeros.shares(), zeros.functions, labels is not None, running, uses)

    def _statistics(
        self, stack: Stack, layers: Sequence[NormLayer], batch_size: int
    ) -> tuple[Mapping[str, Moments], dict[str, tuple[Tensor, Tensor]]]:
        """Precise statistics, and the noise of batches of a size around them."""
        size = max(2, min(STATISTICS_BATCH, len(stack) // NOISE_BATCHES))
        rows: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]

        def note(place: int, layer: NormLayer, given: Tensor) -> None:
            if len(given) == size:  # the last one may be smaller, or larger by one
                mean, variance = layer.statistics()
                rows[place].append((mean.double().cpu(), variance.double().cpu()))

        handles = [
            layer.module.register_forward_hook(
                lambda _module, inputs, _output, place=place, layer=layer: note(place, layer, inputs[0])
            )
            for place, layer in enumerate(layers)
        ]
        try:
            moments = population.measure(self._network, layers, self.batches(stack, size, "statistics"))
        finally:
            for handle in handles:
                handle.remove()
        factor = (size / batch_size) ** 0.5
        noise = {}
        for place, layer in enumerate(layers):
            if layer.path in moments and len(rows[place]) > 3:
                means, variances = (torch.stack([row[kind] for row in rows[place]]) for kind in (0, 1))
                precise = moments[layer.path].variance.clamp_min(1e-30)
                noise[layer.path] = factor * means.std(0) / precise.sqrt(), factor * variances.std(0) / precise
        return moments, noise


def outcome(statistics: Statistics, given: Tensor, precise: Tensor, labels: Tensor | None) -> Outcome:
    """What some outputs are worth, beside those with precise statistics; all are (images, values)."""
    spread = (precise - precise.mean(0)).square().sum().sqrt()
    drift = ((given - precise).square().sum().sqrt() / spread).item()
    scores = given.shape[1] > 1
    accuracy = loss = None
    if labels is not None:
        labels = labels.to(given.device)
        accuracy = (given.argmax(1) == labels).double().mean().item()
        loss = finite(F.cross_entropy(given, labels).item())
    return Outcome(
        statistics=statistics,
        images=len(given),
        accuracy=accuracy,
        loss=loss,
        drift=finite(drift),
        agreement=(given.argmax(1) == precise.argmax(1)).double().mean().item() if scores else None,
    )


def finite(value: float) -> float | None:
    """The number, where it is one: JSON has no other."""
    return value if abs(value) < float("inf") else None


def _tensor_of(output: Any) -> Tensor:
    """The scores, or the first tensor, of what a network gives.

    Raises:
        ForwardError: there is no tensor in it.
    """
    if isinstance(output, Tensor):
        return output
    if hasattr(output, "logits") and isinstance(output.logits, Tensor):
        return output.logits
    parts = list(output.values()) if isinstance(output, Mapping) else output if isinstance(output, tuple | list) else []
    for part in parts:
        if isinstance(part, Tensor):
            return part
    raise ForwardError(
        f"the network gives {type(output).__name__}, expected a tensor of scores, or one in a dictionary"
    )
