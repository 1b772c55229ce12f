"""What the probes of layers say together: the layers of several runs in one order, and their numbers beside each other.

Everything here takes and returns NumPy arrays; what isn't there is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from archlab.records import LayerSeries, Similarity

Array = Any  # a NumPy array; naming its type would import NumPy


def merged(orders: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """All names of some sequences in one order; a name that earlier ones lack stands behind the one before it.

    >>> merged([["conv", "relu", "head"], ["conv", "norm", "relu", "head"]])
    ('conv', 'norm', 'relu', 'head')
    """
    found: list[str] = []
    for names in orders:
        place = 0
        for name in names:
            if name not in found:
                found.insert(place, name)
            place = found.index(name) + 1
    return tuple(found)


def with_weights(series: LayerSeries) -> list[str]:
    """The layers with a matrix or a kernel that is trained; all where that isn't known."""
    if series.weighted is None:
        return list(series.layers)
    return [name for name, weighted in zip(series.layers, series.weighted, strict=True) if weighted]


def shown_steps(runs: Iterable[Sequence[int]], most: int) -> tuple[int, ...]:
    """The steps of several runs' looks, evenly thinned to `most`; the first is kept, and the last of each run.

    >>> shown_steps([range(0, 101, 10), range(0, 61, 10)], 5)
    (0, 20, 50, 60, 80, 100)
    """
    import numpy as np

    runs = [steps for steps in runs if len(steps)]
    every = sorted({step for steps in runs for step in steps})
    places = np.linspace(0, len(every) - 1, min(most, len(every))).round().astype(int)
    return tuple(sorted({every[place] for place in places} | {steps[-1] for steps in runs}))


def placed(series: LayerSeries | None, quantity: str, layers: Sequence[str], steps: Sequence[int]) -> Array:
    """(layers, steps) a quantity at the layers and the steps that are asked for; NaN where it was not measured."""
    import numpy as np

    values = np.full((len(layers), len(steps)), np.nan, dtype=np.float32)
    if series is None or quantity not in series.quantities:
        return values
    rows = {step: row for row, step in enumerate(series.steps)}
    columns = {name: column for column, name in enumerate(series.layers)}
    to = [(place, columns[name]) for place, name in enumerate(layers) if name in columns]
    at = [(place, rows[step]) for place, step in enumerate(steps) if step in rows]
    if to and at:
        (into, columns_read), (over, rows_read) = zip(*to, strict=True), zip(*at, strict=True)
        values[np.ix_(into, over)] = series.quantities[quantity][np.ix_(rows_read, columns_read)].T
    return values


def branch_ratio(branches: LayerSeries, layers: Sequence[str], steps: Sequence[int]) -> Array:
    """(layers, steps) the variance of the branch over that of the skip connection; NaN where the latter is 0.

    Below 1 the block passes on mostly what it was given (De and Smith 2020, Batch Normalization Biases Residual Blocks
    Towards the Identity Function in Deep Networks, section 3).
    """
    import numpy as np

    branch, skip = (placed(branches, name, layers, steps) for name in ("branch_variance", "skip_variance"))
    return np.divide(branch, skip, out=np.full_like(branch, np.nan), where=skip > 0)


def unlogarithmic(values: Array) -> int:
    """How many values have no place on a logarithmic axis: those that are exactly 0, or infinite."""
    import numpy as np

    return int(((values == 0) | np.isinf(values)).sum())


def comparable(one: Similarity, other: Similarity) -> bool:
    """Whether the features of two runs of one seed can be compared: they are of the same number of images.

    That they are of the same images is for the caller to know: runs of the same seed and data probe the same.
    """
    return one.images == other.images and one.last.shape[1:] == other.last.shape[1:]


def alignment_between(one: Similarity, other: Similarity) -> Array:
    """(layers of one, layers of the other) how alike their features are at their last looks.

    Raises:
        ValueError: they are not `comparable`.
    """
    import numpy as np

    # Not as a matrix product: BLAS starts threads for it, which on a busy machine cost more than the sums.
    return 2 * np.einsum("ip,jp->ij", one.last, other.last, dtype=np.float64)
