"""What the layers of a network give, the gradients that come back to them, and how far a step moves their weights.

Measuring semantics. An activation is what a layer gives, a gradient that of the mean loss with respect to it; both are
over all probed images and all their elements: `norm` is the Euclidean norm, `variance` the biased one, `zeros` the
share of elements that are exactly 0. `activation_saturated` is the share within 5 % of a bounded activation's range of
one of its ends; layers that aren't such activations have none. `activation_dead` is the share of a ReLU's units
(channels, or features where there is no grid) that give exactly 0 for every image and at every place: no gradient goes
through them, so that whatever feeds them alone does not learn. `weight_norm` and `weight_gradient_norm` are of all that
a layer trains itself, as one vector w, at the weights after the step; `update_ratio` is |w - w'| / |w'|, where w' are
the weights before that step and w those after, whatever optimiser moved them. A branch and a skip connection are those
of `listening`; their variances are over all elements, before they are added (De and Smith 2020, Batch Normalization
Biases Residual Blocks Towards the Identity Function in Deep Networks, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from archlab.records import Probes
from archlab.training.probes.listening import Listener
from archlab.training.probes.surface import joint_norm

SIGNALS = {quantity: place for place, quantity in enumerate(Probes.SIGNALS)}
RANGES: Mapping[type[nn.Module], tuple[float, float]] = {
    nn.Sigmoid: (0.0, 1.0),
    nn.Tanh: (-1.0, 1.0),
    nn.Hardsigmoid: (0.0, 1.0),
    nn.Hardtanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
}
"""Activations that are bounded on both sides. (ReLU6's lower end is the zero of `activation_zeros`.)"""
RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Threshold)
"""Activations whose slope is 0 where they give 0."""
MARGIN = 0.05
"""Of the range, at either end: where a sigmoid's slope is below a fifth of its largest, and a tanh's below a tenth of
twice that."""


class Signals(Listener):
    """Notes a forward pass and the backward pass after it.

    Args:
        network: whose passes they are.
        parameters: all that is trained, by name.
        before: `Signals.before`.
        prefix: path of the network among several, with which names begin.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: Mapping[str, Tensor],
        before: Mapping[str, Tensor] | None = None,
        prefix: str = "",
    ) -> None:
        self._names = {module: path for path, module in network.named_modules(prefix=prefix)}
        self._parameters = parameters
        self.before = before
        """Copies of the parameters from before the step; None where there was no step."""
        self.has_gradients = False
        """Whether a gradient has come back to some layer."""
        self.layers: dict[str, list[Tensor]] = {}
        """Name -> its `Probes.SIGNALS`, 0-dimensional; NaN for what it has not."""
        self.joins: dict[str, tuple[Tensor, Tensor]] = {}
        """Name -> variances of branch and skip connection."""
        self._owners: dict[str, nn.Module] = {}

    def layer(self, name: str, module: nn.Module, output: Tensor) -> None:
        """Note what a layer gives, and have the gradient noted that comes back to it."""
        values, row = output.detach(), self._row(name, output)
        bounds = RANGES.get(type(module))
        if bounds is not None:
            margin = MARGIN * (bounds[1] - bounds[0])
            inside = (values > bounds[0] + margin) & (values < bounds[1] - margin)
            row[SIGNALS["activation_saturated"]] = 1 - torch.count_nonzero(inside) / inside.numel()
        if isinstance(module, RECTIFIERS):
            row[SIGNALS["activation_dead"]] = dead_share(values)
        if module not in self._owners.values():  # a layer that is called twice has its weights once
            self._owners[name] = module

    def rectified(self, name: str, output: Tensor) -> None:
        """Note what a ReLU gives that is no module, and the gradient that comes back to it."""
        self._row(name, output)[SIGNALS["activation_dead"]] = dead_share(output.detach())

    def _row(self, name: str, output: Tensor) -> list[Tensor]:
        """A new row, with the moments of the output, and those of its gradient as soon as they are known."""
        values = output.detach()
        row = [torch.full((), torch.nan, device=values.device)] * len(SIGNALS)
        row[:4] = moments(values)
        self.layers[name] = row
        if output.requires_grad:
            first = SIGNALS["gradient_norm"]

            def note(gradient: Tensor) -> None:
                row[first : first + 4] = moments(gradient.detach())
                self.has_gradients = True

            output.register_hook(note)  # type: ignore[no-untyped-call]
        return row

    def unheard(self, name: str, module: nn.Module) -> None:
        """Note a layer of which nothing but its weights is known."""
        held = next(module.parameters(recurse=False))
        self.layers[name] = [torch.full((), torch.nan, device=held.device)] * len(SIGNALS)
        self._owners[name] = module

    def unscale(self, factor: float) -> None:
        """Take out a factor by which the loss was multiplied before it was sent backwards."""
        if factor != 1:
            place = SIGNALS["gradient_norm"]
            for row in self.layers.values():
                row[place : place + 3] = [row[place] / factor, row[place + 1] / factor, row[place + 2] / factor**2]

    def joining(self, name: str, branch: Tensor, skip: Tensor) -> None:
        """Note the variances of what is added."""
        self.joins[name] = variance(branch.detach().float()), variance(skip.detach().float())

    def note_weights(self, gradients: Mapping[str, Tensor]) -> None:
        """Note the weights of all layers, after the backward pass.

        Args:
            gradients: what it gave by parameter, or the norms of that; a layer without any has no norm.
        """
        for name, module in self._owners.items():
            path = self._names[module]
            own = [f"{path}.{held}" if path else held for held, _ in module.named_parameters(recurse=False)]
            own = [held for held in own if held in self._parameters]
            if not own:
                continue
            row = self.layers[name]
            row[SIGNALS["weight_norm"]] = joint_norm([self._parameters[held].detach() for held in own])
            if all(held in gradients for held in own):
                row[SIGNALS["weight_gradient_norm"]] = joint_norm([gradients[held] for held in own])
            if self.before is not None and all(held in self.before for held in own):
                moved = joint_norm([self._parameters[held].detach() - self.before[held] for held in own])
                row[SIGNALS["update_ratio"]] = moved / joint_norm([self.before[held] for held in own])


def moments(values: Tensor) -> list[Tensor]:
    """Norm, mean, variance and share of zeros of all elements, 0-dimensional each."""
    values = values.float()
    # Not by count_nonzero(values): half of them 0, it is ten times as slow, since a processor can't foresee a branch.
    zeros = torch.count_nonzero(values == 0) / values.numel()
    return [torch.linalg.vector_norm(values), values.mean(), variance(values), zeros]


def dead_share(values: Tensor) -> Tensor:
    """The share of units that are 0 for every image, 0-dimensional.

    Units are channels, the second dimension of (images, channels, ...), or of (images, places, features) the last.

    >>> dead_share(torch.tensor([[0.0, 0.0, 1.0, 0.0], [0.0, 2.0, 0.0, 0.0]]))
    tensor(0.5000)
    """
    others = [0, 1] if values.dim() == 3 else [place for place in range(values.dim()) if place != 1]
    return (values.abs().amax(others) == 0).float().mean()


def variance(values: Tensor) -> Tensor:
    """The biased variance of all elements, 0-dimensional: on a CPU twenty times as fast as torch's own."""
    found: Tensor = torch.linalg.vector_norm(values - values.mean()).square() / values.numel()
    return found
