"""What a network consists of, whatever its attributes are called, and however deep it is nested.

`nn.Module.parameters(network)` asks `network.named_parameters()`, which a network may have hidden:

    self.named_parameters = ["weight", "bias"]      # from here on the method fails, and whatever goes by it

and goes down one level by one level of Python's stack. These functions read what is registered, as torch files it, and
give the same in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from archlab.errors import InputError, cut

Held = TypeVar("Held", bound=Tensor)


LONGEST_NAME = 1_000
"""Characters of the name of a module or a parameter."""


_RESERVED = frozenset(vars(nn.Module()))
"""Attributes that each module has of its own."""


def refuse_unsound(network: nn.Module) -> None:
    """Hold that modules hold modules and tensors under names that can be printed, as torch itself takes them.

    Raises:
        InputError: what is otherwise, and where.
    """
    if all(map(_is_sound, modules(network))):  # nearly always, and found out in a third of the time
        return
    for path, module in named_modules(network):
        own, is_scripted = vars(module), isinstance(module, torch.jit.ScriptModule)
        for kind, table, expected in () if is_scripted else _TABLES:
            held = own.get(table)
            if not isinstance(held, dict):
                raise InputError(
                    f"{_place(path, module)} has no {table}: expected that its __init__ calls super().__init__() first"
                )
            for name, value in held.items():
                if not _is_name(name):
                    raise InputError(
                        f"{_place(path, module)} has a {kind} named {cut(repr(name), 100)}, expected a text of at most "
                        f"{LONGEST_NAME:,} printable characters, and no name that torch gives to something else"
                    )
                if value is not None and not isinstance(value, expected):
                    raise InputError(
                        f"{_place(path, module)} has a {kind} {cut(name, 100)!r} of type {type(value).__name__}, "
                        f"expected a torch.{'nn.' if kind == 'module' else ''}{expected.__name__}"
                    )


def _is_sound(module: nn.Module) -> bool:
    """Whether the tables of a module are all that they should be; False where that takes a second look."""
    own = vars(module)
    for _, table, expected in _TABLES:
        held = own.get(table)
        if not isinstance(held, dict):
            return False
        for name, value in held.items():
            if not _is_name(name) or (value is not None and not isinstance(value, expected)):
                return False
    return True


_TABLES: tuple[tuple[str, str, type], ...] = (
    ("parameter", "_parameters", Tensor),
    ("buffer", "_buffers", Tensor),
    ("module", "_modules", nn.Module),
)
"""What a module holds, the attribute that holds it, and its class."""


@lru_cache(1024)
def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable() and len(name) <= LONGEST_NAME and name not in _RESERVED


def _place(path: str, module: nn.Module) -> str:
    return f"{cut(path, 100) or 'the network'} ({type(module).__name__})"


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
        below = [(f"{prefix}{name}", child) for name, child in _below(module).items() if isinstance(child, nn.Module)]
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
            below = _below(module)
            if below:
                pending.extend([child for child in reversed(list(below.values())) if isinstance(child, nn.Module)])


def every_named_module(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """As `named_modules`, each module at each place where it is held; one that holds itself isn't gone into again."""
    pending: list[tuple[str, nn.Module, bool]] = [("", network, False)]
    inside: set[int] = set()
    while pending:
        path, module, is_done = pending.pop()
        if is_done:
            inside.remove(id(module))
        elif id(module) not in inside:
            inside.add(id(module))
            yield path, module
            pending.append((path, module, True))
            prefix = f"{path}." if path else ""
            below = [(f"{prefix}{name}", one) for name, one in _below(module).items() if isinstance(one, nn.Module)]
            pending.extend((name, child, False) for name, child in reversed(below))


def _below(module: nn.Module) -> Mapping[str, nn.Module | None]:
    below: Mapping[str, nn.Module | None] = _table(module, "_modules")
    return below


def _table(module: nn.Module, name: str) -> Any:
    """`_parameters`, `_buffers` or `_modules` of a module; empty where it has none."""
    own = vars(module).get(name)  # not as an attribute: a module may answer for these as it likes
    if own is None and isinstance(module, torch.jit.ScriptModule):  # which has them elsewhere
        own = getattr(module, name, None)
    return own if own is not None else {}


def named_parameters(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Each parameter once with its dotted name, in the order of the modules."""
    return _named((path, _table(module, "_parameters")) for path, module in named_modules(network))


def parameters(network: nn.Module) -> Iterator[nn.Parameter]:
    """Each parameter once, in the order of the modules."""
    return _each(_table(module, "_parameters") for module in modules(network))


def named_buffers(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Each buffer once with its dotted name, in the order of the modules."""
    return _named((path, _table(module, "_buffers")) for path, module in named_modules(network))


def buffers(network: nn.Module) -> Iterator[Tensor]:
    """Each buffer once, in the order of the modules."""
    return _each(_table(module, "_buffers") for module in modules(network))


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


def moved(network: nn.Module, device: torch.device) -> nn.Module:
    """The network itself, whose parameters and buffers are on a device; by its own `to()` where they weren't."""
    held = (*parameters(network), *buffers(network))
    return network if all(tensor.device == device for tensor in held) else network.to(device)


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
