"""What was seen of one normalisation layer, and what its outputs tell of how they were normalised."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from archlab.records.norm_use import Normalised

Phase = Literal["training", "evaluation"]
Mode = Literal["batch", "running"]

CHANNELS = 16
"""Of a layer, evenly spaced: enough for a median, and next to no time."""
SOME_IMAGES = 8
"""Whose middle values are looked at."""
SAMPLED_IMAGES, PLACES = 32, 8
"""Images, and places along height and width (15 at most), over which the inputs of several calls are compared."""
ROUNDING, HALF_ROUNDING = 1e-3, 2e-2
"""Deviations that rounding takes outputs away from what running statistics give, in 32 bits and in 16."""
FIT = 0.05
"""Deviations up to which an output is near a prediction."""
CLEARER = 4.0
"""Times that the other prediction must be further off."""


@dataclass(eq=False, slots=True)
class StepSeen:
    """What a layer did since the last step."""

    calls: int = 0
    recomputed: int = 0
    idle: int = 0
    moved: int = 0
    """Calls that changed the running statistics."""
    counted: int = 0
    """The layer's counter at the step's beginning."""
    inputs: list[Tensor] = field(default_factory=list)
    """Of each call some values."""


@dataclass(eq=False, slots=True)
class LayerSeen:
    """What was seen of one layer; numbers are the most of any step or evaluation."""

    path: str
    module: Any
    paths: int = 1
    now: StepSeen = field(default_factory=StepSeen)
    before: tuple[Tensor, Tensor] | None = None
    """Running statistics before the call that goes on."""
    modes: dict[Phase, set[Mode]] = field(default_factory=lambda: {"training": set(), "evaluation": set()})
    calls: int = 0
    recomputed: int = 0
    idle: int = 0
    updates: int = 0
    moves: bool = False
    shift: float = 0.0
    stretch: float = 1.0
    fewest: tuple[int, int] = (0, 0)
    """Values per channel, and images."""
    most: int = 0
    evaluation_images: int = 0
    evaluation_calls: int = 0
    """Of the evaluation that goes on."""
    evaluation_moved: int = 0
    evaluation_updates: int = 0
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
        """Running mean and variance, (channels,) each, as they are; None where there are no values."""
        module = self.module
        if not self.tracks or is_lazy(module.running_mean) or module.running_mean.is_meta:
            return None
        return module.running_mean, module.running_var

    def has_moved(self) -> bool:
        """Whether the call that has ended changed the running statistics."""
        held = self.statistics()
        if held is None or self.before is None:
            return False
        pairs = zip(self.before, held, strict=True)
        # Not a number is no other number than itself here, as it is for `equal`.
        return not all(torch.equal(old, new) or torch.equal(old.nan_to_num(), new.nan_to_num()) for old, new in pairs)

    def state(self) -> dict[str, Any]:
        """What was seen, without the step that goes on, as a tree of plain values."""
        return {name: getattr(self, name) for name in _REMEMBERED}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Have seen that."""
        for name in _REMEMBERED:
            setattr(self, name, state[name])

    def begin(self) -> None:
        """Begin a step."""
        self.now = StepSeen(counted=self._counter())

    def close(self, step: int) -> None:
        """Add what a step did to what was seen before."""
        now = self.now
        self.calls, self.recomputed = max(self.calls, now.calls), max(self.recomputed, now.recomputed)
        # The first call of a block that is recomputed records no gradient, where torch's reentrant checkpoint makes it.
        self.idle = max(self.idle, now.idle - now.recomputed)
        self.updates = max(self.updates, now.moved, self._counter() - now.counted)
        self.moves = self.moves or now.moved > 0
        if len(now.inputs) > 1:
            means, variances = (torch.stack(parts) for parts in zip(*map(moments_of, now.inputs), strict=True))
            shift = (means.amax(0) - means.amin(0)) / variances.mean(0).sqrt()
            stretch = variances.amax(0) / variances.amin(0)
            apart = torch.stack([shift, stretch]).nanmedian(dim=1).values.nan_to_num(nan=0.0, posinf=0.0).tolist()
            self.shift, self.stretch = max(self.shift, apart[0]), max(self.stretch, apart[1])
        held = self.statistics()
        if self.not_finite_step is None and held is not None and not all(bool(part.isfinite().all()) for part in held):
            self.not_finite_step = step

    def end_evaluation(self) -> None:
        """Add what an evaluation did."""
        self.evaluation_updates = max(self.evaluation_updates, self.evaluation_moved)
        self.evaluation_calls = self.evaluation_moved = 0

    def _counter(self) -> int:
        counter = getattr(self.module, "num_batches_tracked", None)
        return int(counter) if isinstance(counter, Tensor) and not counter.is_meta and not is_lazy(counter) else 0


