"""What was measured of the loss around a run's weights: along the gradient while it trained, in a plane at the end.

Losses are those of a fixed set of training images, in nats, as in a training step: BatchNorm normalises by the
statistics of these images, whatever the running ones are. A loss that is not finite is kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class Smoothness:
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
class Landscape:
    """The loss in a plane through the trained weights, in two random directions of the weights' own scale."""

    coordinates: Array
    """(points,) from -1 to 1, the weights themselves at 0: how far along a direction."""
    losses: Array
    """(points, points): rows along the second direction, columns along the first."""
    images: int
    """Training images that the loss is the mean over."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What was probed of one run; None for what was not."""

    smoothness: Smoothness | None = None
    landscape: Landscape | None = None
