"""The loss in a plane through the trained weights, in two random filter-normalised directions.

After Li, Xu, Taylor, Studer and Goldstein (2018, Visualizing the Loss Landscape of Neural Nets, section 4): a network
with ReLU or normalisation gives the same outputs when a filter is scaled and the next layer or the norm undoes it, so
that a step of a given length means nothing by itself. Each filter of a direction is therefore scaled to the norm of the
network's own filter: a distance of 1 changes every filter by its own norm.

Measuring semantics: a direction is drawn from (seed, number of the direction, name of the parameter) alone, so that
variants share the draws of the layers that they share. A filter is a slice along a weight's first axis: an output
channel of a convolution (an input channel of a transposed one), a neuron of a linear layer. Biases, the scales and
shifts of normalisation layers and other vectors are not moved. The loss is the one that `surface.py` describes: of the
same images everywhere, BatchNorm by their own statistics (the paper's own program evaluates with the running ones).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor

from archlab.records.probe import Landscape
from archlab.training import seeding
from archlab.training.probes.surface import Surface, has_filters


def measure(
    surface: Surface,
    seed: int,
    points: int,
    on_point: Callable[[int], None] = lambda point: None,
    losses: list[Tensor] | None = None,
) -> Landscape:
    """The landscape around the weights as they are, which it puts back.

    Args:
        surface: the loss.
        seed: decides the directions.
        points: on each side of the grid, odd: the weights themselves are its middle.
        on_point: called after each point with the number of points so far.
        losses: of the first points, row by row, where some are known; the others join them as they are measured.
    """
    losses = [] if losses is None else losses
    first, second = (direction(surface, seed, number) for number in (1, 2))
    middle = points // 2
    coordinates = [(place - middle) / middle for place in range(points)]
    with surface.moving() as weights, torch.no_grad():
        for y, x in itertools.islice(itertools.product(coordinates, coordinates), len(losses), None):
            for name, along in first.items():
                surface.parameters[name].copy_(weights[name] + x * along + y * second[name])
            losses.append(surface.loss())
            on_point(len(losses))
    return Landscape(
        coordinates=torch.tensor(coordinates).numpy(),
        losses=torch.stack(losses).to("cpu", torch.float32).view(points, points).numpy(),
        images=surface.images,
    )


def direction(surface: Surface, seed: int, number: int) -> dict[str, Tensor]:
    """A random direction: a tensor for each parameter that it moves, every filter with the norm of the network's."""
    found = {}
    for name, parameter in surface.parameters.items():
        if has_filters(surface.network.get_submodule(name.rpartition(".")[0]), parameter):
            generator = torch.Generator().manual_seed(seeding.derive(seed, "landscape", number, name))
            drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
            found[name] = drawn * (_filter_norms(parameter.detach()) / _filter_norms(drawn))
    return found


def _filter_norms(weight: Tensor) -> Tensor:
    """(filters, 1, ...)."""
    norms: Tensor = torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.dim())), keepdim=True)
    return norms
