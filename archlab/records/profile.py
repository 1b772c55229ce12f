"""Where the time of a network goes, layer by layer, on one machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from archlab.records.display import Displayed, Shown
from archlab.records.trace import Shape, Trace

Mode = Literal["evaluation", "training", "mixed"]


@dataclass(frozen=True, slots=True)
class Timing(Shown):
    """Seconds that something took, over the repeats."""

    median: float
    low: float
    """The first quartile."""
    high: float
    """The third quartile."""

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """The quartiles of some measurements, interpolated between the two nearest.

        >>> Timing.of([4.0, 1.0, 2.0, 3.0, 5.0])
        Timing(median=3.0, low=2.0, high=4.0)
        """
        if len(seconds) == 1:
            return cls(seconds[0], seconds[0], seconds[0])
        low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
        return cls(median, low, high)


@dataclass(frozen=True, slots=True)
class Rate(Shown):
    """What a machine reached per second, over some repeats."""

    best: float
    median: float
    repeats: int


@dataclass(frozen=True, slots=True)
class Machine(Shown):
    """What the network ran on, and what that reaches at most."""

    device: str
    """`cpu`, `cuda:0`."""
    name: str
    """The processor's or the accelerator's name."""
    threads: int
    """Threads that torch works with on the processor."""
    dtype: str
    """Element type of the peak, as torch names it; with `(TF32)` where convolutions or products may round to that."""
    torch: str
    """Version."""
    flops: Rate
    """FLOPs per second of a large matrix product."""
    bandwidth: Rate
    """Bytes per second of a large copy: those read and those written."""


@dataclass(frozen=True, slots=True)
class LayerTime(Shown):
    """What one row of the trace took. A row's time covers everything inside it."""

    path: str
    kind: str
    depth: int
    call: int
    forward: Timing | None
    """None for a row without a time of its own: never called, or inside a row that runs as one."""
    backward: Timing | None = None
    """Of the nodes that autograd made while the row ran; None without `backward` too."""
    rest: Timing | None = None
    """The part of `forward` that lies in none of the rows inside: operations without a row, Python. None if no row
    inside has a time."""
    backward_rest: Timing | None = None
    flops: int = 0
    """2 x MACs of the forward pass."""
    bytes: int | None = None
    """Inputs, outputs and parameters, each once: what has to move at least. 0 for a view; None without a time."""


@dataclass(frozen=True, slots=True)
class Profile(Displayed):
    """The measured time of each layer, beside what the machine reaches."""

    SCHEMA: ClassVar[str] = "archlab.profile/1"

    network: str
    inputs: tuple[Shape, ...]
    machine: Machine
    mode: Mode
    """Of the network's modules while it was measured."""
    repeats: int
    """Passes that each median is over."""
    warm_up: int
    """Passes before these."""
    forward: Timing
    """The whole forward pass as it is, with nothing attached to it."""
    layers: tuple[LayerTime, ...]
    """One for each of the trace's layers, in their order."""
    rest: Timing
    """The part of the forward pass that lies in no row at depth 1."""
    trace: Trace
    """What the rows are; its layers hold the median of the forward pass as `seconds`."""
    backward: Timing | None = None
    """The whole backward pass as it is; None where it wasn't asked for."""
    backward_rest: Timing | None = None
    measuring: float = 0.0
    """Seconds that measuring itself took in a forward pass, and that are taken off the rows."""
    backward_measuring: float = 0.0
    summed: Timing | None = None
    """What the rows and the rest sum to in each pass with marks: the sum of medians leaves out what makes some row slow
    in some pass."""
    backward_summed: Timing | None = None
    queued: bool = False
    """Whether times of rows are a device's own, which works through a queue; the whole pass then has the time in
    addition in which the device waits to be asked."""
    notes: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)
    """What the network was built with, where it was built by name."""

    def conflict(self) -> str:
        """Times that are of other layers than the trace has."""
        if len(self.layers) != len(self.trace.layers):
            return f"it has times of {len(self.layers)} layers, and its trace has {len(self.trace.layers)}"
        return self.trace.conflict()

    @property
    def outermost(self) -> tuple[LayerTime, ...]:
        """The rows that, with the rest, sum to the whole pass."""
        least = min((layer.depth for layer in self.layers), default=1)
        return tuple(layer for layer in self.layers if layer.depth == least and layer.forward is not None)

    @property
    def forward_sum(self) -> float:
        """Medians of the outermost rows and of the rest."""
        return self.rest.median + sum(layer.forward.median for layer in self.outermost if layer.forward is not None)

    @property
    def backward_sum(self) -> float | None:
        """The same of the backward pass; None where it wasn't measured."""
        if self.backward_rest is None:
            return None
        times = (layer.backward for layer in self.outermost)
        return self.backward_rest.median + sum(time.median for time in times if time is not None)
