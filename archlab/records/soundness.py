"""Whether what a store holds is as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown

State = Literal["whole", "no hashes", "damaged", "newer", "no access", "running", "interrupted"]


@dataclass(frozen=True, slots=True)
class Soundness(Shown):
    """What was found of one run, comparison or trace."""

    name: str
    """The key of a run or comparison, the hash of a trace."""
    kind: Literal["run", "comparison", "trace"]
    state: State
    """`no hashes`: an older archlab wrote it, and it can be read. `newer`: a newer one did, and it
    can't. `no access`: this user may not read it."""
    files: int = 0
    """That were held against their hashes."""
    said: tuple[str, ...] = ()
    """What is damaged, in sentences; of an interrupted run, what was cut short."""


@dataclass(frozen=True, slots=True)
class StoreSoundness(Displayed):
    """What was found in a store."""

    SCHEMA: ClassVar[str] = "archlab.soundness/1"

    path: str
    found: tuple[Soundness, ...]
    leftovers: tuple[str, ...] = ()
    """Paths that processes left behind which are gone."""

    @property
    def damaged(self) -> tuple[Soundness, ...]:
        """Those that are not as they were written, or can't be read."""
        return tuple(one for one in self.found if one.state == "damaged")
