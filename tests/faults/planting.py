"""Networks for images of 1 x 8 x 8 with one planted fault each: `planted("sys.exit", seed)`, by a name of `PLANTS`.

A network is a stem, blocks that keep the shape (nested at random) and a head. A fault is what one of its layers does when
it is called (`DEEDS`), what comes out of it (`RESULTS`), or what is wrong with how the network is built (`BUILDS`).
"""

from __future__ import annotations

import gc
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn

CHANNELS, SIZE, CLASSES = 4, 8, 10
Deed = Callable[[nn.Module, Tensor], object]
Build = Callable[[random.Random, "Network", nn.Module], object]


class Network(nn.Module):
    """Stem, blocks and head."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, CHANNELS, 3, padding=1)
        self.blocks = nn.Sequential(*(block(chance, chance.randrange(3)) for _ in range(chance.randrange(1, 4))))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIZE * SIZE, CLASSES))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.blocks(self.stem(x)))


class Residual(nn.Module):
    """A block with a skip connection."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Any:
        return x + self.body(x)


class Layer(nn.Module):
    """A layer that scales its input, and does something first."""

    def __init__(self, deed: Deed | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(CHANNELS, 1, 1))
        self.register_buffer("calls", torch.zeros(1))
        self.deed = deed

    def forward(self, x: Tensor) -> Any:
        found = self.deed(self, x) if self.deed is not None else None
        return x * self.weight if found is None else found


def block(chance: random.Random, depth: int) -> nn.Module:
    """A layer that keeps the shape, or several."""
    if depth:
        inner = nn.Sequential(*(block(chance, depth - 1) for _ in range(chance.randrange(1, 3))))
        return chance.choice((Residual, lambda body: body))(inner)  # type: ignore[operator,no-any-return]
    makers: tuple[Callable[[], nn.Module], ...] = (
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), lambda: nn.BatchNorm2d(CHANNELS), nn.ReLU, Layer,
        lambda: nn.Dropout(0.5), lambda: nn.GroupNorm(2, CHANNELS),
    )  # fmt: skip
    return chance.choice(makers)()


class ChildError(BaseException):
    """What no `except Exception` catches."""


class MuteError(Exception):
    """An error whose words fail."""

    def __str__(self) -> str:
        return str(1 / 0)

    __repr__ = __str__


class MuteChildError(ChildError):
    """An error whose words end the program."""

    def __str__(self) -> str:
        sys.exit(0)

    __repr__ = __str__


