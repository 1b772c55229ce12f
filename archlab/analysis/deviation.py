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
    """What evaluation makes of a layer's channels, (rows, channels) each; both are 0 where it does as it should.

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


def deviation(run: Run, recording: NormRecording, path: str) -> Deviation | None:
    """A layer's deviation at each recorded step; None where no end of an epoch has precise statistics."""
    import numpy as np

    measured = recording.population.get(path)
    row_of = {step: row for row, step in enumerate(recording.steps)}
    epochs = zip(run.epochs, range(len(measured["mean"])), strict=False) if measured else ()
    ends = [(row_of[epoch.step], place) for epoch, place in epochs if epoch.step in row_of]
    if measured is None or not ends:
        return None
    rows, places = (list(column) for column in zip(*ends, strict=True))
    layer = {name: values.astype(np.float64) for name, values in recording.layers[path].items()}
    mean = between_ends(layer["batch_mean"], rows, measured["mean"][places])
    log_variance = between_ends(_log(layer["batch_var"]), rows, _log(measured["variance"][places]))
    return Deviation(
        ratio=_log(layer["running_var"]) - log_variance,
        shift=(layer["running_mean"] - mean) / np.exp(log_variance / 2),
    )


def between_ends(batches: Array, ends: Sequence[int], measured: Array) -> Array:
    """(rows, channels) the precise statistic at each row: as measured at the ends of epochs, estimated between them.

    The estimate is a moving average of what the batches held, centred on the row, moved by what it misses at the ends:
    between two of them by a mixture of what it misses at both. It is exact at the ends, and everywhere for a statistic
    that moves on a straight line, whatever constant the batches' own is off by.

    >>> import numpy as np
    >>> between_ends(np.array([[np.nan], [1.0], [2.0], [3.0], [4.0]]), [4], np.array([[4.5]])).round(2).tolist()
    [[1.5], [1.5], [2.5], [3.5], [4.5]]

    Args:
        batches: (rows, channels) the statistic of each row's batch; NaN where there is none, as in the first row.
        ends: rows at which it was measured, ascending.
        measured: (ends, channels).
    """
    import numpy as np

    followed = _centred(batches, min(REACH, max(1, ends[0] // 4)))
    missed = np.asarray(measured, dtype=np.float64) - followed[ends]
    rows = np.arange(len(batches))
    right = np.clip(np.searchsorted(ends, rows), 0, len(ends) - 1)
    left = np.maximum(right - 1, 0)
    length = np.maximum(np.take(ends, right) - np.take(ends, left), 1)
    share = np.clip((rows - np.take(ends, left)) / length, 0, 1)[:, None]
    share[rows <= ends[0]] = 1  # before the first end there is nothing to mix with
    return followed + (1 - share) * missed[left] + share * missed[right]


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


def _centred(values: Array, reach: int) -> Array:
    """The average of each row and as many rows on both sides as there are, up to `reach`; gaps are left out.

    Fewer rows near the ends keep the average centred: one that looks further back than ahead lags.
    """
    import numpy as np

    known = np.isfinite(values)
    sums, counts = (
        np.concatenate([np.zeros((1, values.shape[1])), part.cumsum(axis=0)])
        for part in (np.where(known, values, 0.0), known.astype(np.float64))
    )
    rows = np.arange(len(values))
    first = int(known.any(axis=1).argmax())  # before it there is no batch
    width = np.clip(np.minimum(rows - first, len(values) - 1 - rows), 0, reach)
    start, end = np.maximum(rows - width, 0), rows + width + 1
    start[rows < first], end[rows < first] = first, first + 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return (sums[end] - sums[start]) / (counts[end] - counts[start])
