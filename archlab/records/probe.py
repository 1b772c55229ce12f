"""What was probed of a run: its layers and the loss around its weights while it trained, and a plane at the end.

All of it is of a fixed set of training images, as in a training step: BatchNorm normalises by the statistics of these
images, whatever the running ones are. Losses are in nats. A number that is not finite is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from archlab.records.display import Shown

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Smoothness(Shown):
    """The loss L and its gradient g at the weights w - eta g(w), for some rates eta, at some steps.

    Row i of each array belongs to `steps[i]`, column j to `rates[j]`.
    """

    steps: tuple[int, ...]
    """Optimiser steps done; 0 is before the first."""
    rates: Array
    """(rates,) eta, rising."""
    loss: Array
    """(steps,) L(w)."""
    gradient: Array
    """(steps,) Euclidean norm of g(w), over all parameters that are trained."""
    losses: Array
    """(steps, rates) L(w - eta g(w))."""
    changes: Array
    """(steps, rates) Euclidean norm of g(w - eta g(w)) - g(w)."""
    images: int
    """Training images that the loss is the mean over."""


@dataclass(frozen=True, slots=True)
class Landscape(Shown):
    """The loss in a plane through the trained weights, in two random directions of the weights' own scale."""

    coordinates: Array
    """(points,) from -1 to 1, the weights themselves at 0: how far along a direction."""
    losses: Array
    """(points, points): rows along the second direction, columns along the first."""
    images: int
    """Training images that the loss is the mean over."""


@dataclass(frozen=True, slots=True)
class LayerSeries(Shown):
    """Numbers of a network's layers at some steps.

    Row i of each array belongs to `steps[i]`, column j to `layers[j]`; NaN is where a layer has no such number.
    """

    steps: tuple[int, ...]
    """Optimiser steps done; 0 is before the first."""
    layers: tuple[str, ...]
    """Paths in the order of the forward pass. The second call of a layer in it is `PATH #2`."""
    quantities: Mapping[str, Array]
    """Quantity -> (steps, layers); `Probes` says which there are."""
    images: int
    """Training images that they are taken over."""
    weighted: Array | None = None
    """(layers,) whether a layer has a matrix or a kernel of its own that is trained, not only scales and shifts; None
    where that isn't known."""


@dataclass(frozen=True, slots=True)
class Similarity(Shown):
    """How alike the features of layers are: centred kernel alignment (CKA) with a linear kernel, debiased.

    1 where two layers' features are equal up to a rotation and a scale, about 0 where they have nothing in common.
    """

    steps: tuple[int, ...]
    layers: tuple[str, ...]
    alignment: Array
    """(steps, layers, layers), symmetric."""
    last: Array
    """(layers, pairs of images) of the last step: the centred kernel of each layer's features above its diagonal, with
    a norm of 1 as a whole matrix, so that twice the product of two layers' rows is their alignment. With it, networks
    that saw the same images compare."""
    images: int


@dataclass(frozen=True, slots=True)
class GradientCorrelation(Shown):
    """How alike the gradients with respect to two images are that lie a distance apart on the line between two."""

    steps: tuple[int, ...]
    distances: Array
    """(distances,) from 0 to 1, the whole line, rising."""
    correlation: Array
    """(steps, distances) the mean cosine of the two gradients."""
    lines: int
    """Lines that it is the mean over, each between two training images."""


@dataclass(frozen=True, slots=True)
class Probes(Shown):
    """What was probed of one run; None for what was not."""

    SIGNALS: ClassVar[tuple[str, ...]] = (
        "activation_norm",
        "activation_mean",
        "activation_variance",
        "activation_zeros",
        "activation_saturated",
        "activation_dead",
        "gradient_norm",
        "gradient_mean",
        "gradient_variance",
        "gradient_zeros",
        "weight_norm",
        "weight_gradient_norm",
        "update_ratio",
    )
    BRANCHES: ClassVar[tuple[str, ...]] = ("branch_variance", "skip_variance")
    SHIFT: ClassVar[tuple[str, ...]] = ("shift", "shift_cosine")
    RANK: ClassVar[tuple[str, ...]] = ("effective_rank", "feature_saturation")

    smoothness: Smoothness | None = None
    landscape: Landscape | None = None
    signals: LayerSeries | None = None
    """Of what each layer gives, of the gradient that comes back to it, and of its weights."""
    branches: LayerSeries | None = None
    """Of both sides of each addition that joins a branch with its skip connection."""
    shift: LayerSeries | None = None
    """Internal covariate shift of the layers with weights."""
    rank: LayerSeries | None = None
    """How many dimensions the features of layers use."""
    similarity: Similarity | None = None
    correlation: GradientCorrelation | None = None