class OddError(Exception):
    """An error that answers for no attribute."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        raise RuntimeError(name)


def fail(error: BaseException) -> NoReturn:
    raise error


def _cause(_: nn.Module, __: Tensor) -> NoReturn:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def _recursion(module: nn.Module, x: Tensor) -> Any:
    return module(x)


def _close(*_: object) -> None:
    sys.stdout.close()


ERRORS: dict[str, Callable[[], BaseException]] = {
    "SystemExit": lambda: SystemExit(0),
    "SystemExit of words": lambda: SystemExit("no such thing"),
    "SystemExit of nothing": SystemExit,
    "GeneratorExit": GeneratorExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "a BaseException": lambda: ChildError("own words"),
    "an error without words": ValueError,
    "an error whose words fail": MuteError,
    "an error whose words end the program": MuteChildError,
    "an error that answers for nothing": lambda: OddError("own words"),
    "megabytes of words": lambda: ValueError("x" * 5_000_000),
    "lines of words": lambda: ValueError("line\n" * 500),
    "controls": lambda: ValueError("\x1b[31mred\x00\r\x07\u202e\x9b1m\ud800"),
    "bytes": lambda: ValueError(b"\xff" * 10_000),
    "a tensor": lambda: ValueError(torch.zeros(3)),
    "a stop of iteration": StopIteration,
    "a stop of an asynchronous iteration": StopAsyncIteration,
    "no memory": MemoryError,
    "an assertion": AssertionError,
    "a group": lambda: ExceptionGroup("several", [ValueError("a"), TypeError("b")]),
    "a group that ends the program": lambda: BaseExceptionGroup("several", [SystemExit(0), ValueError("b")]),
    "a missing key": lambda: KeyError("key"),
    "an operating system's": lambda: OSError(28, "No space left on device", "/file"),
    "a broken pipe": BrokenPipeError,
    "an encoding's": lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    "not implemented": NotImplementedError,
    "no luck with CUDA": lambda: RuntimeError("CUDA error: device-side assert triggered"),
    "a subclass of archlab's": lambda: __import__("archlab").ArchlabError("\x1b[31m" + "x" * 100_000),
}
DEEDS: dict[str, Deed] = {
    **{f"raises {name}": lambda _m, _x, make=make: fail(make()) for name, make in ERRORS.items()},  # type: ignore[misc]
    "raises a circle of causes": _cause,
    "calls itself without end": _recursion,
    "os._exit": lambda *_: os._exit(0),
    "sets the default dtype": lambda *_: torch.set_default_dtype(torch.float64),
    "sets the default device": lambda *_: torch.set_default_device("meta"),
    "turns gradients off": lambda *_: torch._C._set_grad_enabled(False),
    "turns determinism on": lambda *_: torch.use_deterministic_algorithms(True),
    "sets threads": lambda *_: torch.set_num_threads(3),
    "changes the folder": lambda *_: os.chdir("/"),
    "changes the path": lambda *_: sys.path.clear(),
    "changes the environment": lambda *_: os.environ.clear(),
    "draws": lambda *_: (torch.rand(3), random.random(), np.random.rand(), None)[-1],
    "seeds": lambda *_: (torch.manual_seed(7), random.seed(7), np.random.seed(7), None)[-1],
    "limits recursion": lambda *_: sys.setrecursionlimit(120),
    "silences warnings": lambda *_: warnings.simplefilter("error"),
    "takes interrupts": lambda *_: (signal.signal(signal.SIGINT, signal.SIG_IGN), None)[-1],
    "enters a function mode": lambda *_: (_FunctionMode().__enter__(), None)[-1],
    "enters a dispatch mode": lambda *_: (_dispatch_mode().__enter__(), None)[-1],
    "enters autocast": lambda *_: (torch.autocast("cpu", torch.bfloat16).__enter__(), None)[-1],
    "enters inference": lambda *_: (torch.inference_mode().__enter__(), None)[-1],
    "hooks every module": lambda *_: (nn.modules.module.register_module_forward_hook(_noisy), None)[-1],
    "hooks saved tensors": lambda *_: torch.autograd.graph.saved_tensors_hooks(_pack, _pack).__enter__(),
    "traces Python": lambda *_: sys.settrace(_tracing),
    "turns collection off": lambda *_: gc.disable(),
    "sets numpy's errors": lambda *_: (np.seterr(all="raise"), None)[-1],
    "replaces stdout": lambda *_: setattr(sys, "stdout", None),
    "closes stdout": _close,
    "prints": lambda *_: print("HELLO " * 100_000),
    "writes to the descriptor": lambda *_: (os.write(1, b"HELLO\n"), None)[-1],
    "starts a thread": lambda *_: threading.Thread(target=time.sleep, args=(0.2,), daemon=True).start(),
    "matches no shape": lambda _m, x: x @ torch.ones(3, 5),
    "views what can't be": lambda _m, x: x.view(-1, 7),
    "adds other sizes": lambda _m, x: x + torch.ones(5, 9),
    "multiplies other types": lambda _m, x: x.flatten(1) @ torch.ones(256, 4, dtype=torch.float64),
    "is on another device": lambda _m, x: x * torch.ones(1, device="meta"),
    "indexes too far": lambda _m, x: x[:, 99],
    "takes a million gigabytes": lambda _m, x: x.mean() * torch.ones(10**9, 10**6),
    "spreads its input": lambda _m, x: x.flatten()[:, None, None] * torch.ones(1, 10**6, 10**5),
    "reads a value": lambda _m, x: fail(ValueError("negative")) if x.sum().item() > -1e30 else None,
    "makes an array": lambda _m, x: torch.from_numpy(x.detach().numpy()).to(x.device),
    "adds a module": lambda m, _x: m.add_module("more", nn.Linear(2, 2)),
    "adds itself": lambda m, _x: m.add_module("me", m),
    "deletes its weight": lambda m, _x: delattr(m, "weight"),
    "clears what it holds": lambda m, _x: m.__dict__.clear(),
    "changes its class": lambda m, _x: setattr(m, "__class__", nn.ReLU),
    "changes its mode": lambda m, _x: (m.train(not m.training), None)[-1],
    "changes its weight": lambda m, _x: (m.weight.data.add_(1), None)[-1],
    "doubles itself": lambda m, _x: (m.double(), None)[-1],
    "moves itself": lambda m, _x: (m.to("meta"), None)[-1],
    "counts its calls": lambda m, _x: m.calls.add_(1) and None,
    "hooks itself": lambda m, _x: (m.register_forward_hook(_noisy), None)[-1],
    "replaces its weight": lambda m, _x: setattr(m, "weight", nn.Parameter(torch.ones(7))),
    "keeps its input": lambda m, x: setattr(m, "kept", x),
    "freezes": lambda m, _x: (m.requires_grad_(False), None)[-1],
    "runs backward": lambda _m, x: x.sum().backward(),
}  # fmt: skip
"""What a layer does when it is called."""


class _FunctionMode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


def _dispatch_mode() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return function(*args, **(kwargs or {}))

    return Mode()


def _noisy(*_: object) -> None:
    raise ValueError("a hook")


def _pack(value: Any) -> Any:
    return value


def _tracing(*_: object) -> None:
    return None


def _endless() -> Any:
    while True:
        yield nn.Parameter(torch.zeros(1))


def _circle(x: Tensor) -> list[Any]:
    found: list[Any] = [x]
    found.append(found)
    return found


def _deep(x: Tensor) -> Any:
    found: Any = x
    for _ in range(2000):
        found = (found,)
    return found


async def _later(x: Tensor) -> Tensor:
    return x


class _Odd:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


RESULTS: dict[str, Callable[[Tensor], Any]] = {
    "None": lambda x: None, "a dict": lambda x: {"x": x, 3: x}, "a generator": lambda x: (x for _ in range(3)),
    "a string": lambda x: "x" * 1000, "a number": lambda x: 3, "a circle": _circle, "a deep tuple": _deep,
    "a module": lambda x: nn.ReLU(), "a function": lambda x: _noisy, "a coroutine": _later, "a list": lambda x: [x, None],
    "a sparse tensor": lambda x: torch.eye(3).to_sparse(), "a complex tensor": lambda x: x * 1j,
    "integers": lambda x: x.long(), "booleans": lambda x: x > 0, "nothing": lambda x: x[:0], "a number of it": lambda x: x.sum(),
    "an array": lambda x: np.zeros(3), "a meta tensor": lambda x: torch.zeros(1, 4, 8, 8, device="meta"),
    "an odd object": lambda x: _Odd(), "a set": lambda x: {x}, "a double": lambda x: x.double(), "a half": lambda x: x.half(),
    "a nested tensor": lambda x: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "itself": lambda x: x,
    "not a number": lambda x: x * float("nan"), "an endless spread": lambda x: torch.ones(1).expand(10**6, 10**6),
}  # fmt: skip
"""What comes out of a network, or of a layer in it."""


class Giving(nn.Module):
    """A network that gives something else."""

    def __init__(self, inner: nn.Module, give: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner = inner
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(self.inner(x))


def _lying(name: str, answer: Callable[..., Any]) -> Build:
    """A layer whose class has a method or an attribute of somebody's own."""

    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        kind = type("Lying", (Layer,), {name: answer})
        put(chance, network, kind())

    return build


