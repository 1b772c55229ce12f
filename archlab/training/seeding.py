"""First weights and data order from a seed, so that variants of a network share all that they can share.

The law of the first weights: the k-th random draw that flows into the parameter (or buffer) named `path` comes from a
generator seeded by (seed, path, k) alone. So a layer that is added or taken away shifts nobody else's draws, and two
networks give equally named parameters of equal shape and initialisation equal values.

For example: a residual block's `conv.weight` is drawn by `kaiming_uniform_`, the first draw that flows into it, from a
generator seeded by (seed, "conv.weight", 0). The projection that the block has only where its stride is 2 draws from
(seed, "shortcut.weight", 0), so that its coming or going leaves `conv.weight`, and every other one, as it was.

It holds for any module, whether it initialises itself in constructors, in `reset_parameters`, or in a loop afterwards,
and changes no distribution, since the network's own code draws: the network is built twice. The first time it is
watched which draws end in which parameter, through whatever arithmetic; the second time the generator is seeded anew
before each of them. A draw that ends in several parameters belongs to the first; one that ends in none (a layer that
was replaced) is numbered among its like. Draws from NumPy or Python's `random` come from a generator seeded
once with the seed; they are repeatable, but not apart by name.
"""

from __future__ import annotations

import copy
import hashlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from archlab.errors import SourceError
from archlab.networks import members
from archlab.networks.dispatching import DispatchMode


def derive(seed: int, *names: object) -> int:
    """A seed (63 bits) that depends on a seed and names, and on nothing else."""
    text = "\0".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def order(seed: int, epoch: int, count: int) -> Tensor:
    """The permutation of `count` images in an epoch: drawn on the CPU from (seed, epoch) alone, int64."""
    generator = torch.Generator().manual_seed(derive(seed, "order", epoch))
    return torch.randperm(count, generator=generator)


def build(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A network whose first weights follow the law above; all global random states are left as they were.

    Args:
        make: builds the network on the CPU, and the same way each time it is called.
        seed: decides the weights.

    Raises:
        SourceError: it drew differently the second time.

    >>> build(lambda: nn.Linear(2, 3), seed=0).weight.shape
    torch.Size([3, 2])
    """
    with preserved():
        reseed(seed)
        with _DrawOrigins() as watch:
            first = make()
            names = watch.names(first)
        reseed(seed)
        with _Reseed(seed, names) as seeded:
            network = make()
    if seeded.drawn != len(names):
        raise SourceError(
            f"the network drew {len(names)} times when it was built first and {seeded.drawn} times when it was built "
            "again: its factory must do the same each time it is called"
        )
    # A factory may give what lies in its module, the same for every run: each trains a copy of its own, and what the
    # module holds stays as it was.
    shared = {id(tensor) for tensor in _tensors(first)} & {id(tensor) for tensor in _tensors(network)}
    return copy.deepcopy(network) if shared else network


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*members.parameters(network), *members.buffers(network)]


@contextmanager
def preserved(device: torch.device | None = None) -> Iterator[None]:
    """A context after which the random states of torch (and of one device), NumPy and Python are what they were."""
    # Apple's device has one state only, which torch can't fork.
    devices = [device] if device is not None and device.type not in ("cpu", "mps") else []
    numpy_state, python_state = np.random.get_state(), random.getstate()
    device_type = devices[0].type if devices else "cuda"
    try:
        with torch.random.fork_rng(devices, device_type=device_type):
            yield
    finally:
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def reseed(seed: int, *names: object) -> None:
    """Seed the global generators of torch, NumPy and Python for what a network draws: dropout and its like."""
    np.random.seed(derive(seed, "numpy", *names) % 2**32)
    random.seed(derive(seed, "python", *names))
    torch.manual_seed(derive(seed, *(names or ["torch"])))


def states(device: torch.device) -> dict[str, Any]:
    """The random states of torch, of a device, of NumPy and of Python, as they are now."""
    drawn: Any = np.random.get_state()
    kind, keys, *others = drawn
    return {
        "torch": torch.get_rng_state(),
        "device": None if device.type == "cpu" else getattr(torch, device.type).get_rng_state(),
        "numpy": [kind, keys.astype(np.int64), *others],
        "python": random.getstate(),
    }


def set_states(held: Mapping[str, Any], device: torch.device) -> None:
    """Put random states back, which `states` gave."""
    torch.set_rng_state(held["torch"])
    if held["device"] is not None:
        getattr(torch, device.type).set_rng_state(held["device"])
    kind, keys, *others = held["numpy"]
    np.random.set_state((kind, keys.astype(np.uint32), *others))
    random.setstate(held["python"])


def _is_draw(operation: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in operation.tags


class _Mode(DispatchMode):  # type: ignore[no-untyped-call]
    """Counts draws."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = 0


class _DrawOrigins(_Mode):  # type: ignore[no-untyped-call]
    """Sees which draws flow into which storage."""

    def __init__(self) -> None:
        super().__init__()
        self._draws: dict[int, set[int]] = {}
        self._kept: list[torch.UntypedStorage] = []  # a storage that is freed would give its address to another

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        flowing: set[int] = set()
        for leaf in tree_leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                flowing |= self._draws.get(_address(leaf), set())
        if _is_draw(func):
            flowing.add(self.drawn)
            self.drawn += 1
        if flowing:
            for leaf in tree_leaves(result):
                if isinstance(leaf, Tensor):
                    self._kept.append(leaf.untyped_storage())
                    self._draws.setdefault(_address(leaf), set()).update(flowing)
        return result

    def names(self, network: nn.Module) -> list[str]:
        """For each draw the name that it belongs to, empty where there is none."""
        owners = [""] * self.drawn
        for name, tensor in (*members.named_parameters(network), *members.named_buffers(network)):
            for draw in self._draws.get(_address(tensor), ()):
                owners[draw] = owners[draw] or name
        return owners


class _Reseed(_Mode):  # type: ignore[no-untyped-call]
    """Seeds the generator before each draw."""

    def __init__(self, seed: int, names: list[str]) -> None:
        super().__init__()
        self._seed = seed
        self._names = names
        self._counts: dict[str, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if _is_draw(func):
            name = self._names[self.drawn] if self.drawn < len(self._names) else ""
            count = self._counts.get(name, 0)
            self._counts[name] = count + 1
            self.drawn += 1
            torch.default_generator.manual_seed(derive(self._seed, name, count))
        return func(*args, **(kwargs or {}))


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)
