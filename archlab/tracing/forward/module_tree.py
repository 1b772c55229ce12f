"""The modules of a network, and the parameters and buffers that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from archlab.networks.members import named_modules, named_parameters
from archlab.tracing.forward.call_tree import Call


@dataclass(slots=True, eq=False)
class State:
    """A parameter or buffer, which counts once however many modules hold it."""

    path: str
    tensor: Tensor
    is_parameter: bool
    holders: list[nn.Module] = field(default_factory=list)
    """Modules that hold it directly, in the order of registration."""
    taken_by: Call | None = None
    """The first operation that took it as an argument."""
    size: int = 0
    """Elements, once a run has initialised what a lazy module holds."""


@dataclass(slots=True, eq=False)
class Stray(State):
    """A parameter that an operation takes and no module registered before the run.

    A layer kept in a plain list is such a case (`self.layers = [nn.Linear(4, 4)]`), and so is one made in `forward`.
    """

    original: Tensor = field(kw_only=True)
    """The network's own tensor; `tensor` stands in for it where the network runs without values."""


def stray(original: Tensor, *, on_meta: bool) -> Stray:
    """The state of a parameter that is met for the first time in an operation; it is marked as `ModuleTree.mark` does.

    The stand-in on the meta device requires a gradient if the original does, so that autograd saves the same.
    """
    tensor = original
    if on_meta and not original.is_meta:
        bare = torch.empty_strided(original.shape, original.stride(), dtype=original.dtype, device="meta")
        tensor = nn.Parameter(bare, requires_grad=original.requires_grad)
    found = Stray("", tensor, True, original=original, size=original.numel())
    original._archlab = (found,)  # type: ignore[attr-defined]
    return found


_UNINITIALISED = (UninitializedParameter, UninitializedBuffer)


class ModuleTree:
    """The modules of a network and what they hold, each once, in the order of registration."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.modules: dict[int, nn.Module] = {}
        """By identity, as all below."""
        self.paths: dict[int, str] = {}
        """Dotted names, as `named_modules()` gives them."""
        self.parents: dict[int, list[nn.Module]] = {}
        self.order: dict[int, int] = {}
        known: dict[int, State] = {}
        for path, module in named_modules(network):
            key = id(module)
            self.modules[key] = module
            self.paths[key] = path
            self.order[key] = len(self.order)
            prefix = f"{path}." if path else ""
            for is_parameter, registered in ((True, module._parameters), (False, module._buffers)):
                for name, tensor in registered.items():
                    if tensor is not None:
                        state = known.get(id(tensor))
                        if state is None:
                            state = known[id(tensor)] = State(prefix + name, tensor, is_parameter)
                        state.holders.append(module)
            for child in module._modules.values():
                if child is not None:
                    self.parents.setdefault(id(child), []).append(module)
        self.states = list(known.values())

    def mark(self) -> None:
        """Let each parameter and buffer say which it is, for the operations that take it."""
        for state in self.states:
            state.tensor._archlab = (state,)  # type: ignore[attr-defined]
            if not state.is_parameter and not state.tensor.is_meta:
                state.tensor._archlab_made = True  # type: ignore[attr-defined]  # a stand-in, which the run may change

    def measure(self, strays: list[Stray]) -> list[Stray]:
        """Let each parameter and buffer know its size; it is 0 while nothing has initialised it.

        Args:
            strays: parameters that were met in operations. What the run has registered meanwhile becomes a state like
                others: a layer that `forward` makes, or a parameter in the place of an uninitialised one.

        Returns:
            The strays that no module holds.
        """
        loose: list[Stray] = []
        if strays or any(is_uninitialised(state) for state in self.states):
            made = dict(named_parameters(self.network))
            for state in self.states:
                if is_uninitialised(state):
                    state.tensor = made.get(state.path, state.tensor)
            names = {id(tensor): name for name, tensor in made.items()}
            known = {id(state.tensor): state for state in self.states}
            for found in strays:
                if id(found.original) not in names:
                    loose.append(found)
                elif id(found.original) in known:
                    known[id(found.original)].taken_by = found.taken_by
                else:
                    found.path = names[id(found.original)]
                    self.states.append(found)
        for state in self.states:
            state.size = 0 if is_uninitialised(state) else state.tensor.numel()
        return loose

    def unmark(self) -> None:
        """Take that back, for tensors that aren't the tracer's own."""
        for state in self.states:
            for name in ("_archlab", "_archlab_made"):
                state.tensor.__dict__.pop(name, None)


def is_uninitialised(state: State) -> bool:
    """Whether a parameter or buffer has no shape yet."""
    return type(state.tensor) in _UNINITIALISED


def unwrapped(network: nn.Module) -> nn.Module:
    """The module that a compiled or data-parallel one wraps."""
    while type(network).__name__ in _WRAPPERS:
        inner = getattr(network, _WRAPPERS[type(network).__name__], None)
        if not isinstance(inner, nn.Module):
            break
        network = inner
    return network


_WRAPPERS = {"OptimizedModule": "_orig_mod", "DataParallel": "module", "DistributedDataParallel": "module"}
