"""Adam (Kingma and Ba 2015, algorithm 1), all parameters in one call.

The arithmetic is `torch.optim.Adam(fused=True)`'s: the same kernel. What is left out is the class around it, whose
first use imports torch's compiler (over a second) and whose checks cost a small network a tenth of each step.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Updates parameters in place; betas 0.9 and 0.999, epsilon 1e-8, torch's defaults and the paper's."""

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self._parameters = list(parameters)
        self._learning_rate = learning_rate
        self._states = [
            (torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros((), device=parameter.device))
            for parameter in self._parameters
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient, and drop the gradients."""
        parameters, gradients, means, squares, steps = [], [], [], [], []
        for parameter, (mean, square, step) in zip(self._parameters, self._states, strict=True):
            if parameter.grad is not None:
                parameters.append(parameter)
                gradients.append(parameter.grad)
                means.append(mean)
                squares.append(square)
                steps.append(step)
                parameter.grad = None
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
