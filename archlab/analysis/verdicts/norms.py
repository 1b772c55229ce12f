"""Checks of a variant's BatchNorm statistics: running against precise ones, the rest of the start, noise of batches.

Channels are counted in a layer at the end of the last epoch. Where several runs were recorded, the layer that is
named is the one with the highest score on average, and numbers with `to` are its least and greatest over the runs.
Nothing but the noise that eps itself brings depends on the unit of a channel.
"""

from __future__ import annotations

import math
from statistics import fmean

from archlab.analysis.chance import tested_images
from archlab.analysis.metrics import EVALUATION, PRECISE, SHARE
from archlab.analysis.statistics import paired_difference
from archlab.analysis.verdicts.data import shifted_channel
from archlab.analysis.verdicts.group import (
    Array,
    Group,
    LayerEnd,
    Worst,
    interval_text,
    is_settled,
    worst,
)
from archlab.analysis.verdicts.signals import moves_fast
from archlab.analysis.verdicts.uses import breaks_averages
from archlab.analysis.wording import counted, range_text
from archlab.records import Run, Verdict
from archlab.records.verdict import Level

PROBLEM_COST, WARNING_COST = 0.05, 0.02
"""Accuracy that running statistics cost, for a problem and for a warning. Healthy LeNets lose up to 0.9 points on
digits (batches of 16, 3 seeds) and 1.5 on Fashion-MNIST (2 seeds); 5 points are what BatchNorm itself may be worth."""
MEAN_SHIFT = 0.2
"""Standard deviations, of the precise statistics, from which on a running mean is off. Averaging at momentum 0.1 leaves
0.23 of the batches' own noise (m / (2 - m), to the root), so 0.06 at a noise of 0.25, that of 16 independent values per
channel."""
VARIANCE_FACTOR = 1.2
"""Factor from which on a running variance is off. Of 16 independent values per channel, whose variance has a noise of
0.35 (2 / 16, to the root), the same averaging leaves 0.08."""
OFF_SHARE, MOVED_SHARE = 0.25, 0.5
"""Shares of a layer's channels from which on it is named: that are off, and that the initial values alone move."""
WARNING_VALUES, PROBLEM_VALUES = 12, 6
"""Independent values per channel in a batch, below which its noise is a warning and a problem: between the batches of
16, 8 and 4 images at which ResNet-50 loses 0.1, 1.2 and 3.7 points on ImageNet (Wu and He 2018, table 2)."""
DEFAULT_MOMENTUM = 0.1
"""Taken where the recorded steps are too far apart to see it."""

WU_JOHNSON_2021 = "Wu and Johnson, Rethinking “Batch” in BatchNorm, 2021, section 3"
WU_HE_2018 = "Wu and He, Group Normalization, 2018, section 1 and table 2"
IOFFE_SZEGEDY_2015 = "Ioffe and Szegedy, Batch Normalization, 2015, section 3.1"


def running_statistics(group: Group) -> list[Verdict]:
    """Whether evaluation with running statistics gives what precise ones give.

    *Counting semantics.* The cost is test accuracy with precise statistics minus that with running ones, after the
    last epoch, on the same images and weights. It counts where it is above 0 beyond the noise of the seeds and of the
    test images (`is_settled`), and the level then follows from its mean over the runs. A channel is off if its
    running mean is `MEAN_SHIFT` from the precise one, or its running variance a factor of `VARIANCE_FACTOR`. Channels
    don't decide the level, since small errors add up through a deep network and large ones may cost nothing. Nothing is
    said where the averages are wrong by how their layers are used, of which `uses` speaks.
    """
    if breaks_averages(group):
        return []
    evaluated = [run for run in group.finished if run.metric("test_accuracy_running") is not None]
    if not evaluated:
        return []
    precise = [run.metric("test_accuracy") or 0.0 for run in evaluated]
    running = [run.metric("test_accuracy_running") or 0.0 for run in evaluated]
    lost = paired_difference(running, precise)
    cost = lost.mean
    off = worst(group, off_share, OFF_SHARE)
    images = tested_images(evaluated[0].config.dataset, evaluated[0].config.test_samples)
    settled = is_settled(lost, images)
    level: Level = "good"
    if any(run.data is not None and shifted_channel(run.data) is not None for run in evaluated):
        return []  # other data, of which no statistics of the training images need be right: `test_scale` says so
    if cost >= WARNING_COST:
        level = "note" if not settled else "problem" if cost >= PROBLEM_COST else "warning"
    gains = is_settled(paired_difference(precise, running), images) and -cost >= WARNING_COST
    if level == "good" and gains:
        return [_precise_are_worse(group, evaluated, -cost, interval_text(lost), images)]
    unsettled = level == "note"
    if level == "good" and off is not None and off.runs:
        level = "note"
    means = [f"{SHARE.number(fmean(values))} %" for values in (running, precise)]
    text = (
        f"Running statistics cost {SHARE.number(cost)} points of test accuracy ({interval_text(lost)}, "
        f"{counted(images, 'test image')}): {means[0]} in {EVALUATION}, "
        f"{means[1]} with {PRECISE}."
    )
    if unsettled:
        text += " That may be the noise of so few runs or images."
    if off is not None:
        text += f" {off_sentence(off)}"
    if level == "good":
        return [Verdict("running-statistics", level, text, group.variant)]
    lossy = tuple(run.config.seed for run, cost in zip(evaluated, lost.values, strict=True) if cost >= WARNING_COST)
    return [
        Verdict(
            check="running-statistics",
            level=level,
            text=text + (" They cost next to no accuracy here." if level == "note" and not unsettled else ""),
            variant=group.variant,
            seeds=off.seeds if level == "note" and off is not None else lossy,
            layer=off.layer if off is not None and off.score > 0 else "",
            remedy="This is the averages' error, not the weights': evaluate with precise statistics. More steps, a "
            "learning rate that falls towards the end, or another momentum bring the averages closer.",
            source=WU_JOHNSON_2021,
        )
    ]


