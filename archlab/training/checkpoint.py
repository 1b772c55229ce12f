"""A training as bytes, from which another process goes on with it bit for bit.

A state is a tree of plain values and tensors (`encoded`, `decoded`): tensors lie in a safetensors file, all else in its
header as JSON. Nothing in it is run when it is read. `NetworkState` is what a network holds: parameters and buffers,
also those that `state_dict()` leaves out, and what of its modules' attributes has changed since the training began.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import pickle
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from archlab.errors import StoreError
from archlab.networks import members

if TYPE_CHECKING:
    from archlab.store.run_writer import RunWriter
    from archlab.training.loop import Trainer

SCHEMA = "archlab.checkpoint/1"
LARGEST_SHARE = 0.02
"""Of the time, that checkpoints take at most."""
FIRST_SECONDS, BYTES_PER_SECOND = 0.02, 200e6
"""What the first one is taken to cost: of weights, and Adam's two moments of each."""


class UnkeptError(Exception):
    """A state holds what can't be written down."""


class Checkpoints:
    """Keeps a training by time.

    Args:
        trainer: which.
        writer: of its run.
        seconds: between two, at least; 0 for none. Where one takes long they are further apart, so that they take
            `LARGEST_SHARE` of the time at most.
        sharers: trainings that go on side by side, all of whose checkpoints may take no more than that.
    """

    def __init__(self, trainer: Trainer, writer: RunWriter, seconds: float, sharers: int = 1) -> None:
        self._trainer, self._writer, self._seconds = trainer, writer, seconds
        self._largest_share = LARGEST_SHARE / sharers
        self._is_possible = seconds > 0
        self._last = time.monotonic()
        self._cost = FIRST_SECONDS + 3 * 4 * trainer.parameters / BYTES_PER_SECOND

    def keep_if_due(self) -> None:
        """Keep one if it is time for it."""
        now = time.monotonic()
        if self._is_possible and now - self._last >= max(self._seconds, self._cost / self._largest_share):
            self.keep()
            self._last = time.monotonic()
            self._cost = self._last - now

    def keep(self) -> None:
        """Keep one now. Without room for it, the one before stays."""
        if not self._is_possible:
            return
        try:
            content = encoded(self._trainer.state())
        except UnkeptError:
            self._is_possible = False
            return
        with contextlib.suppress(StoreError):  # the training itself tells of a full disk
            self._writer.keep_checkpoint(self._trainer.steps_done, content)


def encoded(state: object) -> bytes:
    """A tree of None, numbers, texts, lists, tuples, sets, dictionaries, tensors and arrays, as safetensors.

    Raises:
        UnkeptError: it holds something else.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    tree = _plain(state, tensors)
    try:
        return save(tensors, metadata={"schema": SCHEMA, "state": json.dumps(tree)})
    except (RuntimeError, ValueError, KeyError) as error:
        raise UnkeptError(str(error)) from error


def decoded(content: bytes) -> Any:
    """The tree that was `encoded`; tensors lie on the CPU.

    Raises:
        StoreError: it is none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        length = int.from_bytes(content[:8], "little")
        held = json.loads(content[8 : 8 + length])["__metadata__"]
        if held["schema"] != SCHEMA:
            raise StoreError(f"a checkpoint is {held['schema']}, expected {SCHEMA}")
        return _restored(json.loads(held["state"]), load(content))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"a checkpoint can't be read: {error}") from error


def _plain(value: Any, tensors: dict[str, Tensor]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Tensor):
        if value.is_sparse or value.is_quantized or value.is_meta or type(value) not in (Tensor, nn.Parameter):
            raise UnkeptError(f"a tensor of the kind {type(value).__name__}, {value.layout}")
        kind = "complex" if value.is_complex() else "tensor"
        held = value.detach()
        # A copy: of two that share their memory, safetensors would write none.
        tensors[name := str(len(tensors))] = (
            (torch.view_as_real(held) if value.is_complex() else held)
            .cpu()
            .clone(memory_format=torch.contiguous_format)
        )
        return {kind: name}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"array": _plain(torch.from_numpy(np.ascontiguousarray(value)), tensors)}
    if isinstance(value, torch.Generator):
        return {"generator": _plain(value.get_state(), tensors)}
    if isinstance(value, np.generic):
        return _plain(value.item(), tensors)
    if type(value) in (list, tuple, set):
        return {type(value).__name__: [_plain(one, tensors) for one in value]}
    if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections"):
        return {"dict": [[_plain(key, tensors), _plain(one, tensors)] for key, one in value.items()]}
    raise UnkeptError(f"a {type(value).__name__}")


