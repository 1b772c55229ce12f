"""What a layer does when it is called (`DEEDS`), and what may come out of it (`RESULTS`)."""

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

Deed = Callable[[Any, Any], object]


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


def enter(context: Any) -> None:
    """Enters a context that nobody leaves."""
    context.__enter__()


def fail(error: BaseException) -> NoReturn:
    raise error


def _cause(_: nn.Module, __: Tensor) -> NoReturn:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    raise first


def _recursion(module: nn.Module, x: Tensor) -> Any:
    return module(x)


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
    "enters a function mode": lambda *_: enter(_FunctionMode()),
    "enters a dispatch mode": lambda *_: enter(_dispatch_mode()),
    "enters autocast": lambda *_: enter(torch.autocast("cpu", torch.bfloat16)),
    "enters inference": lambda *_: enter(torch.inference_mode()),
    "hooks every module": lambda *_: (nn.modules.module.register_module_forward_hook(noisy), None)[-1],
    "hooks saved tensors": lambda *_: enter(torch.autograd.graph.saved_tensors_hooks(_pack, _pack)),
    "traces Python": lambda *_: sys.settrace(_tracing),
    "turns collection off": lambda *_: gc.disable(),
    "sets numpy's errors": lambda *_: (np.seterr(all="raise"), None)[-1],
    "replaces stdout": lambda *_: setattr(sys, "stdout", None),
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
    "hooks itself": lambda m, _x: (m.register_forward_hook(noisy), None)[-1],
    "replaces its weight": lambda m, _x: setattr(m, "weight", nn.Parameter(torch.ones(7))),
    "keeps its input": lambda m, x: setattr(m, "kept", x),
    "freezes": lambda m, _x: (m.requires_grad_(False), None)[-1],
    "runs backward": lambda _m, x: x.sum().backward(),
}
"""What a layer does when it is called."""


class _FunctionMode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {}))


def _dispatch_mode() -> Any:
    from torch.utils._python_dispatch import TorchDispatchMode

    class Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return function(*args, **(kwargs or {}))

    return Mode()  # type: ignore[no-untyped-call]


def noisy(*_: object) -> None:
    raise ValueError("a hook")


def _pack(value: Any) -> Any:
    return value


def _tracing(*_: object) -> None:
    return None


def endless() -> Any:
    while True:
        yield nn.Parameter(torch.zeros(1))


def circle(x: Tensor) -> list[Any]:
    found: list[Any] = [x]
    found.append(found)
    return found


def deep(x: Tensor) -> Any:
    found: Any = x
    for _ in range(2000):
        found = (found,)
    return found


async def later(x: Tensor) -> Tensor:
    return x


class Odd:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(name)


RESULTS: dict[str, Callable[[Tensor], Any]] = {
    "None": lambda x: None,
    "a dict": lambda x: {"x": x, 3: x},
    "a generator": lambda x: (x for _ in range(3)),
    "a string": lambda x: "x" * 1000,
    "a number": lambda x: 3,
    "a circle": circle,
    "a deep tuple": deep,
    "a module": lambda x: nn.ReLU(),
    "a function": lambda x: noisy,
    "a coroutine": later,
    "a list": lambda x: [x, None],
    "a sparse tensor": lambda x: torch.eye(3).to_sparse(),
    "a complex tensor": lambda x: x * 1j,
    "integers": lambda x: x.long(),
    "booleans": lambda x: x > 0,
    "nothing": lambda x: x[:0],
    "a number of it": lambda x: x.sum(),
    "an array": lambda x: np.zeros(3),
    "a meta tensor": lambda x: torch.zeros(1, 4, 8, 8, device="meta"),
    "an odd object": lambda x: Odd(),
    "a set": lambda x: {x},
    "a double": lambda x: x.double(),
    "a half": lambda x: x.half(),
    "a nested tensor": lambda x: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "itself": lambda x: x,
    "not a number": lambda x: x * float("nan"),
    "an endless spread": lambda x: torch.ones(1).expand(10**6, 10**6),
}
"""What comes out of a network, or of a layer in it."""
