"""What measuring itself takes, found on calls that do nothing.

A chain of `CALLS` calls is timed with marks and without; the difference, over the number of marks, is what one costs.
Half of it lies before the moment that the mark notes and half behind, so that each segment between two marks has
half the cost of either taken off. On an accelerator that is what an event takes in its queue: the chains have the same
lead as passes have.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from archlab.profiling.backward import watch
from archlab.profiling.clock import Clock, Lead
from archlab.profiling.recorder import MarkKind, Recorder

CALLS = 200
REPEATS = 7


@dataclass(frozen=True, slots=True)
class MarkCosts:
    """Seconds that a mark takes, by what it is made for."""

    end: float
    module: float
    operation: float
    node: float

    def of(self, kinds: Sequence[MarkKind]) -> list[float]:
        """What lies between each two neighbouring marks."""
        return [(getattr(self, before) + getattr(self, after)) / 2 for before, after in pairwise(kinds)]


def mark_costs(clock: Clock, device: torch.device) -> MarkCosts:
    """What marks cost on this machine now: the fastest of `REPEATS` tries each, as nothing makes a call faster."""
    layers = nn.Sequential(*(_Nothing() for _ in range(CALLS)))
    small = torch.ones(1, device=device)
    leads: defaultdict[tuple[str, bool], Lead] = defaultdict(lambda: Lead(clock))

    def ends() -> float:
        with leads["ends", True]:
            marks = [clock.mark() for _ in range(CALLS + 1)]
        return sum(clock.seconds(marks)) / CALLS

    def modules(marked: bool) -> float:
        return _pass_seconds(clock, layers, small, marked, leads["modules", marked])

    def operations(marked: bool) -> float:
        return _pass_seconds(clock, _Operations(), small, marked, leads["operations", marked])

    def nodes(marked: bool) -> float:
        with torch.enable_grad():
            out = _Operations()(small.clone().requires_grad_())
            if marked:
                noted = watch([out], [0], [0], clock)
            with leads["nodes", marked]:
                marks = [clock.mark()]
                out.backward()
                marks.append(clock.mark())
            if marked:
                marks[1:1] = noted.marks
        return sum(clock.seconds(marks))

    with torch.no_grad():
        module = _difference(modules) / (2 * CALLS + 2)
        operation = max(0.0, _difference(operations) - 2 * module) / (2 * CALLS)
    return MarkCosts(_fastest(ends), module, operation, _difference(nodes) / CALLS)


class _Nothing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class _Operations(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(CALLS):
            x = x.neg()
        return x


def _pass_seconds(clock: Clock, network: nn.Module, x: Tensor, marked: bool, lead: Lead) -> float:
    if marked:
        noted, _ = Recorder(network, clock, lead).record(lambda: network(x))
        return sum(clock.seconds(noted.marks))
    with lead:
        marks: list[Any] = [clock.mark()]
        network(x)
        marks.append(clock.mark())
    return sum(clock.seconds(marks))


def _difference(seconds: Callable[[bool], float]) -> float:
    """What a chain takes with marks beyond what it takes without, never below 0; the two take turns."""
    pairs = [(seconds(True), seconds(False)) for _ in range(REPEATS)]
    return max(0.0, min(marked for marked, _ in pairs) - min(bare for _, bare in pairs))


def _fastest(seconds: Callable[[], float]) -> float:
    return min(seconds() for _ in range(REPEATS))
