"""What feeds what in a network: its calls and operations, heard while it runs once, or read by `torch.fx`.

A `Flow` has one step per call of a leaf module and per function outside of leaves. A step knows the steps whose results
it takes, and the module whose `forward` was running.

For example, `y = self.bn(self.conv(x)); return y + x` gives: conv of the input (-1), bn of conv (0), add of bn (1) and
of the input. So bn alone takes conv's result, and conv can take bn in.
"""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from archlab.errors import InputError
from archlab.networks.surgery.layers import is_norm
from archlab.records import Shape

SUMS = frozenset(("add", "add_", "__add__", "__radd__", "__iadd__"))
"""Names of the functions that add two tensors."""
_CONV = ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
PRODUCTS = frozenset(
    (*_CONV, "linear", "bilinear", "matmul", "__matmul__", "bmm", "mm", "addmm", "baddbmm", "einsum", "tensordot")
) | {"scaled_dot_product_attention", "multi_head_attention_forward"}
"""Names of the functions with MACs."""
AFFINE = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    nn.Linear,
)
"""Layers with a weight and a bias, their subclasses too."""
_LEAVES = (*AFFINE, nn.MultiheadAttention, nn.RNNBase)
_CALL = nn.Module._call_impl.__code__


@dataclass(slots=True, eq=False)
class Step:
    """One call of a leaf module, or one function outside of leaves."""

    name: str
    """The module's class, or the function."""
    inputs: tuple[int, ...]
    """The steps whose results it takes, in the order of its arguments; -1 - k is the network's k-th input."""
    module: nn.Module | None = None
    """The leaf that was called; None for a function."""
    owner: nn.Module | None = None
    """The module whose `forward` was running, for a function."""
    number: int = 0
    """Of a sum: the how manieth of this call of its owner."""
    operands: tuple[int, ...] = ()
    """Of a sum: where its first and its second operand come from."""
    shapes: tuple[Shape, ...] = ()
    """Shapes of its results."""
    parameters: int = 0
    """Parameters that a function takes itself."""


@dataclass(slots=True)
class Flow:
    """All steps of one run."""

    steps: list[Step] = field(default_factory=list)
    inputs: list[Shape] = field(default_factory=list)
    outputs: set[int] = field(default_factory=set)
    """The steps whose results the network gives back."""
    called: dict[nn.Module, None] = field(default_factory=dict)
    """Every module that was called, leaf or not, in the order of the calls."""

    @property
    def leaves(self) -> set[nn.Module]:
        """The leaves that were called."""
        return {step.module for step in self.steps if step.module is not None}

    def calls(self, module: nn.Module) -> list[int]:
        """The steps that are calls of a leaf."""
        return [number for number, step in enumerate(self.steps) if step.module is module]

    def takers(self, origin: int) -> list[int]:
        """The steps that take a step's result."""
        return [number for number, step in enumerate(self.steps) if origin in step.inputs]

    def reaching(self) -> set[int]:
        """The steps that something of what the network gives back is computed from."""
        found: set[int] = set()
        todo = [number for number in self.outputs if number >= 0]
        while todo:
            number = todo.pop()
            if number not in found:
                found.add(number)
                todo.extend(origin for origin in self.steps[number].inputs if origin >= 0)
        return found


