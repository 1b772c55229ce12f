"""The optimisers: Adam, AdamW and SGD, all parameters in one call.

The arithmetic is that of `torch.optim.Adam(fused=True)`, `torch.optim.AdamW(fused=True)` and `torch.optim.SGD()`: the
same kernels. (SGD is not fused: torch's fused kernel rounds otherwise than its default one.) What is left out are the
classes around them, whose first use imports torch's compiler (over a second) and whose checks cost a small network a
tenth of each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from archlab.records import TrainingConfig


class Optimizer(Protocol):
    """Updates parameters in place."""

    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient, and drop the gradients."""

    def state(self) -> dict[str, Any]:
        """What it remembers of the steps so far, as a tree of plain values and tensors."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Remember what one of the same kind and parameters did."""

    @property
    def kind(self) -> tuple[object, ...]:
        """Equal for optimisers that update alike."""

    def joined(self, others: Sequence[Any], parameters: Sequence[Tensor]) -> Optimizer:
        """One that does in a call what this one and others of its kind do, after as many steps of each.

        Args:
            others: as `self`.
            parameters: those of all, each (optimisers, ...). What is remembered of them is from now on a part of what
                the joint one remembers, so that all go on by themselves from wherever it ends.
        """


def optimizer(config: TrainingConfig, parameters: Iterable[Tensor]) -> Optimizer:
    """The optimiser that a configuration names, for some parameters."""
    if config.optimizer in ("adam", "adamw"):
        return Adam(parameters, config.weight_decay, decoupled=config.optimizer == "adamw")
    return SGD(parameters, config.sgd_momentum, config.weight_decay, nesterov=config.optimizer == "nesterov")


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1); betas 0.9 and 0.999, epsilon 1e-8, torch's defaults and the paper's.

    Args:
        parameters: what is updated.
        weight_decay: times a weight, added to its gradient; or, if `decoupled` (AdamW, Loshchilov and Hutter 2019,
            algorithm 2), times the learning rate, taken off the weight.
        decoupled: which of the two.
    """

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float = 0.0, *, decoupled: bool = False) -> None:
        self._parameters = list(parameters)
        self._weight_decay, self._decoupled = weight_decay, decoupled
        self._update = adamw if decoupled else adam
        self._states = [
            (torch.zeros_like(parameter), torch.zeros_like(parameter), torch.zeros((), device=parameter.device))
            for parameter in self._parameters
        ]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
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
        self._update(
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
            lr=learning_rate,
            weight_decay=self._weight_decay,
            eps=1e-8,
            maximize=False,
        )

    def state(self) -> dict[str, Any]:
        """Both moments and the number of updates, of each parameter."""
        return {"states": self._states}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        for own, given in zip(self._states, state["states"], strict=True):
            for part, value in zip(own, given, strict=True):
                part.copy_(value)

    @property
    def kind(self) -> tuple[object, ...]:
        """What its arithmetic depends on."""
        return Adam, self._decoupled, self._weight_decay

    @torch.no_grad()
    def joined(self, others: Sequence[Adam], parameters: Sequence[Tensor]) -> Adam:
        """One that updates the parameters of all."""
        return _JointAdam([self, *others], parameters)


class _JointAdam(Adam):
    """Several that update in one call.

    Args:
        parts: them.
        parameters: (parts, ...) each.
    """

    def __init__(self, parts: Sequence[Adam], parameters: Sequence[Tensor]) -> None:
        self.__dict__.update(vars(parts[0]))
        self._parameters = list(parameters)
        # The kernel takes one number of steps for a tensor. It is the first part's, from which the others have theirs.
        self._counts = torch.stack([torch.stack([count for *_, count in part._states]) for part in parts])
        self._states = []
        for place in range(len(self._parameters)):
            means, squares = (torch.stack([part._states[place][moment] for part in parts]) for moment in (0, 1))
            self._states.append((means, squares, self._counts[0, place]))
            for number, part in enumerate(parts):
                part._states[place] = means[number], squares[number], self._counts[number, place]

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters of all parts."""
        super().step(learning_rate)
        self._counts[1:] = self._counts[:1]


class SGD:
    """Stochastic gradient descent as torch has it: the velocity v becomes momentum v + gradient, the weight w - lr v.

    Args:
        parameters: what is updated.
        momentum: 0 for none.
        weight_decay: times a weight, added to its gradient.
        nesterov: step by gradient + momentum v (Sutskever et al. 2013).
    """

    def __init__(
        self, parameters: Iterable[Tensor], momentum: float = 0.0, weight_decay: float = 0.0, *, nesterov: bool = False
    ) -> None:
        self._parameters = list(parameters)
        self._momentum, self._weight_decay, self._nesterov = momentum, weight_decay, nesterov
        self._velocities: list[Tensor | None] = [None] * len(self._parameters)

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update every parameter that has a gradient, and drop the gradients."""
        places = [place for place, parameter in enumerate(self._parameters) if parameter.grad is not None]
        parameters = [self._parameters[place] for place in places]
        velocities = [self._velocities[place] for place in places]
        sgd(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            velocities,
            foreach=True,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=learning_rate,
            dampening=0.0,
            nesterov=self._nesterov,
            maximize=False,
        )
        for place, velocity in zip(places, velocities, strict=True):
            self._velocities[place] = velocity
            self._parameters[place].grad = None

    def state(self) -> dict[str, Any]:
        """The velocity of each parameter; None where it had no gradient yet."""
        return {"velocities": self._velocities}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        pairs = zip(self._parameters, state["velocities"], strict=True)
        self._velocities = [
            None if given is None else torch.empty_like(parameter).copy_(given) for parameter, given in pairs
        ]

    @property
    def kind(self) -> tuple[object, ...]:
        """What its arithmetic depends on."""
        return SGD, self._momentum, self._nesterov, self._weight_decay

    @torch.no_grad()
    def joined(self, others: Sequence[SGD], parameters: Sequence[Tensor]) -> SGD:
        """One that updates the parameters of all."""
        return _JointSGD([self, *others], parameters)


class _JointSGD(SGD):
    """Several that update in one call.

    Args:
        parts: them.
        parameters: (parts, ...) each.
    """

    def __init__(self, parts: Sequence[SGD], parameters: Sequence[Tensor]) -> None:
        self.__dict__.update(vars(parts[0]))
        self._parameters, self._parts = list(parameters), parts
        self._velocities = []
        for held in zip(*(part._velocities for part in parts), strict=True):
            known = [velocity for velocity in held if velocity is not None]
            self._velocities.append(torch.stack(known) if len(known) == len(parts) else None)
        self._shared: list[Tensor | None] = [None] * len(self._parameters)
        self._share()

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Update the parameters of all parts."""
        super().step(learning_rate)
        self._share()

    def _share(self) -> None:
        """Have each part's velocities be its places of these; torch makes them in the first step."""
        for place, velocity in enumerate(self._velocities):
            if velocity is not None and velocity is not self._shared[place]:
                for number, part in enumerate(self._parts):
                    part._velocities[place] = velocity[number]
        self._shared = list(self._velocities)
