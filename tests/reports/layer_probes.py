"""Probes of layers for the tests of reports, made by hand."""

from __future__ import annotations

import numpy as np

from archlab.records import GradientCorrelation, LayerSeries, Probes, Similarity

STEPS = (0, 2, 4)


def layer_probes(norm: bool = True, seed: int = 0, steps: tuple[int, ...] = STEPS) -> Probes:
    """Gradients of 10 ** (layer - last) at step 0 and ten times that at each further look, and `seed` + 1 as much.

    The layers are conv, norm, relu and head; without a norm, conv, relu and head.
    """
    names = ("conv", "norm", "relu", "head") if norm else ("conv", "relu", "head")
    shape = len(steps), len(names)
    powers = np.arange(len(names)) - len(names) + 1 + np.minimum(np.arange(len(steps)), 20)[:, None]
    gradient = (seed + 1) * 10.0**powers
    zeros = np.zeros(shape)
    zeros[:, -2] = 0.25
    updates = np.full(shape, np.nan)
    updates[1:, 0] = 0.5
    signals = {"gradient_norm": gradient, "activation_zeros": zeros, "update_ratio": updates}
    rank = {"effective_rank": np.full((len(steps), 2), 3.0), "feature_saturation": np.full((len(steps), 2), 0.5)}
    shift = {"shift": np.full((len(steps) - 1, 1), 0.125), "shift_cosine": np.full((len(steps) - 1, 1), -0.5)}
    branches = {"branch_variance": np.full((len(steps), 1), 2.0), "skip_variance": np.full((len(steps), 1), 8.0)}
    weighted = np.array([name in ("conv", "head") for name in names])
    angle = np.float32(0.6 if norm else 0.8)
    rows = np.array([[1, 0, 0], [angle, (1 - angle**2) ** 0.5, 0]], dtype=np.float32) / np.float32(2**0.5)
    alignment = np.tile(np.array([[1, angle], [angle, 1]], dtype=np.float32), (len(steps), 1, 1))
    correlation = np.array([[1, 0.5, 0], *[[1, 0.75, 0.25]] * (len(steps) - 1)], dtype=np.float32)
    return Probes(
        signals=_series(names, steps, signals, weighted),
        rank=_series(("conv", "head"), steps, rank),
        shift=_series(("head",), steps[1:], shift),
        branches=_series(("block",), steps, branches) if norm else None,
        similarity=Similarity(steps, ("conv", "head"), alignment, rows, images=3),
        correlation=GradientCorrelation(steps, np.array([0, 0.5, 1], dtype=np.float32), correlation, lines=8),
    )


def _series(
    names: tuple[str, ...],
    steps: tuple[int, ...],
    quantities: dict[str, np.ndarray],
    weighted: np.ndarray | None = None,
) -> LayerSeries:
    arrays = {name: values.astype(np.float32) for name, values in quantities.items()}
    return LayerSeries(steps, names, arrays, images=256, weighted=weighted)
