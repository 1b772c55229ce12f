"""What the checks of `verdicts` look at: a variant's runs, and each of their BatchNorm layers condensed to its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from archlab.analysis.metrics import SHARE
from archlab.analysis.wording import counted
from archlab.records import Difference, LayerSeries, NormRecording, NormUse, Run

Array = Any  # a NumPy array; naming its type would import NumPy

EPSILON = 1e-5
"""What BatchNorm adds to a variance, by default in torch and in archlab; the records don't say it."""
NOISE_STEPS = 64
"""Recorded steps of the last epoch that the noise of batches is taken over, the last ones: a standard deviation of so
many values is known to 9 %."""

STATE = ("running_mean", "running_var", "gamma", "beta")
"""The quantities of a recording that a layer carries from step to step; the others are a batch's."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerEnd:
    """A BatchNorm layer at the end of a run's last epoch; arrays are float64 (channels,) unless said otherwise."""

    path: str
    steps: int
    """Optimiser steps that the running statistics have averaged over."""
    running_mean: Array
    running_var: Array
    gamma: Array
    beta: Array
    first: Mapping[str, Array]
    """Running statistics, gamma and beta before the first step, by the names in `STATE`."""
    momentum: float | None
    """Weight of the newest step, as the layer was seen to have it or else from the records; None where it can't be told
    or isn't constant."""
    is_cumulative: bool
    """Whether the weight falls with the steps, as in an average over all of them."""
    mean: Array | None
    """Of the precise statistics, with the variance; None where they were not measured."""
    variance: Array | None
    batch_mean: Array
    """(rows, channels) of the last epoch's recorded batches, `NOISE_STEPS` at most, the epoch's last batch left out."""
    batch_var: Array
    epsilon: float = EPSILON

    @property
    def channels(self) -> int:
        """How many there are."""
        return len(self.gamma)


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """The runs of one variant; or one trained network, which has layers and no run."""

    variant: str
    runs: tuple[Run, ...]
    layers: Mapping[str, tuple[LayerEnd, ...]] = field(default_factory=dict)
    """Run key -> layers, of the finished runs that have a recording."""
    losses: Mapping[str, Array] = field(default_factory=dict)
    """Run key -> (steps,) training loss of each batch."""
    signals: Mapping[str, LayerSeries] = field(default_factory=dict)
    """Run key -> what its layers gave and got back when they were last looked at, of runs that finished or diverged."""
    uses: Mapping[str, tuple[NormUse, ...]] = field(default_factory=dict)
    """Run key -> how each BatchNorm layer was used, of the runs that have ended and were observed."""

    @property
    def finished(self) -> tuple[Run, ...]:
        """The runs that came to their end."""
        return tuple(run for run in self.runs if run.status == "finished" and run.epochs)

    @property
    def recorded(self) -> tuple[Run, ...]:
        """The finished runs whose BatchNorm layers were recorded."""
        return tuple(run for run in self.finished if self.layers.get(run.key))

    @property
    def ends(self) -> dict[str, tuple[LayerEnd, ...]]:
        """Run key -> layers, of the recorded runs in order; of a trained network its layers under their only key."""
        return {run.key: self.layers[run.key] for run in self.recorded} if self.runs else dict(self.layers)


