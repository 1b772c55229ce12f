"""The modules of a network, and the parameters and buffers that they hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

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
        pending: list[tuple[str, nn.Module]] = [("", network)]
        while pending:
            path, module = pending.pop()
            key = id(module)
            if key in self.modules:
                continue
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
            children = [(prefix + name, child) for name, child in module._modules.items() if child is not None]
            for _, child in children:
                self.parents.setdefault(id(child), []).append(module)
            pending.extend(reversed(children))
        self.states = list(known.values())

    def mark(self) -> None:
        """Let each parameter and buffer say which it is, for the operations that take it."""
        for state in self.states:
            state.tensor._archlab = (state,)  # type: ignore[attr-defined]

    def measure(self) -> None:
        """Let each parameter and buffer know its size; it is 0 while a lazy module hasn't been given its input."""
        for state in self.states:
            state.size = 0 if type(state.tensor) in _UNINITIALISED else state.tensor.numel()

    def unmark(self) -> None:
        """Take that back, for tensors that aren't the tracer's own."""
        for state in self.states:
            state.tensor.__dict__.pop("_archlab", None)