def _raise(*_: object, **__: object) -> NoReturn:
    raise ValueError("\x1b[31masked in vain")


def _exit(*_: object, **__: object) -> NoReturn:
    sys.exit(0)


def _getattr(self: nn.Module, name: str) -> Any:
    if name in ("_parameters", "_modules", "_buffers"):
        return nn.Module.__getattr__(self, name)
    raise ValueError(f"no {name}")


def _getattr_without_end(self: Any, name: str) -> Any:
    return getattr(self, f"{name}_")


def _getattribute(self: Any, name: str) -> Any:
    if name == "forward":
        raise ValueError("no forward")
    return object.__getattribute__(self, name)


METHODS: dict[str, tuple[str, Any]] = {
    **{f"{name} that fails": (name, _raise) for name in (
        "state_dict", "parameters", "named_parameters", "named_modules", "named_children", "modules", "train", "eval",
        "buffers", "__repr__", "extra_repr", "__deepcopy__", "__reduce_ex__", "__len__", "__iter__", "__bool__", "__eq__",
        "__dir__", "_apply", "zero_grad", "named_buffers", "apply", "to", "cpu", "_get_name", "__getstate__",
        "__setattr__", "__delattr__", "requires_grad_", "_save_to_state_dict", "register_forward_hook", "__call__", "children",
    )},
    **{f"{name} that ends the program": (name, _exit) for name in ("__repr__", "state_dict", "train", "__deepcopy__", "parameters")},
    "parameters without end": ("parameters", lambda self, *_: _endless()),
    "parameters of words": ("parameters", lambda self, *_: iter(["weight"])),
    "parameters that are None": ("parameters", None),
    "a state_dict of words": ("state_dict", lambda self, *_a, **_k: {"weight": "heavy"}),
    "a train without a result": ("train", lambda self, *_: None),
    "a repr of megabytes": ("__repr__", lambda self: "x" * 3_000_000),
    "a repr that is a number": ("__repr__", lambda self: 3),
    "__getattr__ that fails": ("__getattr__", _getattr),
    "__getattr__ without end": ("__getattr__", _getattr_without_end),
    "__getattribute__ that fails": ("__getattribute__", _getattribute),
    "no hash": ("__hash__", None),
    "an equality of tensors": ("__eq__", lambda self, other: torch.zeros(3) == 0),
    "another class": ("__class__", property(lambda self: int)),
    "forward that is None": ("forward", None),
    "forward without arguments": ("forward", lambda: None),
    "forward of many arguments": ("forward", lambda self, a, b, c, *, d: a),
    "forward that is asynchronous": ("forward", _later),
    "modules that is a list": ("modules", []),
    "training that is a word": ("training", "yes"),
    "slots": ("__slots__", ("extra",)),
}  # fmt: skip
"""What a layer answers otherwise than torch expects."""


