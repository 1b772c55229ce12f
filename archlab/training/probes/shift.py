"""Internal covariate shift: how far the gradient of a layer is changed by a step's update of the layers before it.

After Santurkar, Tsipras, Ilyas and Madry (2018, How Does Batch Normalization Help Optimization?, definition 2.1): for a
layer i, G is the gradient of the loss with respect to its weights before the step, and G' the same where the layers
before i have their weights from after the step. `shift` is |G - G'|, `shift_cosine` the cosine of the two: 1 where the
update of earlier layers left the layer's own problem as it was.

Measuring semantics: the step is the one that trained, whatever its optimiser, the loss that of the probed images (the
paper takes those of the step). A layer is one with weights, in the order in which they are first called; its gradient
is with respect to all that it trains itself. What lies before it are all parameters of layers called earlier, scales
and shifts among them. The first layer has no layers before it, and so no shift. Each layer takes a forward and a
backward pass, so at most `MOST_LAYERS` are measured, spread over all depths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from archlab.training.probes.surface import Surface, joint_norm

MOST_LAYERS = 16


def covariate_shift(
    surface: Surface, order: Sequence[Sequence[str]], measured: Sequence[int], before: Mapping[str, Tensor]
) -> list[list[Tensor]]:
    """`Probes.SHIFT` of each measured layer, 0-dimensional each. All that it moves is put back.

    Args:
        surface: the loss, at the weights after the step.
        order: of each layer the names of its parameters, in the order of the forward pass.
        measured: places in it.
        before: all parameters from before the step.
    """
    found = []
    with surface.moving() as after:
        move(surface, before)
        wanted = list(dict.fromkeys(name for place in measured for name in order[place]))
        unmoved = dict(zip(wanted, surface.gradient(wanted)[1], strict=True))
        done = 0
        for place in measured:
            move(surface, {name: after[name] for names in order[done:place] for name in names})
            done = place
            here = [unmoved[name] for name in order[place]]
            _, there = surface.gradient(order[place])
            dot = torch.stack([(one * other).sum() for one, other in zip(here, there, strict=True)]).sum()
            difference = joint_norm([one - other for one, other in zip(here, there, strict=True)])
            found.append([difference, dot / (joint_norm(here) * joint_norm(there))])
    return found


def move(surface: Surface, weights: Mapping[str, Tensor]) -> None:
    """Put these values into the parameters of their names."""
    with torch.no_grad():
        for name, weight in weights.items():
            surface.parameters[name].copy_(weight)
