"""How alike the gradients of a network's output with respect to nearby images are.

After Balduzzi, Frean, Leary, Lewis, Ma and McWilliams (2017, The Shattered Gradients Problem: If resnets are the
answer, then what is the question?, section 2): in deep networks without skip connections gradients with respect to
inputs that differ little have as little to do with each other as white noise; with skip connections they stay alike.

Measuring semantics: on the straight lines between pairs of probed images lie `POINTS` images each, all one batch, by
whose statistics BatchNorm normalises. The output is the logit of the class of a line's first image. Of every two points
of a line the cosine of the gradients with respect to them is taken; `correlation` is its mean over all pairs of points
that lie a distance apart, and over the lines. It is 1 at every distance for a linear network. Points without any
gradient are left out. (The paper moves along one axis and takes covariances; on images a line between two stays among
what the network may meet.)
"""

from __future__ import annotations

from collections.abc import Sized

import torch
from torch import Tensor

from archlab.training.probes.surface import TrainingLoss

LINES = 8
POINTS = 32
"""On a line; with the lines they are as many images as other probes take."""


def distances() -> Tensor:
    """(POINTS,) shares of a line, from 0 to 1."""
    return torch.linspace(0, 1, POINTS)


def gradient_correlation(loss: TrainingLoss) -> Tensor:
    """(POINTS,) the mean cosine at each of the distances."""
    images = loss.images.detach()
    lines = lines_of(images)
    starts, ends = images[:lines, None], images[-lines:].flip(0)[:, None]
    shares = distances().to(images).view(1, POINTS, *[1] * (images.dim() - 1))
    between = torch.lerp(starts, ends, shares).flatten(0, 1).requires_grad_()
    classes = loss.labels[:lines].repeat_interleave(POINTS)[:, None]
    with torch.enable_grad():
        chosen = loss.logits(between).gather(1, classes).sum()
        (gradient,) = torch.autograd.grad(chosen, between, materialize_grads=True)
    return mean_cosines(gradient.view(lines, POINTS, -1))


def lines_of(images: Sized) -> int:
    """How many lines lie between so many images: no image is at two ends, but where there is a single one."""
    return max(1, min(LINES, len(images) // 2))


def mean_cosines(vectors: Tensor) -> Tensor:
    """(points,) the mean cosine of vectors that lie 0, 1, ... places apart, from (lines, points, elements)."""
    lengths = torch.linalg.vector_norm(vectors.to(torch.float64), dim=-1, keepdim=True)
    directions = torch.where(lengths > 0, vectors / lengths, torch.nan)
    cosines = directions @ directions.transpose(1, 2)
    return torch.stack([cosines.diagonal(apart, 1, 2).nanmean() for apart in range(vectors.shape[1])]).float()