def put(chance: random.Random, network: Network, layer: nn.Module) -> nn.Module:
    """Puts a layer somewhere among the blocks; its parent."""
    places = [network.blocks, *(one for one in network.blocks.modules() if isinstance(one, nn.Sequential))]
    parent = chance.choice(places)
    held = list(parent._modules.values())
    held.insert(chance.randrange(len(held) + 1), layer)
    parent._modules.clear()
    parent._modules.update({str(number): one for number, one in enumerate(held)})
    return parent


def _named(name: str) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        parent._modules[name] = Layer()

    return build


def _nested(levels: int) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        layer: nn.Module = Layer()
        for _ in range(levels):
            layer = nn.Sequential(layer)
        put(chance, network, layer)

    return build


def _held(where: str, value: Callable[[], Any]) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        getattr(parent, where)["odd"] = value()

    return build


def _weight(make: Callable[[], Any]) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        layer = Layer()
        layer._parameters["weight"] = make()
        put(chance, network, layer)

    return build


def _cycle(chance: random.Random, network: Network, parent: nn.Module) -> None:
    first, second = Layer(), Layer()
    first.other, second.other = second, first
    put(chance, network, first)


def _upwards(chance: random.Random, network: Network, parent: nn.Module) -> None:
    layer = Layer()
    put(chance, network, layer)
    layer.above = network


def _called_cycle(chance: random.Random, network: Network, parent: nn.Module) -> None:
    first = Layer(lambda m, x: m.other(x))
    first.other = Layer(lambda m, x: m.other(x))
    first.other.other = first
    put(chance, network, first)


def _hooked(register: str, hook: Callable[..., Any]) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        layer = chance.choice(list(network.blocks.modules()))
        getattr(layer, register)(hook)

    return build


def _layer(make: Callable[[], nn.Module]) -> Build:
    return lambda chance, network, parent: put(chance, network, make())


