"""What a tracer writes down while a network runs: a node for each row, and the state that the rows hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from archlab.records import Shape

if TYPE_CHECKING:
    from archlab.tracing.receptive.terms import Term


class Node:
    """A row while it is being measured.

    A network makes thousands: what most of them never set is a default of the class, and no attribute.
    """

    inputs: tuple[Shape, ...] = ()
    outputs: tuple[Shape, ...] = ()
    output_bytes = 0
    dtype = ""
    macs = 0
    elementwise = 0
    origins: tuple[int, ...] = ()
    """Where its inputs come from: indices of nodes, -1 - k for the network's k-th input."""
    detail = ""
    source = ""
    saved: int | None = None
    seen: tuple[Term, ...] = ()
    """What the first result sees of the inputs, if that is followed."""
    version = 0
    """Version of the first tensor that the module was given: how often it had been changed in place."""
    suffixes: dict[str, int] | None = None
    """How often each operation's name was used for a child."""
    whole = False
    """Whether the module was measured as a whole, with all that it holds."""
    depth = 0
    parameters = 0
    own_parameters = 0
    trainable = 0
    buffers = 0

    def __init__(
        self, index: int, parent: Node | None, path: str, kind: str, module: nn.Module | None, call: int
    ) -> None:
        self.index = index
        """Position in the order of execution; -1 for rows that are added afterwards."""
        self.parent = parent
        self.path = path
        self.kind = kind
        self.module = module
        """None for an operation."""
        self.call = call
        self.children: list[Node] = []


@dataclass(slots=True, eq=False)
class State:
    """A parameter or buffer, which counts once however many modules hold it."""

    path: str
    tensor: Tensor
    is_parameter: bool
    holders: list[nn.Module] = field(default_factory=list)
    """Modules that hold it directly, in the order of registration."""
    taken_by: Node | None = None
    """The first operation that took it as an argument."""

    @property
    def size(self) -> int:
        """Elements; none while a lazy module hasn't seen its input."""
        return 0 if type(self.tensor) in _UNINITIALISED else self.tensor.numel()


_UNINITIALISED = (UninitializedParameter, UninitializedBuffer)


class Outline:
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
        waiting: list[tuple[str, nn.Module]] = [("", network)]
        while waiting:
            path, module = waiting.pop()
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
            waiting.extend(reversed(children))
        self.states = list(known.values())

    def mark(self) -> None:
        """Lets each parameter and buffer say which it is, for the operations that take it."""
        for state in self.states:
            state.tensor._archlab = (state,)  # type: ignore[attr-defined]

    def unmark(self) -> None:
        """Takes that back, for tensors that aren't the tracer's own."""
        for state in self.states:
            state.tensor.__dict__.pop("_archlab", None)
