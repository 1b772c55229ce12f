"""A clock that is turned by hand, and layers that turn it: times that a test knows exactly."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from archlab.profiling.clock import Clock
from archlab.records import Machine, Rate

MACHINE = Machine("cpu", "a processor", 1, "float32", "2.9.0", Rate(100.0, 90.0, 10), Rate(10.0, 9.0, 10))
"""100 FLOPs and 10 bytes per second: the ridge is at 10 FLOP/byte."""


class HandClock(Clock):
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self.now = 0.0
        self.cost = 0.0
        """Seconds that a mark takes."""

    def mark(self) -> float:
        now = self.now
        self.now += self.cost
        return now

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        return [after - before for before, after in pairwise(marks)]


CLOCK = HandClock()


class QueueClock(Clock):
    """A device of its own beside a processor that asks it: marks are made when all that was asked for is done."""

    is_queued = True

    def __init__(self, cost: float) -> None:
        self.asked = 0.0
        self.done = 0.0
        self.cost = cost
        """Seconds of the processor that a mark takes."""

    def ask(self, asking: float, taking: float) -> None:
        """Some work: what the processor needs to ask for it, and the device to do it."""
        self.asked += asking
        self.done = max(self.done, self.asked) + taking

    def mark(self) -> float:
        self.ask(self.cost, 0.0)
        return self.done

    def seconds(self, marks: Sequence[Any]) -> list[float]:
        return [after - before for before, after in pairwise(marks)]

    def wait(self) -> None:
        self.asked = self.done = max(self.done, self.asked)

    def hold(self, seconds: float) -> None:
        self.ask(0.0, seconds)

    def processor(self) -> float:
        return self.asked


class Kernel(nn.Module):
    """A layer that a processor asks a device for."""

    def __init__(self, clock: QueueClock, asking: float, taking: float) -> None:
        super().__init__()
        self.clock, self.times = clock, (asking, taking)

    def forward(self, x: Tensor) -> Tensor:
        self.clock.ask(*self.times)
        return x.view_as(x)


class Waiting(torch.autograd.Function):
    """Takes some seconds forward and some backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, forward: float, backward: float) -> Tensor:
        CLOCK.now += forward
        ctx.seconds = backward
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        CLOCK.now += ctx.seconds
        return gradients[0], None, None


class Layer(nn.Module):
    """A layer that takes `forward` seconds, and its node `backward`; its weight makes outputs differentiable."""

    def __init__(self, forward: float, backward: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.seconds = forward, backward

    def forward(self, x: Tensor) -> Tensor:
        return Waiting.apply(x * self.weight, *self.seconds)  # type: ignore[no-any-return]


class SlowOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context in which every operation takes some seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds = seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        CLOCK.now += self.seconds
        return func(*args, **(kwargs or {}))


class Block(nn.Module):
    """3 + 5 seconds of layers, 4 of an addition between them, 2 of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first = Layer(3, 30)
        self.second = Layer(5, 50)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        with SlowOperations(4):
            y = y + x
        CLOCK.now += 2
        return self.second(y)  # type: ignore[no-any-return]


class Network(nn.Module):
    """A stem of 1 second, two calls of a block of 14, a head of 7; half a second before all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Layer(1, 10)
        self.block = Block()
        self.head = Layer(7, 70)
        self.unused = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        CLOCK.now += 0.5
        y = self.stem(x)
        y.relu_()
        return self.head(self.block(self.block(y)))  # type: ignore[no-any-return]
