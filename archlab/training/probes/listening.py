"""What passes through a network's layers and its skip connections in one forward pass.

A layer is a module that has parameters of its own or no modules within; the network as a whole is none, nor are those
that only reshape. A ReLU that is called as a function is heard too, as `PATH.relu()` of the module that calls it.

A join is an addition of two tensors of one shape, both made from the images, of which one went through more layers with
weights than the other: the branch and the skip connection. That is read off autograd's graph, whatever the network
calls its blocks. For example, in `relu(norm2(conv2(relu(norm1(conv1(x))))) + conv3(x))` the left side went through two
more layers than x, and the right side through one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from archlab.networks import members
from archlab.training.probes.surface import has_filters, is_matrix

ADDITIONS = frozenset({torch.add, torch.Tensor.add, torch.Tensor.add_})
"""What `x + y`, `x += y` and `torch.add(x, y)` call."""
RECTIFIERS = frozenset({F.relu, F.relu_, F.relu6, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_})
"""What a network calls that has no modules for its ReLUs."""
RESHAPING = (nn.Identity, nn.Flatten, nn.Unflatten)


class Listener:
    """Whoever wants to know of the pass; what it doesn't ask for does nothing."""

    def layer(self, name: str, module: nn.Module, output: Tensor) -> None:
        """A layer has given this."""

    def rectified(self, name: str, output: Tensor) -> None:
        """A ReLU that is no module has given this."""

    def joining(self, name: str, branch: Tensor, skip: Tensor) -> None:
        """A branch is about to be added to its skip connection, perhaps in place."""

    def joined(self, name: str, output: Tensor) -> None:
        """The sum of the two."""


@contextmanager
def listening(network: nn.Module, images: Tensor, listeners: list[Listener]) -> Iterator[Tensor]:
    """A context in which the network's next forward pass is heard; it gives the images, which the pass is to take.

    They are a copy from which autograd can tell what depends on the images; no gradient is taken with respect to them.
    """
    leaf = images.detach().clone().requires_grad_()
    hearing = _Hearing(network, leaf, listeners)
    with hearing:
        yield leaf.clone()


class _Hearing(TorchFunctionMode):
    """Hooks on all modules, and a mode that sees additions."""

    def __init__(self, network: nn.Module, leaf: Tensor, listeners: list[Listener]) -> None:
        super().__init__()
        self._network = network
        self._listeners = listeners
        self._depths = _Depths(leaf)
        self._images = len(leaf)
        self._open: list[str] = []  # paths of the modules that are being called
        self._calls: Counter[str] = Counter()
        self._stack = ExitStack()

    def __enter__(self) -> Any:
        for path, module in members.named_modules(self._network):
            before = module.register_forward_pre_hook(lambda *_, path=path: self._open.append(path))
            after = module.register_forward_hook(self._heard(path), always_call=True)
            self._stack.callback(before.remove)
            self._stack.callback(after.remove)
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in RECTIFIERS:
            result = func(*args, **(kwargs or {}))
            path = self._open[-1] if self._open else ""
            if not isinstance(self._network.get_submodule(path), (nn.ReLU, nn.ReLU6)):  # these call it themselves
                name = self._named("layer", f"{path}.relu()" if path else "relu()")
                for listener in self._listeners:
                    listener.rectified(name, result)
            return result
        if func not in ADDITIONS or len(args) < 2:
            return func(*args, **(kwargs or {}))
        pair = self._pair(*args[:2])
        if pair is None:
            return func(*args, **(kwargs or {}))
        name = self._named("join", self._open[-1] if self._open else "")
        for listener in self._listeners:
            listener.joining(name, *pair)
        result = func(*args, **(kwargs or {}))
        for listener in self._listeners:
            listener.joined(name, result)
        return result

    def _pair(self, one: Any, other: Any) -> tuple[Tensor, Tensor] | None:
        """The branch and the skip connection that are added; None where they are none."""
        if not (isinstance(one, Tensor) and isinstance(other, Tensor)) or one.shape != other.shape or one.dim() < 2:
            return None
        if len(one) != self._images or not (one.is_floating_point() and other.is_floating_point()):
            return None
        depths = self._depths.of(one), self._depths.of(other)
        if None in depths or depths[0] == depths[1]:
            return None
        return (one, other) if depths[0] > depths[1] else (other, one)  # type: ignore[operator]

    def _heard(self, path: str) -> Any:
        def hook(module: nn.Module, _: Any, output: Any) -> None:
            self._open.pop()
            whole = module is self._network and next(module.children(), None) is not None
            tensor = first_tensor(output) if is_layer(module) and not whole else None
            if tensor is not None and tensor.is_floating_point() and tensor.dim() > 1:
                name = self._named("layer", path)
                for listener in self._listeners:
                    listener.layer(name, module, tensor)

        return hook

    def _named(self, kind: str, path: str) -> str:
        """The name of a further call of a layer, or of a further addition in a block, has its number."""
        self._calls[f"{kind} {path}"] += 1
        count = self._calls[f"{kind} {path}"]
        return f"{path} #{count}" if count > 1 else path


def is_layer(module: nn.Module) -> bool:
    """Whether a module is a layer: it has parameters of its own, or no modules within."""
    return not isinstance(module, RESHAPING) and (
        next(module.parameters(recurse=False), None) is not None or next(module.children(), None) is None
    )


def has_weights(module: nn.Module) -> bool:
    """Whether a module has a matrix or a kernel of its own that is trained, not only scales and shifts."""
    return any(held.requires_grad and has_filters(module, held) for held in module.parameters(recurse=False))


def first_tensor(output: Any) -> Tensor | None:
    """What a module gave, or the first tensor of it."""
    if isinstance(output, (tuple, list)):
        return next((tensor for item in output if (tensor := first_tensor(item)) is not None), None)
    return output if isinstance(output, Tensor) else None


@dataclass(frozen=True, slots=True)
class _Origin:
    """What a node of autograd's graph was made from."""

    depth: int | None
    """Layers with weights between the images and it; None where it isn't made from the images."""
    weights: bool
    """Whether it is made from a matrix or a kernel alone."""


class _Depths:
    """How many layers with weights tensors went through, read off autograd's graph."""

    def __init__(self, leaf: Tensor) -> None:
        self._leaf = leaf
        self._known: dict[Any, _Origin] = {}

    def of(self, tensor: Tensor) -> int | None:
        """The number of a tensor's layers; None where it isn't made from the images."""
        return None if tensor.grad_fn is None else self._origin(tensor.grad_fn).depth

    def _origin(self, last: Any) -> _Origin:
        waiting = [last]
        while waiting:
            node = waiting[-1]
            sources = [source for source, _ in node.next_functions if source is not None]
            unknown = [source for source in sources if source not in self._known]
            if node in self._known or not unknown:
                waiting.pop()
                self._known.setdefault(node, self._made(node, [self._known[source] for source in sources]))
            else:
                waiting += unknown
        return self._known[last]

    def _made(self, node: Any, sources: list[_Origin]) -> _Origin:
        held = getattr(node, "variable", None)  # of a node that stands for a parameter, or for the images
        if held is not None:
            return _Origin(0, False) if held is self._leaf else _Origin(None, is_matrix(held))
        depths = [origin.depth for origin in sources if origin.depth is not None]
        weights = any(origin.weights for origin in sources if origin.depth is None)
        return _Origin(max(depths) + weights, False) if depths else _Origin(None, weights)