_REMEMBERED = [item.name for item in fields(LayerSeen) if item.name not in ("path", "module", "now", "before")]


def is_readable(given: Tensor, output: Tensor) -> bool:
    """Whether there are values in both to compare."""
    return output.shape == given.shape and not given.is_meta and given.is_floating_point() and given.numel() > 0


def mode_of(seen: LayerSeen, given: Tensor, output: Tensor) -> Mode:
    """What a call's output was normalised by. Waits for the device.

    Some values tell: running statistics M and V put x at (x - M) / sqrt(V + eps), gamma and beta taken off, up to
    rounding. Only where that is so in training mode, or is not in evaluation mode, is the whole batch looked at.
    """
    by_mode = seen.by_mode
    if seen.before is None:
        return by_mode
    off = _off_running(seen, _some(given), _some(output))
    rounding = ROUNDING if given.dtype in (torch.float32, torch.float64) else HALF_ROUNDING
    if math.isnan(off) or (off <= rounding) == (by_mode == "running"):
        return by_mode
    by_batch, by_running = _distances(seen, given, output)
    nearer, further = min(by_batch, by_running), max(by_batch, by_running)
    if nearer <= FIT and CLEARER * nearer <= further:  # false for NaN
        return "batch" if by_batch < by_running else "running"
    return by_mode


def _chosen(values: Tensor, axis: int) -> Tensor:
    """Evenly spaced channels, as they are for all tensors of a layer."""
    size = values.shape[axis]
    return values[(slice(None),) * axis + (slice(None, None, -(-size // CHANNELS)),)]


def _some(values: Tensor) -> Tensor:
    """(images, channels) the middle value of some images."""
    some = values[:SOME_IMAGES]
    for size in values.shape[2:]:
        some = some.select(2, size // 2)
    return _chosen(some, 1).float()


def _off_running(seen: LayerSeen, given: Tensor, output: Tensor) -> float:
    """How far outputs lie from what running statistics would give, in deviations: a median; NaN where none tells."""
    assert seen.before is not None
    mean, variance = (_chosen(part, 0).float() for part in seen.before)
    off = _plain(seen, output)[0] - (given - mean) / (variance + seen.module.eps).sqrt()
    return float(off.abs().nanmedian())


def _plain(seen: LayerSeen, values: Tensor) -> tuple[Tensor, Tensor | float]:
    """Outputs with gamma and beta taken off, and |gamma|, which divides deviations; NaN where gamma is 0."""
    gamma, beta = seen.module.weight, seen.module.bias
    if beta is not None:
        values = values - _chosen(beta.detach(), 0).float()
    if gamma is None:
        return values, 1.0
    chosen = _chosen(gamma.detach(), 0).float()
    return torch.where(chosen != 0, values / chosen, torch.nan), chosen.abs()


def moments_of(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of the chosen channels, over all values."""
    chosen = _chosen(values, 1).float()
    variance, mean = torch.var_mean(chosen, dim=(0, *range(2, chosen.dim())), correction=0)
    return mean, variance


def sampled(values: Tensor) -> Tensor:
    """Some images, and some places of each: enough for means to be compared."""
    places = (slice(None, None, max(1, size // PLACES)) for size in values.shape[2:])
    return values[(slice(SAMPLED_IMAGES), slice(None), *places)].clone()  # an operation in place may follow


def _distances(seen: LayerSeen, given: Tensor, output: Tensor) -> tuple[float, float]:
    """How far the output lies from what its batch would give, and running statistics, by mean and deviation."""
    assert seen.before is not None
    mean, variance = moments_of(given)
    out_mean, out_variance = moments_of(output)
    out_mean, gamma = _plain(seen, out_mean)
    out_deviation = out_variance.sqrt() / gamma
    running_mean, running_var = (_chosen(part, 0).float() for part in seen.before)
    eps = seen.module.eps
    by_batch = out_mean.abs() + (out_deviation - (variance / (variance + eps)).sqrt()).abs()
    scale = (running_var + eps).sqrt()
    by_running = (out_mean - (mean - running_mean) / scale).abs() + (out_deviation - variance.sqrt() / scale).abs()
    return float(by_batch.nanmedian()), float(by_running.nanmedian())


def word_for(modes: set[Mode]) -> Normalised:
    """What a layer normalised by, over all its calls."""
    return "both" if len(modes) > 1 else next(iter(modes), "")
