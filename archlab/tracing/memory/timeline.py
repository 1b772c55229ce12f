"""What memory a training step takes, storage by storage, from a step that is only pretended.

Counting semantics
------------------
The step runs on fake tensors, which have shapes, types and lifetimes but no values: forward, loss, backward and
optimiser, after a step that has made the optimiser's state. Every storage counts its bytes from the operation that
makes it until nobody holds it any more. An operation's own scratch space inside a kernel (convolution workspaces, for
instance) can't be seen and isn't counted, nor are an allocator's rounding and fragmentation.

Where the sizes of two batches are known, those in between and beyond follow: the same storages are made in the same
order, and each one's size is affine in the batch.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor

from archlab.networks.dispatching import DispatchMode
from archlab.records.memory import MemoryParts, Moment
from archlab.tracing.pytree import tensors

MemoryPart = Literal["parameters", "buffers", "optimizer_state", "inputs", "gradients", "activations", "workspace"]


class Event(NamedTuple):
    """Bytes that are taken (positive) or given back (negative)."""

    part: MemoryPart
    moment: Moment
    amount: int


class Peak(NamedTuple):
    """The worst moment of a step."""

    total: int
    moment: Moment
    parts: MemoryParts


@dataclass(frozen=True)
class Timeline:
    """All that is taken and given back in a step, in order."""

    batch: int
    events: tuple[Event, ...]

    def peak(self) -> Peak:
        """The moment at which the most is held; the first of several."""
        held: dict[MemoryPart, int] = {}
        worst: dict[MemoryPart, int] = {}
        moment: Moment = "forward"
        total = most = 0
        for part, when, amount in self.events:
            held[part] = held.get(part, 0) + amount
            total += amount
            if total > most:
                most, moment, worst = total, when, dict(held)
        return Peak(most, moment, MemoryParts(**worst))

    def at(self, batch: int, other: Timeline) -> Timeline | None:
        """The same step with another batch, as this one and a second one tell; None where they differ in kind."""
        if len(self.events) != len(other.events) or self.batch == other.batch:
            return None
        events = []
        for one, two in zip(self.events, other.events, strict=True):
            if one[:2] != two[:2]:
                return None
            slope = (two.amount - one.amount) / (other.batch - self.batch)
            events.append(one._replace(amount=round(one.amount + slope * (batch - self.batch))))
        return Timeline(batch, tuple(events))


class MemoryUse(DispatchMode):  # type: ignore[no-untyped-call]
    """A context that writes down when storages are made and let go.

    `part` and `moment` say what new ones are for. Storages that exist already are told by `hold`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.part: MemoryPart = "activations"
        self.moment: Moment = "forward"
        self.events: list[Event] = []
        self.held: dict[int, tuple[MemoryPart, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs the operation, and files its results."""
        out = func(*args, **(kwargs or {}))
        self.hold([out] if isinstance(out, Tensor) else tensors(out), self.part)
        return out

    def hold(self, held: Iterable[Tensor], part: MemoryPart) -> None:
        """Files storages that aren't known yet."""
        for tensor in held:
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in self.held:
                self.held[key] = part, storage.nbytes()
                self.events.append(Event(part, self.moment, storage.nbytes()))
                weakref.finalize(storage, self._let_go, key).atexit = False

    def rename(self, tensor: Tensor, part: MemoryPart) -> None:
        """Files a known storage under another part."""
        key = tensor.untyped_storage()._cdata
        before, amount = self.held[key]
        if before != part:
            self.held[key] = part, amount
            self.events += [Event(before, self.moment, -amount), Event(part, self.moment, amount)]

    def _let_go(self, key: int) -> None:
        part, amount = self.held.pop(key)
        self.events.append(Event(part, self.moment, -amount))