def arguments(inputs: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as a network is called with them.

    Args:
        inputs: a tensor, a shape, a shape with an element type as `1x128:int64`, a list of those, or a mapping for
            keywords.

    Raises:
        InputError: they are something else.

    >>> arguments((1, 3, 8, 8))[0][0].shape
    torch.Size([1, 3, 8, 8])
    """
    if isinstance(inputs, Mapping):
        return (), {str(name): _argument(value) for name, value in inputs.items()}
    if isinstance(inputs, Tensor) or _is_shape(inputs):
        return (_argument(inputs),), {}
    if isinstance(inputs, Sequence) and not isinstance(inputs, str):
        return tuple(map(_argument, inputs)), {}
    raise InputError(
        f"inputs is {inputs!r}, expected a tensor, a shape as (1, 3, 224, 224), a list of those, or a mapping for "
        "keywords"
    )


def observe(network: nn.Module, inputs: object) -> Flow:
    """The flow of a network's run on inputs, in evaluation mode and without gradients; it is left as it was.

    A copy without values runs, on torch's meta device; the network itself only where that one can't.

    Raises:
        InputError: the network doesn't take the inputs; the message quotes what it raised.
    """
    args, kwargs = arguments(inputs)
    try:
        return _run_weightless(network, args, kwargs)
    except Exception:  # it reads values, or has what can't be copied
        pass
    try:
        return _run(network, args, kwargs)
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        raise InputError(
            f"{type(network).__name__} can't be run on the inputs given, to find what feeds what: "
            f"{type(error).__name__}: {text[0]}"
        ) from error


def read(network: nn.Module) -> Flow:
    """The flow of a network as `torch.fx` reads it, without running it: leaves and functions, without shapes.

    Raises:
        InputError: it can't be read so.
    """
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        graph = _Tracer().trace(network)
    except Exception as error:
        raise InputError(
            f"torch.fx can't read what feeds what in {type(network).__name__} ({type(error).__name__}: "
            f"{(str(error).strip().splitlines() or [''])[0]}): give inputs to run it on, as inputs=(1, 3, 224, 224)"
        ) from error
    finally:
        for module, mode in modes:
            module.training = mode
    found = Flow()
    places: dict[fx.Node, int] = {}
    modules: dict[str, nn.Module] = dict(network.named_modules(remove_duplicate=False))
    for node in graph.nodes:
        origins = tuple(places[origin] for origin in node.all_input_nodes if origin in places)
        if node.op == "placeholder":
            places[node] = -1 - len(found.inputs)
            found.inputs.append(())
        elif node.op == "output":
            found.outputs.update(origins)
        elif node.op != "get_attr":
            called = modules[str(node.target)] if node.op == "call_module" else None
            name = type(called).__name__ if called is not None else getattr(node.target, "__name__", str(node.target))
            places[node] = len(found.steps)
            found.steps.append(Step(name, origins, called))
    return found


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m)


def _is_leaf(module: nn.Module) -> bool:
    if is_norm(module) or isinstance(module, (torch.jit.ScriptModule, *_LEAVES)):
        return True
    home = str(type(module).forward.__module__)
    return not module._modules and home.startswith(("torch.nn.modules.", "torch.ao.nn."))


def _run_weightless(network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow:
    """The flow of a copy on the meta device, with the modules of the network itself in its steps."""
    memo: dict[int, Any] = {}
    for parameter in network.parameters():
        memo[id(parameter)] = nn.Parameter(torch.empty_like(parameter, device="meta"), requires_grad=False)
    for buffer in network.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    weightless = copy.deepcopy(network, memo)
    flow = _run(weightless, args, kwargs)
    originals = dict(zip(weightless.modules(), network.modules(), strict=True))
    for step in flow.steps:
        step.module = None if step.module is None else originals[step.module]
        step.owner = None if step.owner is None else originals.get(step.owner)
    flow.called = {originals[module]: None for module in flow.called}
    return flow


def _run(network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Flow:
    device = next((item.device for item in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    args, kwargs = _moved(args, device), _moved(kwargs, device)
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]), Recorder(network) as recorder:
            recorder.begin((args, kwargs))
            recorder.end(network(*args, **kwargs))
    finally:
        for module, mode in modes:
            module.training = mode
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
    return recorder.flow


class Recorder(TorchFunctionMode):
    """A context in which a network's calls and functions are written down."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.flow = Flow()
        self._network = network
        self._origins: dict[int, int] = {}
        self._kept: list[Tensor] = []  # a tensor that is freed would give its id to another
        self._inside = 0
        self._counts: dict[int, int] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Recorder:
        """Hooks every module."""
        for module in self._network.modules():
            if isinstance(module, torch.jit.ScriptModule) and module is not self._network:
                continue
            self._handles.append(module.register_forward_pre_hook(self._enter_module, prepend=True, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._leave_module, with_kwargs=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        """Takes the hooks away."""
        super().__exit__(kind, error, traceback)  # type: ignore[no-untyped-call]
        for handle in self._handles:
            handle.remove()

    def begin(self, inputs: object) -> None:
        """Says what the network is given."""
        for tensor in _tensors(inputs):
            self._origins[id(tensor)] = -1 - len(self.flow.inputs)
            self.flow.inputs.append(tuple(tensor.shape))
            self._kept.append(tensor)

    def end(self, outputs: object) -> None:
        """Says what it gave back."""
        with torch._C.DisableTorchFunction():
            self.flow.outputs.update(self._taken(_tensors(outputs)))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs a function, and writes it down if it gives tensors."""
        kwargs = kwargs or {}
        if self._inside:
            return func(*args, **kwargs)
        given = _tensors((args, kwargs))
        origins = self._taken(given)
        name = function_name(func)
        operands = sum_operands(name, args, kwargs)
        found = [self._origins.get(id(item), _UNKNOWN) for item in operands or ()]
        out = func(*args, **kwargs)
        results = _tensors(out)
        if results and (origins or not isinstance(out, nn.Parameter)):
            owner = executing(sys._getframe(1))
            step = Step(name, origins, owner=owner, shapes=_shapes(results))
            step.parameters = sum(item.numel() for item in given if isinstance(item, nn.Parameter))
            if operands and owner is not None:
                step.number = self._counts[id(owner)] = self._counts.get(id(owner), -1) + 1
                step.operands = tuple(found)
            if origins or step.parameters:
                self._file(step, results)
        return out

    def _enter_module(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._counts.pop(id(module), None)
        self.flow.called[module] = None
        if _is_leaf(module):
            if not self._inside:
                with torch._C.DisableTorchFunction():
                    self._pending = self._taken(_tensors((args, kwargs)))
            self._inside += 1

    def _leave_module(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        if _is_leaf(module):
            self._inside -= 1
            if not self._inside:
                with torch._C.DisableTorchFunction():
                    results = _tensors(out)
                    self._file(Step(type(module).__name__, self._pending, module, shapes=_shapes(results)), results)

    def _taken(self, given: Sequence[Tensor]) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self._origins[id(item)] for item in given if id(item) in self._origins))

    def _file(self, step: Step, results: Sequence[Tensor]) -> None:
        for tensor in results:
            self._origins[id(tensor)] = len(self.flow.steps)
            self._kept.append(tensor)
        self.flow.steps.append(step)


_UNKNOWN = sys.maxsize
"""In place of a step, where a tensor is no result of one: a parameter, a constant."""


def function_name(function: Any) -> str:
    """The name of what a function mode hears."""
    return str(getattr(function, "__name__", function))


def sum_operands(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Tensor, Tensor] | None:
    """The two tensors that a function adds; None where it adds none."""
    if name not in SUMS:
        return None
    given = [*args, *(kwargs[key] for key in ("input", "other") if key in kwargs)]
    if len(given) < 2 or not isinstance(given[0], Tensor) or not isinstance(given[1], Tensor):
        return None
    return given[0], given[1]


def executing(frame: FrameType | None) -> nn.Module | None:
    """The innermost module whose call a frame belongs to.

    Every call of a module is a frame of `nn.Module._call_impl`, which holds it as `self`.
    """
    while frame is not None:
        if frame.f_code is _CALL:
            return frame.f_locals["self"]  # type: ignore[no-any-return]
        frame = frame.f_back
    return None


def _argument(value: object) -> Any:
    if _is_shape(value):
        return torch.zeros(tuple(value))  # type: ignore[arg-type]
    written = re.fullmatch(r"(\d+(?:x\d+)*):(\w+)", value) if isinstance(value, str) else None
    if written is None:
        return value
    return torch.zeros(*map(int, written[1].split("x")), dtype=getattr(torch, written[2]))


def _is_shape(value: object) -> bool:
    return (
        isinstance(value, (tuple, list))
        and len(value) > 0
        and all(isinstance(size, int) and not isinstance(size, bool) for size in value)
    )


def _moved(value: Any, device: torch.device) -> Any:
    move: Callable[[Any], Any] = lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf  # noqa: E731
    return torch.utils._pytree.tree_map(move, value)


def _tensors(value: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


def _shapes(results: Sequence[Tensor]) -> tuple[Shape, ...]:
    return tuple(tuple(item.shape) for item in results)
