"""What a network consists of, whatever its attributes are called, and however deep it is nested.

`nn.Module.parameters(network)` asks `network.named_parameters()`, which a network may have hidden:

    self.named_parameters = ["weight", "bias"]      # from here on the method fails, and whatever goes by it

and goes down one level by one level of Python's stack. These functions read what is registered, as torch files it, and
give the same in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from torch import Tensor, nn

Held = TypeVar("Held", bound=Tensor)


def named_modules(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Each module once with its dotted name, a parent before its children; the network itself as `""`."""
    known: set[int] = set()
    pending: list[tuple[str, nn.Module]] = [("", network)]
    while pending:
        path, module = pending.pop()
        if id(module) in known:
            continue
        known.add(id(module))
        yield path, module
        prefix = f"{path}." if path else ""
        below = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
        pending.extend(reversed(below))


def modules(network: nn.Module) -> Iterator[nn.Module]:
    """Each module once, a parent before its children."""
    known: set[int] = set()
    pending = [network]
    while pending:
        module = pending.pop()
        if id(module) not in known:
            known.add(id(module))
            yield module
            below = module._modules
            if below:
                pending.extend([child for child in reversed(list(below.values())) if child is not None])


def named_parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Each parameter once with its dotted name, in the order of the modules."""
    return _named((path, module._parameters) for path, module in named_modules(network))


def parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Each parameter once, in the order of the modules."""
    return _each(module._parameters for module in modules(network))


def named_buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each buffer once with its dotted name, in the order of the modules."""
    return _named((path, module._buffers) for path, module in named_modules(network))


def buffers(network: nn.Module) -> Iterator[Tensor]:
    """Each buffer once, in the order of the modules."""
    return _each(module._buffers for module in modules(network))


def set_training(network: nn.Module, training: bool) -> nn.Module:
    """The network itself in training or evaluation mode, by its own `train()` and `eval()` wherever it has them.

    Where no class has its own, where an attribute hides one of the methods that these go by, and where the network is
    nested deeper than they can go, each module's mode is set by itself, which is quicker.
    """
    every = list(modules(network))
    hidden = any(not _OF_MODES.isdisjoint(vars(module)) for module in every)
    if not hidden and not all(map(_sets_modes_as_usual, {type(module) for module in every})):
        try:
            return network.train() if training else network.eval()
        except RecursionError:
            pass
    for module in every:
        # Not by torch's own way of setting an attribute, which takes ten times as long to find that it is no tensor.
        if type(module).__setattr__ is nn.Module.__setattr__:
            vars(module)["training"] = training
        else:
            module.training = training
    return network


_OF_MODES = frozenset(["eval", "train", "children", "named_children"])


def _sets_modes_as_usual(kind: type[nn.Module]) -> bool:
    return all(getattr(kind, name) is getattr(nn.Module, name) for name in _OF_MODES)


def _each(held: Iterable[dict[str, Held | None]]) -> Iterator[Held]:
    known: set[int] = set()
    for registered in held:
        for tensor in registered.values():
            if tensor is not None and id(tensor) not in known:
                known.add(id(tensor))
                yield tensor


def _named(held: Iterable[tuple[str, dict[str, Held | None]]]) -> Iterator[tuple[str, Held]]:
    known: set[int] = set()
    for path, registered in held:
        for name, tensor in registered.items():
            if tensor is not None and id(tensor) not in known:
                known.add(id(tensor))
                yield f"{path}.{name}" if path else name, tensor
