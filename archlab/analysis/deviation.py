"""How far a BatchNorm layer's running statistics are from precise ones, at every recorded step.

Precise statistics are measured at the ends of epochs; between them they are estimated from the batches that training
saw (`between_ends`). To measure them at every step instead would take a forward pass over thousands of images per step:
some sixty times the training of LeNet on digits at batch 16. There the estimate misses the measured logarithm of the
variance by 0.13 and the mean by 0.11 standard deviations (root mean square, seed 0, 4 epochs), where a straight line
between the ends misses the mean by 1.06 in the first epoch and by 0.26 later, more than the 0.15 by which the running
mean itself is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archlab.analysis.verdicts.group import EPSILON, condense
from archlab.analysis.verdicts.norms import off_by
from archlab.records import NormRecording, Run

Array = Any  # a NumPy array; naming its type would import NumPy

REACH = 7
"""Recorded batches on each side that an estimate is averaged over at most: of 2, 5, 10, 20 and 40, both 5 and 10 came
nearest to what was measured, at batches of 16 and of 64."""


@dataclass(frozen=True, slots=True, eq=False)
class Deviation:
    """What evaluation makes of a layer's channels, (steps, channels) each; both are 0 where it does as it should.

    An input x of precise mean m and variance v is normalised to mean 0 and variance 1 by precise statistics. By running
    ones it gets the mean -shift / exp(ratio / 2) and the standard deviation 1 / exp(ratio / 2).
    """

    ratio: Array
    """The natural logarithm of running over precise variance, both with BatchNorm's eps of 1e-5."""
    shift: Array
    """Running minus precise mean, in precise standard deviations."""


@dataclass(frozen=True, slots=True)
class WorstChannel:
    """Where running statistics are the furthest from precise ones, at the end of a run.

    The channel that is the furthest off, in mean or variance, of the layer with the largest share of channels that are.
    """

    layer: str
    channel: int
    off: int
    """Channels of the layer that are off, as the verdict on running statistics counts them."""
    channels: int
    """Of the layer."""
    distance: float
    """Of the channel: 1 is where it counts as off."""
    ratio: float
    """The channel's, as in `Deviation`, with its shift."""
    shift: float

    @property
    def rank(self) -> tuple[float, float]:
        """The larger, the worse."""
        return self.off / self.channels, self.distance


def deviation(run: Run, recording: NormRecording, path: str, steps: Sequence[int] | None = None) -> Deviation | None:
    """A layer's deviation at some recorded steps, or at all; None where no end of an epoch has precise statistics."""
    import numpy as np

    measured = recording.population.get(path)
    row_of = {step: row for row, step in enumerate(recording.steps)}
    epochs = zip(run.epochs, range(len(measured["mean"])), strict=False) if measured else ()
    ends = [
        (row_of[epoch.step], place)
        for epoch, place in epochs
        if measured and epoch.step in row_of and not np.isnan(measured["mean"][place]).all()  # not every epoch has some
    ]
    if measured is None or not ends:
        return None
    end_rows, places = (list(column) for column in zip(*ends, strict=True))
    rows = [row_of[step] for step in (recording.steps if steps is None else steps)]
    layer = recording.layers[path]
    mean = between_ends(layer["batch_mean"], end_rows, measured["mean"][places], rows)
    log_variance = between_ends(_log(layer["batch_var"]), end_rows, _log(measured["variance"][places]), rows)
    return Deviation(
        ratio=_log(layer["running_var"][rows]) - log_variance,
        shift=(layer["running_mean"][rows] - mean) / np.exp(log_variance / 2),
    )


def between_ends(batches: Array, ends: Sequence[int], measured: Array, rows: Sequence[int]) -> Array:
    """The precise statistic at some rows: as measured at the ends of epochs, estimated between them.

    The estimate is a moving average of what the batches held, centred on the row, moved by what it misses at the ends:
    between two of them by a mixture of what it misses at both. It is exact at the ends, and everywhere for a statistic
    that moves on a straight line, whatever constant the batches' own is off by.

    >>> import numpy as np
    >>> batches = np.array([[np.nan], [1.0], [2.0], [3.0], [4.0]])
    >>> between_ends(batches, [4], np.array([[4.5]]), range(5)).tolist()
    [[1.5], [1.5], [2.5], [3.5], [4.5]]

    Args:
        batches: (all rows, channels) the statistic of each row's batch; NaN where there is none, as in the first row.
        ends: rows at which it was measured, ascending.
        measured: (ends, channels).
        rows: those that are asked for; the result is (rows, channels).
    """
    import numpy as np

    reach = min(REACH, max(1, ends[0] // 4))
    missed = np.asarray(measured, dtype=np.float64) - _centred(batches, np.asarray(ends), reach)
    at = np.asarray(rows)
    right = np.clip(np.searchsorted(ends, at), 0, len(ends) - 1)
    left = np.maximum(right - 1, 0)
    length = np.maximum(np.take(ends, right) - np.take(ends, left), 1)
    # Before the first end, and after the last, there is nothing to mix with.
    share = np.where(at <= ends[0], 1, np.clip((at - np.take(ends, left)) / length, 0, 1))[:, None]
    return _centred(batches, at, reach) + (1 - share) * missed[left] + share * missed[right]


def worst_channel(run: Run, recording: NormRecording) -> WorstChannel | None:
    """The worst channel of the worst layer at the end of the last epoch; None where that can't be told."""
    import numpy as np

    found = []
    for end in condense(run, recording):
        distances = off_by(end)
        if distances is not None and end.mean is not None and end.variance is not None:
            at = int(distances.argmax())
            ratio = float(_log(end.running_var[at]) - _log(end.variance[at]))
            shift = float((end.running_mean[at] - end.mean[at]) / np.sqrt(end.variance[at] + EPSILON))
            off = int((distances >= 1).sum())
            found.append(WorstChannel(end.path, at, off, end.channels, float(distances[at]), ratio, shift))
    return max(found, key=lambda one: one.rank, default=None)


def _log(variance: Array) -> Array:
    import numpy as np

    return np.log(np.maximum(np.asarray(variance, dtype=np.float64), 0) + EPSILON)


def _centred(values: Array, rows: Array, reach: int) -> Array:
    """The average of each row and of as many on both sides as there are, up to `reach`; gaps are left out.

    Fewer rows near the ends keep the average centred: one that looks further back than ahead lags.
    """
    import numpy as np

    first, last = (0 if np.isfinite(values[0]).any() else 1), len(values) - 1  # before the first step there is no batch
    width = np.clip(np.minimum(rows - first, last - rows), 0, reach)
    sums, counts = np.zeros((2, len(rows), values.shape[1]))
    for away in range(-reach, reach + 1):
        taken = values[np.clip(rows + away, first, last)]
        counted = np.isfinite(taken) & (abs(away) <= width)[:, None]
        sums += np.where(counted, taken, 0.0)
        counts += counted
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums / counts