def _shared(chance: random.Random, network: Network, parent: nn.Module) -> None:
    layer = Layer()
    for _ in range(3):
        put(chance, network, layer)


def _attribute(value: Callable[[], Any]) -> Build:
    def build(chance: random.Random, network: Network, parent: nn.Module) -> None:
        layer = Layer()
        layer.held = value()
        put(chance, network, layer)

    return build


def _quantised() -> Any:
    return nn.Parameter(torch.quantize_per_tensor(torch.ones(4, 1, 1), 0.1, 0, torch.qint8), requires_grad=False)


def _parametrised(chance: random.Random, network: Network, parent: nn.Module) -> None:
    from torch.nn.utils import parametrize

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if x.requires_grad and chance.random() < 2:
                raise ValueError("a parametrisation")
            return x

    layer = nn.Conv2d(CHANNELS, CHANNELS, 1)
    parametrize.register_parametrization(layer, "weight", Broken(), unsafe=True)
    put(chance, network, layer)


BUILDS: dict[str, Build] = {
    **{name: _lying(attribute, answer) for name, (attribute, answer) in METHODS.items()},
    **{f"a module named {name[:20]!r}": _named(name) for name in (
        "modules", "parameters", "", "a.b", "forward", "train", "training", "__class__", "state_dict", "0", "\x1b[31m", "é∂",
        "x" * 100_000, "_modules", "named_modules", "__dict__", "..", "call", "eval", "name\nname", "\ud800",
    )},
    "a module named 3": lambda chance, network, parent: parent._modules.update({3: Layer()}),
    "300 levels": _nested(300), "3000 levels": _nested(3000),
    "a module that is no module": _held("_modules", lambda: 3), "a module that is None": _held("_modules", lambda: None),
    "a parameter that is none": _held("_parameters", lambda: torch.ones(3)), "a parameter of words": _held("_parameters", lambda: "w"),
    "a buffer of words": _held("_buffers", lambda: "w"), "a buffer that is None": _held("_buffers", lambda: None),
    "a cycle of modules": _cycle, "a module that holds the network": _upwards, "a cycle that is called": _called_cycle,
    "a module that holds itself": lambda chance, network, parent: parent.add_module("me", parent),
    "a network that holds itself": lambda chance, network, parent: network.add_module("me", network),
    "a shared module": _shared,
    "a hook that fails": _hooked("register_forward_hook", _noisy), "a hook before that fails": _hooked("register_forward_pre_hook", _noisy),
    "a hook that ends the program": _hooked("register_forward_hook", _exit),
    "a hook of words": _hooked("register_forward_hook", lambda *_: "words"),
    "a backward hook that fails": _hooked("register_full_backward_hook", _noisy),
    "a state hook that fails": _hooked("_register_state_dict_hook", _noisy),
    "a state hook before that fails": _hooked("register_state_dict_pre_hook", _noisy),
    "an expanded weight": _weight(lambda: nn.Parameter(torch.ones(1, 1, 1).expand(CHANNELS, 1, 1))),
    "a sparse weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1).to_sparse())),
    "a quantised weight": _weight(_quantised), "a weight of integers": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.int8), requires_grad=False)),
    "a weight of doubles": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.float64))),
    "a weight of halves": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.float16))),
    "a complex weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.complex64))),
    "a boolean weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.bool), requires_grad=False)),
    "an uninitialised weight": _weight(nn.UninitializedParameter), "a meta weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, device="meta"))),
    "a weight of another size": _weight(lambda: nn.Parameter(torch.ones(7, 1, 1))), "no weight": _weight(lambda: None),
    "a weight that isn't a number": _weight(lambda: nn.Parameter(torch.full((CHANNELS, 1, 1), float("nan")))),
    "a weight that is a result": _weight(lambda: torch.ones(CHANNELS, 1, 1, requires_grad=True) * 2),
    "an inference weight": _weight(lambda: _inference()),
    "a huge weight": _layer(lambda: nn.Linear(10**6, 10**6)), "a large weight": _layer(lambda: nn.Linear(10**5, 10**5)),
    "a huge meta weight": _layer(lambda: nn.Linear(10**9, 10**9, device="meta")),
    "lazy layers": _layer(lambda: nn.LazyConv2d(CHANNELS, 1)), "lazy layers that don't fit": _layer(lambda: nn.LazyConv2d(3, 1)),
    "lazy layers of another shape": _layer(lambda: nn.LazyConv3d(3, 1)), "lazy normalisation": _layer(nn.LazyBatchNorm2d),
    "a linear layer that doesn't fit": _layer(lambda: nn.Linear(99, 8)), "channels that don't fit": _layer(lambda: nn.Conv2d(5, 4, 1)),
    "a kernel that is too large": _layer(lambda: nn.Conv2d(4, 4, 99)), "normalisation that doesn't fit": _layer(lambda: nn.BatchNorm2d(9)),
    "an embedding of fractions": _layer(lambda: nn.Embedding(3, 3)), "attention that doesn't fit": _layer(lambda: nn.MultiheadAttention(8, 2)),
    "a recurrent layer": _layer(lambda: nn.LSTM(8, 8)), "no layers": _layer(nn.ModuleList), "a dictionary of layers": _layer(nn.ModuleDict),
    "a parallel network": _layer(lambda: nn.DataParallel(Layer())), "a scripted layer": _layer(lambda: torch.jit.trace(nn.Linear(3, 3), torch.ones(1, 3))),
    "a lock": _attribute(threading.Lock), "a generator": _attribute(lambda: (n for n in range(3))), "an odd object": _attribute(_Odd),
    "an open file": _attribute(lambda: open(os.devnull)), "a module class": _attribute(lambda: nn.Linear), "itself": _attribute(lambda: sys),
    "a list of layers": _attribute(lambda: [nn.Linear(2, 2)]), "a tensor that is a result": _attribute(lambda: torch.ones(2, requires_grad=True) * 2),
    "a deep list": _attribute(lambda: _deep(torch.ones(1))), "a circle": _attribute(lambda: _circle(torch.ones(1))),
    "an array of objects": _attribute(lambda: np.array([None, _Odd()], dtype=object)),
    "a parametrisation that fails": _parametrised,
    "a constructor that fails": lambda *_: fail(ValueError("constructor")), "a constructor that ends the program": lambda *_: fail(SystemExit(0)),
    "a constructor without words": lambda *_: fail(MuteError()),
    "a constructor that changes all": lambda *_: (torch.set_default_dtype(torch.float64), os.chdir("/"), torch.manual_seed(3)),
    "a constructor that prints": lambda *_: print("HELLO"),
    "weights that can't be changed": lambda chance, network, parent: network.requires_grad_(False),
    "attributes that are gone": lambda chance, network, parent: parent.__dict__.pop("_buffers"),
    "hooks that are gone": lambda chance, network, parent: parent.__dict__.pop("_forward_hooks"),
}  # fmt: skip
"""What is wrong with how a network is built."""


def _inference() -> Any:
    with torch.inference_mode():
        return nn.Parameter(torch.ones(CHANNELS, 1, 1))


PLANTS = (
    *(f"a layer {name}" for name in DEEDS),
    *(f"a layer gives {name}" for name in RESULTS),
    *(f"the network gives {name}" for name in RESULTS),
    *BUILDS,
)
"""All faults by name."""
ENDLESS = "a layer that never ends"
"""The fault that only a time limit ends; not among `PLANTS`."""


def planted(plant: str, seed: int = 0) -> nn.Module:
    """A network with a fault; it and the place of the fault are drawn by the seed."""
    chance = random.Random(seed)
    network = Network(chance)
    kind, _, name = plant.partition(" gives ")
    if plant == ENDLESS:
        put(chance, network, Layer(lambda m, x: next(n for n in iter(int, 1) if n)))
    elif kind == "a layer":
        put(chance, network, Layer(lambda m, x: RESULTS[name](x)))
    elif kind == "the network":
        return Giving(network, RESULTS[name])
    elif plant in BUILDS:
        BUILDS[plant](chance, network, chance.choice((network, network.blocks, network.head)))
    else:
        put(chance, network, Layer(DEEDS[plant.removeprefix("a layer ")]))
    return network
