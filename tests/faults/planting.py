"""Networks for images of 1 x 8 x 8 with one planted fault each: `planted("sys.exit", seed)`, by a name of `PLANTS`.

A network is a stem, blocks that keep the shape (nested at random) and a head. A fault is what one of its layers does
when it is called, what comes out of it (both in `deeds.py`), or what is wrong with how it is built (`BUILDS`).
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.faults.answers import METHODS, leave
from tests.faults.deeds import DEEDS, RESULTS, Deed, MuteError, Odd, circle, deep, fail, noisy

CHANNELS, SIZE, CLASSES = 4, 8, 10
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
        return chance.choice((Residual, lambda body: body))(inner)
    makers: tuple[Callable[[], nn.Module], ...] = (
        lambda: nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1),
        lambda: nn.BatchNorm2d(CHANNELS),
        nn.ReLU,
        Layer,
        lambda: nn.Dropout(0.5),
        lambda: nn.GroupNorm(2, CHANNELS),
    )
    return chance.choice(makers)()


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


def _scripted() -> Any:
    return torch.jit.trace(nn.Linear(3, 3), torch.ones(1, 3))  # type: ignore[no-untyped-call]


def _changing(*_: object) -> None:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(3)
    os.chdir("/")


BUILDS: dict[str, Build] = {
    **{name: _lying(attribute, answer) for name, (attribute, answer) in METHODS.items()},
    **{
        f"a module named {name[:20]!r}": _named(name)
        for name in (
            "modules",
            "parameters",
            "",
            "a.b",
            "forward",
            "train",
            "training",
            "__class__",
            "state_dict",
            "0",
            "\x1b[31m",
            "é∂",
            "x" * 100_000,
            "_modules",
            "named_modules",
            "__dict__",
            "..",
            "call",
            "eval",
            "name\nname",
            "\ud800",
        )
    },
    "a module named 3": lambda chance, network, parent: parent._modules.update({3: Layer()}),  # type: ignore[dict-item]
    "300 levels": _nested(300),
    "3000 levels": _nested(3000),
    "a module that is no module": _held("_modules", lambda: 3),
    "a module that is None": _held("_modules", lambda: None),
    "a parameter that is none": _held("_parameters", lambda: torch.ones(3)),
    "a parameter of words": _held("_parameters", lambda: "w"),
    "a buffer of words": _held("_buffers", lambda: "w"),
    "a buffer that is None": _held("_buffers", lambda: None),
    "a cycle of modules": _cycle,
    "a module that holds the network": _upwards,
    "a cycle that is called": _called_cycle,
    "a module that holds itself": lambda chance, network, parent: parent.add_module("me", parent),
    "a network that holds itself": lambda chance, network, parent: network.add_module("me", network),
    "a shared module": _shared,
    "a hook that fails": _hooked("register_forward_hook", noisy),
    "a hook before that fails": _hooked("register_forward_pre_hook", noisy),
    "a hook that ends the program": _hooked("register_forward_hook", leave),
    "a hook of words": _hooked("register_forward_hook", lambda *_: "words"),
    "a backward hook that fails": _hooked("register_full_backward_hook", noisy),
    "a state hook that fails": _hooked("_register_state_dict_hook", noisy),
    "a state hook before that fails": _hooked("register_state_dict_pre_hook", noisy),
    "an expanded weight": _weight(lambda: nn.Parameter(torch.ones(1, 1, 1).expand(CHANNELS, 1, 1))),
    "a sparse weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1).to_sparse())),
    "a quantised weight": _weight(_quantised),
    "a weight of integers": _weight(
        lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.int8), requires_grad=False)
    ),
    "a weight of doubles": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.float64))),
    "a weight of halves": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.float16))),
    "a complex weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.complex64))),
    "a boolean weight": _weight(
        lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, dtype=torch.bool), requires_grad=False)
    ),
    "an uninitialised weight": _weight(nn.UninitializedParameter),
    "a meta weight": _weight(lambda: nn.Parameter(torch.ones(CHANNELS, 1, 1, device="meta"))),
    "a weight of another size": _weight(lambda: nn.Parameter(torch.ones(7, 1, 1))),
    "no weight": _weight(lambda: None),
    "a weight that isn't a number": _weight(lambda: nn.Parameter(torch.full((CHANNELS, 1, 1), float("nan")))),
    "a weight that is a result": _weight(lambda: torch.ones(CHANNELS, 1, 1, requires_grad=True) * 2),
    "an inference weight": _weight(lambda: _inference()),
    "a huge weight": _layer(lambda: nn.Linear(10**6, 10**6)),
    "a large weight": _layer(lambda: nn.Linear(10**5, 10**5)),
    "a huge meta weight": _layer(lambda: nn.Linear(10**9, 10**9, device="meta")),
    "lazy layers": _layer(lambda: nn.LazyConv2d(CHANNELS, 1)),
    "lazy layers that don't fit": _layer(lambda: nn.LazyConv2d(3, 1)),
    "lazy layers of another shape": _layer(lambda: nn.LazyConv3d(3, 1)),
    "lazy normalisation": _layer(nn.LazyBatchNorm2d),
    "a linear layer that doesn't fit": _layer(lambda: nn.Linear(99, 8)),
    "channels that don't fit": _layer(lambda: nn.Conv2d(5, 4, 1)),
    "a kernel that is too large": _layer(lambda: nn.Conv2d(4, 4, 99)),
    "normalisation that doesn't fit": _layer(lambda: nn.BatchNorm2d(9)),
    "an embedding of fractions": _layer(lambda: nn.Embedding(3, 3)),
    "attention that doesn't fit": _layer(lambda: nn.MultiheadAttention(8, 2)),
    "a recurrent layer": _layer(lambda: nn.LSTM(8, 8)),
    "no layers": _layer(nn.ModuleList),
    "a dictionary of layers": _layer(nn.ModuleDict),
    "a parallel network": _layer(lambda: nn.DataParallel(Layer())),
    "a scripted layer": _layer(lambda: _scripted()),
    "a lock": _attribute(threading.Lock),
    "a generator": _attribute(lambda: (n for n in range(3))),
    "an odd object": _attribute(Odd),
    "an open file": _attribute(lambda: Path(os.devnull).open()),  # noqa: SIM115
    "a module class": _attribute(lambda: nn.Linear),
    "itself": _attribute(lambda: sys),
    "a list of layers": _attribute(lambda: [nn.Linear(2, 2)]),
    "a tensor that is a result": _attribute(lambda: torch.ones(2, requires_grad=True) * 2),
    "a deep list": _attribute(lambda: deep(torch.ones(1))),
    "a circle": _attribute(lambda: circle(torch.ones(1))),
    "an array of objects": _attribute(lambda: np.array([None, Odd()], dtype=object)),
    "a parametrisation that fails": _parametrised,
    "a constructor that fails": lambda *_: fail(ValueError("constructor")),
    "a constructor that ends the program": lambda *_: fail(SystemExit(0)),
    "a constructor without words": lambda *_: fail(MuteError()),
    "a constructor that changes all": _changing,
    "a constructor that prints": lambda *_: print("HELLO"),
    "weights that can't be changed": lambda chance, network, parent: network.requires_grad_(False),
    "attributes that are gone": lambda chance, network, parent: parent.__dict__.pop("_buffers"),
    "hooks that are gone": lambda chance, network, parent: parent.__dict__.pop("_forward_hooks"),
}
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
