"""What is wrong with a training, and what is in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from archlab.records.display import Displayed, Shown

Level = Literal["problem", "warning", "note", "good"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""The worst first."""


@dataclass(frozen=True, slots=True)
class Verdict(Shown):
    """What one check says about the runs of a variant, or about all of them."""

    check: str
    """Which check: `running-statistics`, `batch-noise`, ..."""
    level: Level
    """`problem`: a result can't be used as it is. `warning`: it may mislead. `note`: good to know. `good`: looked at,
    and in order."""
    text: str
    """Sentences that say what was measured, with number, unit and n. They name no variant and no layer."""
    variant: str = ""
    """Empty for all variants together."""
    seeds: tuple[int, ...] = ()
    """Of the runs in which it was found."""
    layer: str = ""
    """Path of the layer, the worst where there are several; empty for the network as a whole."""
    remedy: str = ""
    """What to do about it."""
    source: str = ""
    """Paper and section."""

    @property
    def title(self) -> str:
        """The check as people read it: `running statistics`."""
        return self.check.replace("-", " ")

    @property
    def subject(self) -> str:
        """What it is about, in a line: `norm=batch, norm_3`."""
        return ", ".join(part for part in (self.variant, self.layer) if part)


@dataclass(frozen=True, slots=True)
class Examination(Displayed):
    """All verdicts on some runs, the worst first."""

    SCHEMA: ClassVar[str] = "archlab.verdicts/1"

    verdicts: tuple[Verdict, ...]
    runs: tuple[str, ...] = ()
    """Keys of the runs that were looked at."""

    def at(self, level: Level) -> tuple[Verdict, ...]:
        """The verdicts of one level."""
        return tuple(verdict for verdict in self.verdicts if verdict.level == level)

    @property
    def alarming(self) -> tuple[Verdict, ...]:
        """The problems and the warnings."""
        return self.at("problem") + self.at("warning")

    @property
    def headline(self) -> str:
        """How many problems and warnings there are: `2 problems, 1 warning`; empty for none.

        >>> Examination((Verdict("seeds", "warning", "Each variant has 2 runs."),)).headline
        '1 warning'
        """
        counts = {level: len(self.at(level)) for level in LEVELS[:2]}
        return ", ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count)