def _precise_are_worse(group: Group, runs: list[Run], gain: float, basis: str, images: int) -> Verdict:
    return Verdict(
        check="running-statistics",
        level="note",
        text=f"{EVALUATION.capitalize()} gives {SHARE.number(gain)} points more test accuracy than {PRECISE} ({basis}, "
        f"{counted(images, 'test image')}): the precise ones are the worse estimate here.",
        variant=group.variant,
        seeds=tuple(run.config.seed for run in runs),
        remedy="Take precise statistics over more training images (--precise-images), and the running ones until then.",
        source=WU_JOHNSON_2021,
    )


def off_by(end: LayerEnd) -> Array | None:
    """(channels,) how far running statistics are from precise ones: 1 and more is off; None where it can't be told.

    In units of `MEAN_SHIFT` or of the logarithm of `VARIANCE_FACTOR`, whichever is the larger. A collapsed channel has
    next to no deviation to be off by, and has a check of its own: it gets 0.
    """
    import numpy as np

    if end.mean is None or end.variance is None:
        return None
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        shift = np.abs(end.running_mean - end.mean) / np.sqrt(end.variance) / MEAN_SHIFT
        stretch = np.abs(np.log(end.running_var / end.variance)) / math.log(VARIANCE_FACTOR)
    distance = np.nan_to_num(np.maximum(shift, stretch), nan=np.inf, posinf=np.inf)  # what is no number is not right
    return np.where(end.variance > end.epsilon, distance, 0.0)


def off_share(end: LayerEnd) -> float | None:
    """The share of a layer's channels whose running statistics are off."""
    distances = off_by(end)
    return None if distances is None else float((distances >= 1).mean())


def off_sentence(off: Worst) -> str:
    """How many channels of the worst layer are off, and in how many layers a quarter or more are."""
    end = off.ends[0]
    channels = range_text([round(score * end.channels) for score in off.scores], ",d")
    if not off.touched:
        return (
            f"At most {channels} of {counted(end.channels, 'channel')} of a layer are off by {MEAN_SHIFT:g} standard "
            f"deviations or a factor of {VARIANCE_FACTOR:g} in variance ({off.whole})."
        )
    return (
        f"In the worst layer {channels} of {counted(end.channels, 'channel')} are off by {MEAN_SHIFT:g} standard "
        f"deviations ({PRECISE}) or a factor of {VARIANCE_FACTOR:g} in variance; a quarter or more are in {off.basis}."
    )


def initial_values(group: Group) -> list[Verdict]:
    """Whether the running averages still hold much of the values that they started with.

    *Counting semantics.* After s steps (1 - momentum)^s of the start is left. The momentum is that of the records,
    where two steps in a row were recorded. A channel counts if this rest alone, the start's distance from the
    precise statistics weighed by it, moves the mean by `MEAN_SHIFT` deviations or the variance by a factor of
    `VARIANCE_FACTOR`; the share alone says little: 4 % left of an initial variance of 1 triples a running variance of
    0.02.
    """
    import numpy as np

    found = worst(group, _start_share, MOVED_SHARE)
    if found is None or not found.runs:
        return []
    end = max(zip(found.scores, found.ends, strict=True), key=lambda item: item[0])[1]
    momentum, left = _left(end)
    moved = _moved(end)
    shift, factor = map(np.median, moved)
    needed = max(_steps_needed(item) for item in found.ends)
    origin = "as recorded" if end.momentum is not None else "the default, since the records don't show it"
    return [
        Verdict(
            check="initial-values",
            level="warning",
            text=f"After {counted(end.steps, 'step')}, {100 * left:.2g} % of the initial running statistics is left in "
            f"the averages: (1 - momentum)^steps, with momentum {momentum:.3g}, {origin}. In the worst layer that rest "
            f"alone shifts the running mean by {shift:.2g} standard deviations ({PRECISE}) and multiplies the variance "
            f"by {factor:.3g} (medians of {counted(len(moved[0]), 'channel')}); half the channels or more are moved in "
            f"{found.basis}.",
            variant=group.variant,
            seeds=found.seeds,
            layer=found.layer,
            remedy=f"Train for {counted(needed, 'step')} or more (more epochs, smaller batches): then the rest is less "
            "than a fifth of the precise variance. Or raise the momentum, or evaluate with precise statistics.",
            source=IOFFE_SZEGEDY_2015,
        )
    ]


