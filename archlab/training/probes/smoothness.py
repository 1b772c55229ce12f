"""How the loss and its gradient change along the gradient, every k steps.

After Santurkar, Tsipras, Ilyas and Madry (2018, How Does Batch Normalization Help Optimization?, section 3.2): where
the loss L(w - eta g) varies little over eta, and the gradient there is close to g, the surface is smooth, and a step
does what the gradient promised.

Measuring semantics: w are the weights after a step, and g the gradient of the loss that `surface.py` describes, over
all trainable parameters; both are as they would be in a step of gradient descent, whatever optimiser trains. At step 0
are the first weights. A loss or gradient that is not finite is noted as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from archlab.records.probe import Smoothness
from archlab.training.probes.surface import Surface, joint_norm

RATES = tuple(2.0**power for power in range(-7, 1))
"""Eta, from 1/128 to 1 and the same for every run, so that variants compare whatever their learning rate is.

Adam's own rate is no measure for it: it moves each weight by about that rate however small the gradient is, which makes
a step of 0.2 for LeNet's 45,000 weights at the course's 0.001. For gradients of the usual norm, 0.2 to 2, a step of
that length is an eta of 0.1 to 1. The rates reach from a fraction of it, where only curvature counts, to where the loss
begins to rise again.
"""


def along_gradient(surface: Surface, rates: Iterable[float]) -> Tensor:
    """(2 + 2 rates,): loss, norm of the gradient, the loss at each rate, the norm of the gradient's change at each.

    All that it moves is put back.
    """
    losses, changes = [], []
    with surface.moving() as weights:
        loss, gradient = surface.gradient()
        for rate in rates:
            with torch.no_grad():
                for parameter, weight, slope in zip(
                    surface.parameters.values(), weights.values(), gradient, strict=True
                ):
                    parameter.copy_(torch.sub(weight, slope, alpha=rate))
            moved_loss, moved = surface.gradient()
            losses.append(moved_loss)
            changes.append(joint_norm([after - before for after, before in zip(moved, gradient, strict=True)]))
    return torch.stack([loss, joint_norm(gradient), *losses, *changes])


class SmoothnessProbe:
    """Looks along the gradient while a network trains.

    Args:
        surface: the loss.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._steps: list[int] = []
        self._rows: list[Tensor] = []

    def look(self, step: int) -> None:
        """Measure at the weights as they are after that many steps."""
        self._rows.append(along_gradient(self._surface, RATES))
        self._steps.append(step)

    def state(self) -> dict[str, Any]:
        """Everything so far, as a tree of plain values and tensors."""
        return {"steps": self._steps, "rows": self._rows}

    def restore(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from there."""
        self._steps, self._rows = state["steps"], [row.to(device) for row in state["rows"]]

    def smoothness(self) -> Smoothness | None:
        """Everything so far; None before the first look."""
        if not self._rows:
            return None
        rows = torch.stack(self._rows).to("cpu", torch.float32)
        losses, changes = torch.split(rows[:, 2:], len(RATES), dim=1)
        return Smoothness(
            steps=tuple(self._steps),
            rates=torch.tensor(RATES).numpy(),
            loss=rows[:, 0].numpy(),
            gradient=rows[:, 1].numpy(),
            losses=losses.numpy(),
            changes=changes.numpy(),
            images=self._surface.images,
        )
