"""Where a network comes from: a source string, parsed once, becomes a `Source` that can build it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn

from archlab.networks import registry
from archlab.networks.options import Option, plain
from archlab.records import Shape, Value


@dataclass(frozen=True, slots=True)
class Source:
    """A network that can be built, as often as it is wanted."""

    name: str
    """The source string."""
    options: Mapping[str, Value]
    """The options that were given, in their own types."""
    input_shapes: tuple[Shape, ...]
    """Shapes of its inputs, batch 1 first; empty where the source knows none."""
    available: Mapping[str, Option]
    """All options that it names, given or not."""
    is_builtin: bool
    """Whether it was built by a registered name."""
    make: Callable[[], nn.Module]
    """Calls the factory with the options."""
    notes: list[str] = field(default_factory=list)
    """Sentences that belong under a table: what `build` had to do otherwise."""

    def build(self, device: Literal["cpu", "meta"] = "cpu") -> nn.Module:
        """A new network with real weights (`cpu`), or with none (`meta`)."""
        with torch.device(device):
            return self.make()


def resolve(source: str, options: Mapping[str, Value] | None = None) -> Source:
    """What a source string names, with its options checked; nothing is built yet.

    Raises:
        SourceError: the source or an option is unknown or can't be read, with the nearest names.
    """
    entry = registry.entry(source)
    arguments = entry.signature.arguments(options or {}, entry.name)
    given = {name: plain(value) for name, value in arguments.items()}
    shape = entry.shape(arguments)
    shapes = ((1, *shape),) if shape else ()
    return Source(source, given, shapes, entry.options, True, lambda: entry.build(**arguments))


def build(source: str, **options: Value) -> nn.Module:
    """A new network with real weights on the CPU, from its source.

    Raises:
        SourceError: the source or an option is unknown or can't be read, with the nearest names.

    >>> build("lenet", norm="none")(torch.zeros(2, 1, 28, 28)).shape
    torch.Size([2, 10])
    """
    return resolve(source, options).build()
