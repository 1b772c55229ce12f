"""Runs a network again and again, in turns with and without marks, and sums what the rows took."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from archlab.errors import ForwardError, InputError
from archlab.networks.members import parameters
from archlab.profiling.attribution import parents_of, rows_of, summed
from archlab.profiling.backward import watch
from archlab.profiling.clock import Clock, Lead, clock_of
from archlab.profiling.cost import MarkCosts, mark_costs
from archlab.profiling.recorder import Pass, Recorder
from archlab.profiling.subject import Subject
from archlab.tracing.forward.location import first_line
from archlab.tracing.inputs import Arguments
from archlab.tracing.isolation.collection import without_collection
from archlab.tracing.pytree import tensors

FEWEST_REPEATS, MOST_REPEATS = 5, 50
SECONDS = 4.0
"""What all repeats together take about, where their number isn't given and more than the fewest fit."""
WARM_UP_PASSES = 2
WARM_UP_SECONDS = 0.3
"""At least; until then a processor raises its clock, and libraries choose their kernels."""

Progress = Callable[[int, int], object]
"""Is told how many of how many passes are done."""


@dataclass(slots=True)
class Direction:
    """What the passes in one direction took: a number for each, or one per row."""

    bare: list[float] = field(default_factory=list)
    """The whole pass with nothing attached."""
    rows: list[list[float]] = field(default_factory=list)
    own: list[list[float]] = field(default_factory=list)
    """Both as `summed` gives them."""
    measuring: list[float] = field(default_factory=list)
    """What was taken off for the marks."""


@dataclass(slots=True)
class Times:
    """What all passes took."""

    forward: Direction
    backward: Direction | None
    noted: Pass
    """One pass with shapes and bytes."""
    rows: list[int]
    """The row of each of its spans."""
    warm_up: int
    """Passes before the first that counts."""
    queued: bool
    """Whether the rows' times are a device's own."""


def measured(subject: Subject, repeats: int | None, clock: Clock | None, progress: Progress | None) -> Times:
    """What the passes of a network took.

    Raises:
        InputError: there are too few repeats, or nothing has a gradient.
        ForwardError: the network fails on the device, or doesn't call the same each time.
    """
    if repeats is not None and repeats < FEWEST_REPEATS:
        raise InputError(f"repeats is {repeats}: a median with its quartiles needs {FEWEST_REPEATS} or more")
    with subject.ready() as arguments, without_collection():
        gc.collect()  # now, and not within some row
        return _Passes(subject, arguments, clock or clock_of(subject.device)).times(repeats, progress)


