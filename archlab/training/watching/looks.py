"""Looks at the layers of a network while somebody else's loop trains it.

Measuring semantics: those of `probes.signals`, on the loop's own passes. A look takes one step: its hooks are there
from the end of the step before to its own end. Activations and their gradients are of the step's last forward
pass before its first backward pass (where gradients are accumulated, the first batch's), in the mode and the precision
in which the loop runs it; gradients are of the loss as the loop sends it backwards, and a GradScaler's factor
is taken out. `weight_gradient_norm` is of the gradients as the optimiser gets them: accumulated, and clipped where the
loop clips them. `images` is the size of the first axis of the first layer's output.

A pass without gradients, as of an evaluation, is not heard. Code that torch.compile makes calls no hooks: then there
are only numbers of weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from archlab.records import LayerSeries, Probes
from archlab.training.norm_uses import in_backward
from archlab.training.probes.listening import first_tensor, has_weights, is_layer
from archlab.training.probes.signals import Signals
from archlab.training.probes.table import LayerTable

MOST_LOOKS = 512
"""When there are so many, every second one is dropped, and there are half as many from then on."""
EARLY = frozenset({1, 10, 30})
"""Steps that are looked at in any case, so that a short training has some looks."""
COPIED_BYTES = 2**30
"""Of weights that a look copies at most, to say how far a step moves them."""


class LayerLooks:
    """Looks every k steps.

    Args:
        networks: path -> each network that is called by itself; the path of a single one is empty.
        every: k; 0 never looks.
        listens: whether layers are listened to.
    """

    def __init__(self, networks: Mapping[str, nn.Module], every: int, *, listens: bool = True) -> None:
        self._networks = networks
        self._every = every
        self._listens = listens
        self._table = LayerTable(Probes.SIGNALS)
        self._weighted: set[str] = set()
        self._images = 0
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._passes: dict[str, _Pass] = {}  # by the path of its network
        self._parameters: dict[str, Tensor] = {}
        self._before: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._scale = 1.0
        self.count = 0
        """How many looks there were."""
        self.is_open = False
        """Whether the step that goes on is looked at."""
        self.is_heard = False
        """Whether any layer was ever heard."""
        self.copies = True
        """Whether weights are copied."""

    def due(self, step: int) -> bool:
        """Whether to look at the step of that number, from 1."""
        return self._every > 0 and (step % self._every == 0 or step in EARLY)

    def open(self, *, copying: bool) -> None:
        """Begin to look at the step that comes.

        Args:
            copying: whether to copy the weights now, where no optimiser will say when they move.
        """
        self.is_open, self._scale = True, 1.0
        self._passes, self._before, self._gradients = {}, {}, {}
        self._parameters = {
            _joined(path, name): held
            for path, network in self._networks.items()
            for name, held in network.named_parameters()
            if held.requires_grad
        }
        size = sum(held.numel() * held.element_size() for held in self._parameters.values())
        self.copies = size <= COPIED_BYTES
        if copying:
            self.before_update(self._parameters.values(), gradients=False)
        if self._listens:
            for path, network in self._networks.items():
                self._listen(path, network)

    def before_update(
        self, parameters: Iterable[Tensor], scale: tuple[float, float] = (1.0, 1.0), *, gradients: bool = True
    ) -> None:
        """Note some parameters, and their gradients, before they are moved.

        Args:
            parameters: which.
            scale: by what the loss and their gradients are multiplied.
            gradients: whether they have theirs already.
        """
        self._scale, own = scale
        chosen = {id(held) for held in parameters}
        for name, held in self._parameters.items():
            if id(held) not in chosen:
                continue
            if self.copies:
                self._before[name] = held.detach().clone()
            if gradients and held.grad is not None and not held.grad.is_sparse:
                self._gradients[name] = torch.linalg.vector_norm(held.grad.detach().float()) / own

    def drop(self) -> None:
        """End the look without a result."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._passes, self.is_open = [], {}, False

    def close(self, step: int) -> None:
        """End the look after the step of that number, and keep what was seen."""
        passes = self._passes
        self.drop()
        if not self._gradients:  # no optimiser said when
            self._gradients = {
                name: torch.linalg.vector_norm(held.grad.detach().float())
                for name, held in self._parameters.items()
                if held.grad is not None and not held.grad.is_sparse
            }
        rows: dict[str, list[Tensor]] = {}
        for path, network in self._networks.items():
            names = {_joined(path, name): module for name, module in network.named_modules()}
            if path in passes:
                self.is_heard, self._images = True, passes[path].images
                signals = passes[path].signals
                signals.unscale(self._scale)
            else:
                signals = Signals(network, self._parameters, prefix=path)
                for name, module in names.items():
                    if has_weights(module):
                        signals.unheard(name, module)
            signals.before = self._before or None
            signals.note_weights(self._gradients)
            rows |= signals.layers
            self._weighted |= {name for name in signals.layers if has_weights(names[name.partition(" #")[0]])}
        self._table.add(step, rows)
        self._before, self._gradients = {}, {}
        self.count += 1
        if len(self._table.steps) > MOST_LOOKS:
            self._table.halve()
            self._every *= 2

    def series(self) -> LayerSeries | None:
        """Everything so far; None where there was no look."""
        return self._table.series(self._images, self._weighted)

    def _listen(self, path: str, network: nn.Module) -> None:
        """Hear the passes of one network."""

        def begin(*_: Any) -> None:
            # A pass is the one that is looked at, unless another was sent backwards already.
            if torch.compiler.is_compiling() or not torch.is_grad_enabled() or in_backward():
                return
            if path in self._passes and not self._passes[path].signals.has_gradients:
                del self._passes[path]

        def hear(name: str, module: nn.Module, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None or not tensor.is_floating_point() or tensor.dim() < 2:
                return
            known = self._passes.get(path)
            if known is not None and (name in known.signals.layers if in_backward() else known.signals.has_gradients):
                return  # one that checkpointing makes once more, or another pass
            if known is None:
                known = self._passes[path] = _Pass(Signals(network, self._parameters, prefix=path), len(tensor))
            with torch.no_grad():
                known.signals.layer(known.named(name), module, tensor)

        def hook(name: str) -> Callable[..., None]:
            def heard(module: nn.Module, _: Any, output: Any) -> None:
                # While torch.compile reads this, the condition ends it: nothing of it gets into the code.
                if not torch.compiler.is_compiling() and torch.is_grad_enabled():
                    hear(name, module, output)

            return heard

        self._handles.append(network.register_forward_pre_hook(begin))
        for name, module in network.named_modules():
            if is_layer(module) and not (module is network and next(module.children(), None) is not None):
                self._handles.append(module.register_forward_hook(hook(_joined(path, name))))


class _Pass:
    """A forward pass that is heard."""

    def __init__(self, signals: Signals, images: int) -> None:
        self.signals = signals
        self.images = images
        self._calls: Counter[str] = Counter()

    def named(self, path: str) -> str:
        """The name of a further call of a layer has its number."""
        self._calls[path] += 1
        return f"{path} #{self._calls[path]}" if self._calls[path] > 1 else path


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name