def _left(end: LayerEnd) -> tuple[float, float]:
    """Momentum, and the share of the initial values that is left."""
    momentum = DEFAULT_MOMENTUM if end.momentum is None else end.momentum
    return momentum, (1 - momentum) ** end.steps


def _moved(end: LayerEnd) -> tuple[Array, Array]:
    """What is left of the start does this to each channel: deviations that the mean moves, factor on the variance.

    Collapsed channels are left out: they have next to no deviation to be moved by.
    """
    import numpy as np

    _, left = _left(end)
    assert end.mean is not None
    assert end.variance is not None
    varying = end.variance > end.epsilon
    mean, variance = end.mean[varying], end.variance[varying]
    shift = left * np.abs(end.first["running_mean"][varying] - mean) / np.sqrt(variance)
    return shift, 1 + left * (end.first["running_var"][varying] / variance - 1)


def _start_share(end: LayerEnd) -> float | None:
    if end.mean is None or end.variance is None or end.is_cumulative or end.momentum == 0:
        return None
    shift, factor = _moved(end)
    moved = (shift >= MEAN_SHIFT) | (factor >= VARIANCE_FACTOR) | (factor <= 1 / VARIANCE_FACTOR)
    return float(moved.sum() / end.channels)


def _steps_needed(end: LayerEnd) -> int:
    """Until the rest of the initial variance is small beside the precise variance in half of the channels."""
    import numpy as np

    momentum, _ = _left(end)
    if not 0 < momentum < 1:
        return end.steps + 1
    assert end.variance is not None
    varying = end.variance > end.epsilon
    ratio = float(np.median(end.first["running_var"][varying] / end.variance[varying]))
    needed = math.log((VARIANCE_FACTOR - 1) / max(ratio, VARIANCE_FACTOR)) / math.log(1 - momentum)
    return max(end.steps + 1, math.ceil(needed))


def batch_noise(group: Group) -> list[Verdict]:
    """Whether the batches are large enough for their means and variances to mean something.

    *Counting semantics.* Over the last `NOISE_STEPS` recorded steps of the last epoch, the root of half the mean square
    difference of neighbouring batch means: that is the batches' standard deviation, but leaves out what moves slowly,
    as statistics do while the weights change (von Neumann 1941). In standard deviations of the precise statistics;
    median over the channels. Noise d is that of 1 / d^2 independent values per channel. The last batch of the epoch,
    which may be smaller, is left out.
    """
    if moves_fast(group):
        return []  # neighbouring batches then differ by the weights, and `update_ratios` says so
    found = worst(group, _mean_noise, WARNING_VALUES**-0.5)
    if found is None:
        return []
    noise = found.score
    level: Level = "good"
    if noise >= WARNING_VALUES**-0.5:
        level = "problem" if noise >= PROBLEM_VALUES**-0.5 else "warning"
    sizes = sorted({run.config.batch_size for run in group.recorded})
    end = found.ends[0]
    text = (
        f"In the noisiest of {counted(found.looked_at, 'BatchNorm layer')}, batch means scatter by "
        f"{range_text(found.scores, '.2f')} standard deviations ({PRECISE}), as if a batch had "
        f"{max(1, round(noise**-2)) if noise else 'endless'} independent values per channel, and batch variances by "
        f"{range_text([100 * _variance_noise(item) for item in found.ends], '.0f')} % (medians of "
        f"{counted(end.channels, 'channel')}, {counted(len(end.batch_mean), 'step')} of the last epoch, "
        f"{counted(found.recorded, 'recorded run')}; batches of {', '.join(map(str, sizes))})."
    )
    if level == "good":
        return [Verdict("batch-noise", level, text, group.variant, layer=found.layer)]
    return [
        Verdict(
            check="batch-noise",
            level=level,
            text=text,
            variant=group.variant,
            seeds=found.seeds,
            layer=found.layer,
            remedy="Use batches of 16 images or more (--batch-size), or a normalisation that does not depend on the "
            "batch (--vary norm=batch,group).",
            source=WU_HE_2018,
        )
    ]


def _mean_noise(end: LayerEnd) -> float | None:
    import numpy as np

    return None if end.variance is None else _noise(end.batch_mean, np.sqrt(end.variance), end.variance > end.epsilon)


def _variance_noise(end: LayerEnd) -> float:
    assert end.variance is not None
    return _noise(end.batch_var, end.variance, end.variance > end.epsilon) or 0.0


def _noise(rows: Array, unit: Array, varying: Array) -> float | None:
    """The noise of a batch statistic, as the median over channels.

    None for too few rows to tell, and where half the channels have collapsed, whose units are next to nothing.
    """
    import numpy as np

    if len(rows) < 4 or varying.mean() <= 0.5:  # three differences
        return None
    differences = np.diff(rows[:, varying], axis=0)
    value = float(np.median(np.sqrt((differences**2).mean(axis=0) / 2) / unit[varying]))
    return value if math.isfinite(value) else None
