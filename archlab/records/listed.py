"""What is known of a network that can be built: its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from archlab.records.config import Value
from archlab.records.display import Shown
from archlab.records.trace import Shape


@dataclass(frozen=True, slots=True)
class ListedOption(Shown):
    """An option of a network's factory."""

    name: str
    type: str = ""
    """In a word or two; empty where anything goes."""
    default: Value | None = None
    """As it is given on the command line; None for one that must be given."""
    help: str = ""
    """What it means."""
    choices: tuple[str, ...] = ()
    """The values it can have, where these are few."""


@dataclass(frozen=True, slots=True)
class ListedNetwork(Shown):
    """A network that can be built, and its options."""

    name: str
    summary: str = ""
    """What it is, in a line."""
    options: tuple[ListedOption, ...] = ()
    input_shape: Shape = ()
    """That it was made for, without the batch; empty where that isn't known."""
    paper: str = ""
    """Where it was published."""
    parameters: int | None = None
    """None where it wasn't built to be listed."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Inputs that come by themselves: name -> shape and element type."""
