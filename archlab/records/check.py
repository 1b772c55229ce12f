"""Whether a network keeps to what was agreed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from archlab.records.display import Displayed, Shown


@dataclass(frozen=True, slots=True)
class Finding(Shown):
    """One thing that was checked."""

    subject: str
    """`parameters`, `macs`, `layers`, or the path of a layer that differs."""
    passed: bool
    text: str
    """What was found, what was allowed, and by how much it is off."""
    found: int | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Check(Displayed):
    """A network held to limits and to a trace that was kept."""

    SCHEMA: ClassVar[str] = "archlab.check/1"

    network: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is off."""
        return all(finding.passed for finding in self.findings)
