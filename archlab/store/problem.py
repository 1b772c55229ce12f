"""What lies in a store and can't be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from archlab.records.display import Shown


@dataclass(frozen=True, slots=True)
class Problem(Shown):
    """A folder or file of the store that can't be read, and why."""

    path: Path
    error: str