@dataclass(frozen=True, slots=True, eq=False)
class Worst:
    """The layer with the highest score, over the recorded runs or in a trained network."""

    layer: str
    ends: tuple[LayerEnd, ...]
    """The layer in each run that has a score for it."""
    scores: tuple[float, ...]
    runs: tuple[Run, ...]
    """Those in which some layer reaches the limit."""
    recorded: int
    """Runs that have a score at all; 0 for a trained network."""
    touched: int
    """Layers that reach the limit in some run."""
    looked_at: int
    """Layers that have a score."""

    @property
    def score(self) -> float:
        """The highest of any run."""
        return max(self.scores)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the runs in which some layer reaches the limit."""
        return tuple(run.config.seed for run in self.runs)

    @property
    def basis(self) -> str:
        """How many layers and runs it holds for: `3 of 4 BatchNorm layers, in 2 of 6 recorded runs`."""
        layers = f"{self.touched} of {counted(self.looked_at, 'BatchNorm layer')}"
        if not self.recorded:
            return layers
        if self.recorded == 1:
            return f"{layers} of the recorded run"
        return f"{layers}, in {len(self.runs)} of {counted(self.recorded, 'recorded run')}"

    @property
    def whole(self) -> str:
        """What was looked at: `4 layers, 2 recorded runs`."""
        runs = f", {counted(self.recorded, 'recorded run')}" if self.recorded else ""
        return f"{counted(self.looked_at, 'layer')}{runs}"


def worst(group: Group, score: Callable[[LayerEnd], float | None], limit: float) -> Worst | None:
    """The layer whose mean score over the recorded runs is the highest; None where no layer has a score.

    In a trained network a layer's score is its mean.
    """
    found: dict[str, list[tuple[str, LayerEnd, float]]] = {}
    for key, ends in group.ends.items():
        for end in ends:
            value = score(end)
            if value is not None:
                found.setdefault(end.path, []).append((key, end, value))
    if not found:
        return None
    path, entries = max(found.items(), key=lambda item: sum(value for *_, value in item[1]) / len(item[1]))
    reached = [key for members in found.values() for key, _, value in members if value >= limit]
    having = {key for members in found.values() for key, *_ in members}
    return Worst(
        layer=path,
        ends=tuple(end for _, end, _ in entries),
        scores=tuple(value for *_, value in entries),
        runs=tuple(run for run in group.recorded if run.key in reached),
        recorded=len(having) if group.runs else 0,
        touched=sum(any(value >= limit for *_, value in members) for members in found.values()),
        looked_at=len(found),
    )


def condense(run: Run, recording: NormRecording) -> tuple[LayerEnd, ...]:
    """The layers of a run at the end of its last epoch; none where that step was not recorded, or none has ended."""
    import numpy as np

    steps = np.asarray(recording.steps)
    ends = [0, *(epoch.step for epoch in run.epochs)]
    if not run.epochs or ends[-1] not in recording.steps:
        return ()
    row = recording.steps.index(ends[-1])
    last_epoch = np.flatnonzero((steps > ends[-2]) & (steps < ends[-1]))[-NOISE_STEPS:]
    follows = np.flatnonzero(np.diff(steps) == 1).tolist()
    pairs = [follows[0], follows[-1]] if follows else []
    layers = []
    uses = {use.path: use for use in recording.uses}
    for path, arrays in recording.layers.items():
        population = recording.population.get(path, {})
        mean, variance = (
            np.asarray(population[name][-1], dtype=np.float64)
            if len(population.get(name, ())) == len(run.epochs) and not np.isnan(population[name][-1]).all()
            else None
            for name in ("mean", "variance")
        )
        if path in uses:
            momentum, is_cumulative = uses[path].step_weight, uses[path].momentum is None
        else:
            momentum, is_cumulative = _momentum([(int(steps[at + 1]), *_pair(arrays, at)) for at in pairs])
        layers.append(
            LayerEnd(
                path=path,
                steps=ends[-1],
                **{name: arrays[name][row].astype(np.float64) for name in STATE},
                first={name: arrays[name][0].astype(np.float64) for name in STATE},
                momentum=momentum,
                is_cumulative=is_cumulative,
                mean=mean,
                variance=variance,
                batch_mean=arrays["batch_mean"][last_epoch].astype(np.float64),
                batch_var=arrays["batch_var"][last_epoch].astype(np.float64),
            )
        )
    return tuple(layers)


def _pair(arrays: Mapping[str, Array], at: int) -> tuple[Array, Array, Array]:
    """The running mean before and after a step, and the batch mean that went into it."""
    import numpy as np

    before, after = arrays["running_mean"][at : at + 2].astype(np.float64)
    return before, after, arrays["batch_mean"][at + 1].astype(np.float64)


def _momentum(steps: Sequence[tuple[int, Array, Array, Array]]) -> tuple[float | None, bool]:
    """The newest batch's weight in the running statistics, and whether it falls with the steps.

    It follows wherever two steps in a row were recorded, from after = before + weight * (batch - before).

    Args:
        steps: an early and a late one, each with its number, the running mean before and after it, and the batch's.
    """
    import numpy as np

    weights = []
    for _, before, after, batch in steps:
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios = (after - before) / (batch - before)
        ratios = ratios[np.isfinite(ratios)]
        weights.append(float(np.median(ratios)) if len(ratios) else np.nan)
    if not weights or not np.isfinite(weights).all():
        return None, False
    # A cumulative average weighs batch t by 1 / t: 1 at first, and no two steps alike.
    numbers = np.array([number for number, *_ in steps])
    first, last = weights[0], weights[-1]
    falls = abs(first - last) > 0.1 * first or bool(np.isclose(weights * numbers, 1, rtol=0.05).all())
    return (None, True) if falls and numbers[-1] > 1 else (last, False)


def is_settled(difference: Difference, images: int) -> bool:
    """Whether a difference of two accuracies is above 0 beyond the noise of seeds and of the test images.

    The seeds' interval knows nothing of the test images, which all runs share. Two accuracies over the same m images
    differ by d only if at least d m of them change sides, and their number has a standard deviation of its root: the
    difference one of sqrt(d / m) (McNemar 1947). Both are added as squares.
    """
    if difference.mean <= 0:
        return False
    seeds = difference.mean - difference.low if difference.low is not None else 0.0
    return difference.mean > math.hypot(seeds, NORMAL_QUANTILE * math.sqrt(difference.mean / images))


NORMAL_QUANTILE = 1.96
"""Standard deviations that 95 % of a normal distribution lie within."""


def interval_text(difference: Difference) -> str:
    """What a difference of shares rests on: `95 % interval +1.20 to +3.40, n = 6 runs`, or `n = 1 run`."""
    basis, interval = f"n = {counted(difference.n, 'run')}", SHARE.interval(SHARE.limited(difference), "+")
    return f"95 % interval {interval}, {basis}" if interval else basis