class _Passes:
    def __init__(self, subject: Subject, arguments: Arguments, clock: Clock) -> None:
        self.subject = subject
        self.arguments = arguments
        self.clock = clock
        self.recorder = Recorder(subject.network, clock)
        self.lead_back = Lead(clock)
        self.parents = parents_of(subject.trace.layers)
        self.forward = Direction()
        self.backward = Direction() if subject.backward else None

    def times(self, repeats: int | None, progress: Progress | None) -> Times:
        """Warms up, then measures."""
        noted, out = self._noted(describe=True)
        self._finish(out)
        del out
        rows = rows_of(noted, self.subject.trace.layers)
        warm_up, seconds = 1, 0.0
        while warm_up < WARM_UP_PASSES or (seconds < WARM_UP_SECONDS and warm_up < MOST_REPEATS):
            last = sum(self._bare())
            seconds += last
            warm_up += 1
        costs = mark_costs(self.clock, self.subject.device)
        count = repeats or max(FEWEST_REPEATS, min(MOST_REPEATS, int(SECONDS / 2 / max(last, 1e-9))))
        for done in range(count):
            bare = self._bare()
            self._marked(noted, rows, bare, costs)
            if progress is not None:
                progress(done + 1, count)
        return Times(self.forward, self.backward, noted, rows, warm_up, self.clock.is_queued)

    def _bare(self) -> list[float]:
        """What the pass takes with nothing attached, forward and, if wanted, backward."""
        self.clock.wait()
        marks = [self.clock.mark()]
        out = self._call()
        marks.append(self.clock.mark())
        seconds = self.clock.seconds(marks)
        if self.backward is not None:
            outputs, gradients = self._outputs(out)
            self.clock.wait()
            marks = [self.clock.mark()]
            self._differentiate(outputs, gradients)
            marks.append(self.clock.mark())
            seconds += self.clock.seconds(marks)
        self._clear()
        return seconds

    def _marked(self, described: Pass, rows: list[int], bare: list[float], costs: MarkCosts) -> None:
        """Adds a pass with marks, and the one without that ran before it."""
        noted, out = self._noted()
        if noted.spans != described.spans:
            raise ForwardError(
                f"{self.subject.trace.network} doesn't call the same layers in each pass (first difference: "
                f"{_difference(described, noted)}), so that there is no median of their times: fix what it draws or "
                "decides by its values"
            )
        seconds = self.clock.seconds(noted.marks)
        self._add(self.forward, bare[0] - costs.end, seconds, noted.owners[:-1], rows, costs, noted.kinds)
        if self.backward is not None:
            outputs, gradients = self._outputs(out)
            nodes = watch(outputs, noted.owners, noted.numbers, self.clock)
            with self.lead_back:
                marks = [self.clock.mark()]
                self._differentiate(outputs, gradients)
                marks += [*nodes.marks, self.clock.mark()]
            kinds = ["end", *["node"] * len(nodes.marks), "end"]
            seconds = self.clock.seconds(marks)
            self._add(self.backward, bare[1] - costs.end, seconds, [0, *nodes.owners], rows, costs, kinds)
        self._clear()

    def _add(
        self,
        direction: Direction,
        bare: float,
        seconds: list[float],
        owners: list[int],
        rows: list[int],
        costs: MarkCosts,
        kinds: Any,
    ) -> None:
        """Files a pass: segments without what measuring them took, summed over rows."""
        taken = costs.of(kinds)
        clean = [max(0.0, whole - cost) for whole, cost in zip(seconds, taken, strict=True)]
        whole, own = summed(clean, owners, rows, self.parents)
        direction.bare.append(bare)
        direction.rows.append(whole)
        direction.own.append(own)
        direction.measuring.append(sum(seconds) - sum(clean))

    def _noted(self, *, describe: bool = False) -> tuple[Pass, Any]:
        return self.recorder.record(self._call, describe=describe)

    def _finish(self, out: Any) -> None:
        """The backward pass of the first pass, of which nothing is noted."""
        if self.backward is not None:
            self._differentiate(*self._outputs(out))
            self._clear()

    def _call(self) -> Any:
        args, kwargs = self.arguments
        try:
            return self.subject.network(*args, **kwargs)
        except Exception as error:
            raise self._failure("be run", error) from error

    def _differentiate(self, outputs: list[Tensor], gradients: list[Tensor]) -> None:
        try:
            torch.autograd.backward(outputs, gradients)
        except Exception as error:
            raise self._failure("be differentiated", error) from error

    def _failure(self, what: str, error: Exception) -> ForwardError:
        remedy = ": take a larger batch" if "more than 1 value per channel" in str(error) else ""
        return ForwardError(
            f"{self.subject.trace.network} can be traced, but can't {what} in {self.subject.mode} mode on "
            f"{self.subject.device}: {type(error).__name__}: {first_line(error)}{remedy}"
        )

    def _outputs(self, out: Any) -> tuple[list[Tensor], list[Tensor]]:
        """The outputs that have a gradient, and what it is: ones.

        Raises:
            InputError: there is none.
        """
        outputs = [tensor for tensor in tensors(out) if tensor.requires_grad]
        if not outputs:
            raise InputError(
                f"no output of {self.subject.trace.network} has a gradient, so that there is no backward pass: "
                "expected parameters with requires_grad, or leave the backward pass out"
            )
        return outputs, [torch.ones_like(output) for output in outputs]

    def _clear(self) -> None:
        """No gradients: the next pass makes new ones, as after `zero_grad()`."""
        for parameter in parameters(self.subject.network):
            parameter.grad = None


def _difference(first: Pass, second: Pass) -> str:
    pairs = zip(first.spans, second.spans, strict=False)
    mine, theirs = next(
        ((mine.name, theirs.name) for mine, theirs in pairs if mine != theirs),
        (f"{len(first.spans)} calls", f"{len(second.spans)} calls"),
    )
    return f"{mine or 'the network'}, then {theirs or 'the network'}"
