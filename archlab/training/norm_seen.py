"""What was seen of one normalisation layer, and what its outputs tell of how they were normalised."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from archlab.records.norm_use import Normalised

Phase = Literal["training", "evaluation"]
Mode = Literal["batch", "running"]

CHANNELS = 16
"""Of a layer, evenly spaced: enough for a median, and next to no time."""
FIT = 0.05
"""Deviations up to which an output fits a prediction: half precision rounds to 0.01 at most."""
CLEARER = 4.0
"""Times that the other prediction must be further off."""


@dataclass(eq=False, slots=True)
class StepSeen:
    """What a layer did since the last step."""

    calls: int = 0
    recomputed: int = 0
    idle: int = 0
    moved: list[Tensor] = field(default_factory=list)
    """Per call, whether the running statistics changed."""
    counted: Tensor | None = None
    """The counter at the step's beginning."""
    moments: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Mean and variance of each call's input."""


@dataclass(eq=False, slots=True)
class LayerSeen:
    """What was seen of one layer."""

    path: str
    module: Any
    paths: int = 1
    now: StepSeen = field(default_factory=StepSeen)
    before: tuple[Tensor, Tensor] | None = None
    """Running statistics before the call that goes on."""
    modes: dict[Phase, set[Mode]] = field(default_factory=lambda: {"training": set(), "evaluation": set()})
    evidence: list[tuple[Phase, Mode, Tensor]] = field(default_factory=list)
    """Phase, what the mode says, distances from both predictions: those that are still on the device."""
    calls: int = 0
    recomputed: int = 0
    idle: int = 0
    updates: list[Tensor] = field(default_factory=list)
    moves: list[Tensor] = field(default_factory=list)
    apart: list[Tensor] = field(default_factory=list)
    fewest: tuple[int, int] = (0, 0)
    """Values per channel, and images."""
    most: int = 0
    evaluation_images: int = 0
    evaluation_calls: int = 0
    evaluation_moved: list[Tensor] = field(default_factory=list)
    evaluation_updates: int = 0
    finite: list[tuple[int, Tensor]] = field(default_factory=list)
    not_finite_step: int | None = None

    @property
    def tracks(self) -> bool:
        """Whether the layer keeps running statistics."""
        return isinstance(getattr(self.module, "running_mean", None), Tensor)

    @property
    def by_mode(self) -> Mode:
        """What the layer normalises by if its mode is to be believed."""
        return "batch" if self.module.training or not self.tracks else "running"

    def statistics(self) -> tuple[Tensor, Tensor] | None:
        """Running mean and variance, (channels,) each, as they are; None where the layer keeps none."""
        module = self.module
        if not self.tracks or is_lazy(module.running_mean):
            return None
        return module.running_mean, module.running_var

    def close(self, step: int) -> None:
        """Add what a step did to what was seen before."""
        now, counter = self.now, getattr(self.module, "num_batches_tracked", None)
        self.calls, self.recomputed = max(self.calls, now.calls), max(self.recomputed, now.recomputed)
        # The first call of a block that is recomputed records no gradient, where torch's reentrant checkpoint makes it.
        self.idle = max(self.idle, now.idle - now.recomputed)
        if now.moved:
            moved = torch.stack(now.moved).sum()
            counted = counter - now.counted if isinstance(counter, Tensor) and now.counted is not None else 0
            self.updates.append(torch.maximum(moved, torch.as_tensor(counted, device=moved.device)))
            self.moves.append(moved > 0)
        if len(now.moments) > 1:
            means, variances = (torch.stack(values) for values in zip(*now.moments, strict=True))
            shift = (means.amax(0) - means.amin(0)) / variances.mean(0).sqrt()
            stretch = variances.amax(0) / variances.amin(0)
            apart = torch.stack([shift, stretch]).nanmedian(dim=1).values
            self.apart.append(apart.nan_to_num(nan=0.0, posinf=0.0))
        if (held := self.statistics()) is not None:
            self.finite.append((step, torch.stack([part.isfinite().all() for part in held]).all()))

    def settle_evaluation(self) -> None:
        """Read how often the evaluation that has ended changed the running statistics."""
        moved = int(torch.stack(self.evaluation_moved).sum()) if self.evaluation_moved else 0
        self.evaluation_updates = max(self.evaluation_updates, moved)
        self.evaluation_moved = []

    def resolve(self) -> None:
        """Read what still lies on the device."""
        for phase, by_mode, distances in self.evidence:
            by_batch, by_running = distances.tolist()
            nearer, further = min(by_batch, by_running), max(by_batch, by_running)
            is_clear = nearer <= FIT and CLEARER * nearer <= further  # false for NaN
            self.modes[phase].add(("batch" if by_batch < by_running else "running") if is_clear else by_mode)
        self.evidence = []
        self.settle_evaluation()
        if self.not_finite_step is None:
            self.not_finite_step = next((step for step, finite in self.finite if not finite), None)
        self.finite = []


def is_readable(given: Tensor, output: Tensor) -> bool:
    """Whether there are values in both to compare."""
    return output.shape == given.shape and not given.is_meta and given.is_floating_point() and given.numel() > 0


def _chosen(values: Tensor, axis: int) -> Tensor:
    """Evenly spaced channels, as they are for all tensors of a layer."""
    size = values.shape[axis]
    return values[(slice(None),) * axis + (slice(None, None, -(-size // CHANNELS)),)]


def moments_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of the chosen channels."""
    chosen = _chosen(values, 1).float()
    variance, mean = torch.var_mean(chosen, dim=(0, *range(2, chosen.dim())), correction=0)
    return mean, variance


def distances(seen: LayerSeen, given: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> Tensor:
    """(2,) how far the output lies from what its batch and what running statistics would give, in deviations."""
    assert seen.before is not None
    module = seen.module
    mean, variance = given
    out_mean, out_deviation = output[0], output[1].sqrt()
    if getattr(module, "weight", None) is not None:
        gamma = _chosen(module.weight.detach(), 0).float()
        out_mean, out_deviation = out_mean - _beta(module), out_deviation / gamma.abs()
        out_mean = out_mean / gamma  # a channel with gamma 0 gives NaN, and is left out
    running_mean, running_var = (_chosen(part, 0).float() for part in seen.before)
    by_batch = out_mean.abs() + (out_deviation - (variance / (variance + module.eps)).sqrt()).abs()
    scale = (running_var + module.eps).sqrt()
    by_running = (out_mean - (mean - running_mean) / scale).abs() + (out_deviation - variance.sqrt() / scale).abs()
    return torch.stack([by_batch, by_running]).nanmedian(dim=1).values


def _beta(module: Any) -> Tensor | float:
    return 0.0 if module.bias is None else _chosen(module.bias.detach(), 0).float()


def word_for(modes: set[Mode]) -> Normalised:
    """What a layer normalised by, over all its calls."""
    return "both" if len(modes) > 1 else next(iter(modes), "")
