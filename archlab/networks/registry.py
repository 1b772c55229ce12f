"""The networks that can be built by name: one dict, one decorator."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from torch import nn

from archlab.errors import InputError, SourceError, nearest
from archlab.networks import zoos
from archlab.networks.options import Option, Signature, plain_value, read_signature
from archlab.records import Shape
from archlab.records.display import Shown
from archlab.records.listed import ListedNetwork

GROUP = "archlab.networks"
"""Entry-point group in which other packages name their networks."""

Factory = TypeVar("Factory", bound=Callable[..., nn.Module])

_ENTRIES: dict[str, Entry] = {}


@dataclass(frozen=True, slots=True)
class Entry(Shown):
    """A network that can be built by name."""

    name: str
    factory: Callable[..., nn.Module]
    input_shape: Shape = ()
    """(channels, height, width) that it was made for, without the batch; empty if that isn't known."""
    summary: str = ""
    """What it is, in a line."""
    paper: str = ""
    """Where it was published."""
    presets: Mapping[str, object] = field(default_factory=dict)
    """What sets it apart from the other networks of its factory: arguments that replace the factory's defaults."""

    @property
    def signature(self) -> Signature:
        """What the factory takes, with the presets as defaults."""
        return read_signature(self.factory, self.presets)

    @property
    def options(self) -> Mapping[str, Option]:
        """Name -> default, type, choices and meaning of each option."""
        return self.signature.options

    @property
    def listed(self) -> ListedNetwork:
        """What is shown of it."""
        options = tuple(option.listed for option in self.options.values())
        return ListedNetwork(self.name, self.summary, options, self.input_shape, self.paper)

    def _drawn(self) -> ListedNetwork:
        return self.listed

    @property
    def is_ours(self) -> bool:
        """Whether it is one of archlab's own, and no other package's."""
        return self.factory.__module__.startswith("archlab.networks.")

    def shape(self, options: Mapping[str, object]) -> Shape:
        """The input, without the batch, that the network takes when it is built with some options."""
        if len(self.input_shape) != 3:
            return self.input_shape
        channels, height, width = self.input_shape
        size = options.get("size")
        if isinstance(size, int):
            height = width = size
        given = options.get("in_channels")
        return (given if isinstance(given, int) else channels, height, width)

    def build(self, **options: object) -> nn.Module:
        """A new network.

        Raises:
            SourceError: an option is unknown, or has a value that the network can't be built with.
        """
        arguments = self.signature.arguments(options, self.name)
        try:
            return self.factory(**{**self.presets, **arguments})
        except InputError as error:
            raise SourceError(f"{self.name}: {error}") from error
        except ValueError as error:
            chosen = ", ".join(f"{name}={plain_value(value)}" for name, value in arguments.items())
            raise SourceError(f"{self.name} can't be built with {chosen or 'its defaults'}: {error}") from error


def register(
    name: str, *, input_shape: Shape = (), summary: str = "", paper: str = "", **presets: object
) -> Callable[[Factory], Factory]:
    """A decorator that makes a factory of networks known by a name, and returns it as it is.

    Args:
        name: what the network is called in commands and in `build`.
        input_shape: (channels, height, width) that it was made for.
        summary: what it is, in a line.
        paper: where it was published.
        presets: arguments that replace the factory's defaults under this name.

    Raises:
        ValueError: the name is taken.

    >>> @register("example-linear", input_shape=(3,), summary="one linear layer")
    ... def example(classes: int = 10) -> nn.Module:
    ...     return nn.Linear(3, classes)
    """

    def add(factory: Factory) -> Factory:
        if name in _ENTRIES:
            raise ValueError(f"the name {name!r} is taken by {_ENTRIES[name].factory.__qualname__}: choose another")
        _ENTRIES[name] = Entry(name, factory, tuple(input_shape), summary, paper, presets)
        return factory

    return add


def is_builtin(name: str) -> bool:
    """Whether a name is that of one of archlab's own networks; no other package is asked."""
    return name in _ENTRIES and _ENTRIES[name].is_ours


def names() -> list[str]:
    """All names that can be built, other packages' among them, sorted with their numbers as numbers."""
    return sorted({*_ENTRIES, *_plugins()}, key=_by_number)


def entry(name: str) -> Entry:
    """What is known of a name, without building anything.

    Raises:
        SourceError: nothing has that name, with the nearest names; or the package that names it can't be imported.
    """
    if name not in _ENTRIES:
        plugins = _plugins()
        if name not in plugins:
            elsewhere = zoos.holding(name)
            if elsewhere:
                raise SourceError(
                    f"there is no built-in network {name!r}: did you mean {' or '.join(elsewhere)}? archlab networks "
                    "lists the built-in ones"
                )
            raise SourceError(
                f"there is no network {name!r}: {nearest(name, [*_ENTRIES, *plugins])}. Networks from elsewhere are "
                "named as torchvision:NAME, timm:NAME, FILE.py:FACTORY, package.module:FACTORY or FILE.pt2"
            )
        _load(plugins[name])
    return _ENTRIES[name]


def _by_number(name: str) -> list[tuple[str, int]]:
    return [(word, int(number or 0)) for word, number in re.findall(r"(\D*)(\d*)", name)]


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _load(point: EntryPoint) -> None:
    try:
        factory: Any = point.load()
    except Exception as error:  # whatever another package's module does when it is imported
        origin = f"the package {point.dist.name}" if point.dist else "an installed package"
        raise SourceError(
            f"the network {point.name!r} of {origin} ({point.value}) can't be imported: {type(error).__name__}: {error}"
        ) from error
    # Its module may have used the decorator itself, and so have said more than the entry point can.
    if point.name not in _ENTRIES:
        if not callable(factory):
            raise SourceError(f"the network {point.name!r} ({point.value}) is {factory!r}, expected a factory")
        register(point.name)(factory)