def _restored(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    match kind:
        case "tensor":
            return tensors[held]
        case "complex":
            return torch.view_as_complex(tensors[held])
        case "array":
            return _restored(held, tensors).numpy()
        case "generator":
            generator = torch.Generator()
            generator.set_state(_restored(held, tensors))
            return generator
        case "dict":
            return {_restored(key, tensors): _restored(one, tensors) for key, one in held}
        case "list" | "tuple" | "set":
            makers: dict[str, Callable[[Iterator[Any]], Any]] = {"list": list, "tuple": tuple, "set": set}
            return makers[kind](_restored(one, tensors) for one in held)
    raise StoreError(f"a checkpoint holds a {kind!r}, which this archlab doesn't know")


_OF_TORCH = frozenset(vars(nn.Module())) - {"training"}
"""Attributes of every module, which hold its parameters, buffers, children and hooks."""


class NetworkState:
    """What a network holds that training changes.

    Parameters and buffers, whatever `state_dict()` has of them, and of other attributes those that have changed since
    this object was made: a counter of steps, a list of losses, a tensor that is no buffer.

    Args:
        network: before its first step.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._first = {place: _mark(value) for place, value in self._attributes()}

    def state(self) -> dict[str, Any]:
        """What is held now.

        Raises:
            UnkeptError: an attribute has changed that can't be written down.
        """
        return {"tensors": dict(self._tensors()), "attributes": self._changed()}

    def aside(self, *, weights: bool = False) -> dict[str, Any]:
        """A copy of what a test may change too: buffers, and attributes that have changed; in the form of `state`.

        Args:
            weights: have the parameters too, for who moves them.

        Raises:
            UnkeptError: an attribute has changed that can't be written down.
        """
        held = dict(self._tensors() if weights else members.named_buffers(self._network))
        copied: dict[str, Any] = decoded(encoded({"tensors": held, "attributes": self._changed()}))
        return copied

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Hold what was held then; what can keep its memory does, so that it stays in the optimiser's hands.

        Raises:
            KeyError: the state is another network's.
        """
        held, modules = dict(self._tensors()), dict(members.named_modules(self._network))
        if missing := held.keys() - state["tensors"].keys():
            raise KeyError(min(missing))
        for name, value in state["tensors"].items():
            tensor = held.get(name)
            if tensor is not None and tensor.shape == value.shape and tensor.dtype == value.dtype:
                tensor.copy_(value)
            else:  # a buffer that the network put there itself
                path, _, last = name.rpartition(".")
                modules[path]._buffers[last] = value if tensor is None else value.to(tensor.device)
        for (path, name), value in state["attributes"].items():
            modules[path].__dict__[name] = value

    def _changed(self) -> dict[tuple[str, str], Any]:
        return {place: value for place, value in self._attributes() if _mark(value) != self._first.get(place, "")}

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from members.named_parameters(self._network)
        yield from members.named_buffers(self._network)

    def _attributes(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for path, module in members.named_modules(self._network):
            for name, value in vars(module).items():
                if name not in _OF_TORCH:
                    yield (path, name), value


def _mark(value: object) -> object:
    """Equal for equal values, also of kinds that can't be written down; None where nothing can be told."""
    tensors: dict[str, Tensor] = {}
    try:
        plain = json.dumps(_plain(value, tensors))
        if not tensors:
            return plain
        content = encoded(value)
    except (UnkeptError, RecursionError, ValueError):  # of what holds itself
        try:
            content = pickle.dumps(value)
        except Exception:  # a function, a lock: what can't be copied to another process is taken to stay as it is
            return None
    return hashlib.sha256(content).hexdigest()
