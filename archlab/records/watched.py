"""What is known of a training that somebody else's loop runs."""

from __future__ import annotations

from dataclasses import dataclass, field

from archlab.records.config import Value


@dataclass(frozen=True, slots=True)
class Watched:
    """How a training was watched. Of its settings only those are known that were told or can be seen."""

    settings: dict[str, Value] = field(default_factory=dict)
    """Name -> value: `optimizer` and its settings at the start, and whatever else was told."""
    every: int = 0
    """Steps between two looks at the layers; 0 for none."""
    processes: int = 1
    """Of a distributed training; all that was recorded is of the first of them."""
    notes: tuple[str, ...] = ()
    """What could not be recorded, and why, in sentences."""
