"""What bounds a layer's time on a machine: arithmetic or memory.

Williams, Waterman and Patterson, Roofline: An Insightful Visual Performance Model for Multicore Architectures,
Communications of the ACM 52(4), 2009.

A layer of F FLOPs that has to move B bytes takes at least the longer of F / peak and B / bandwidth. Its intensity F / B
says which: below the ridge, peak / bandwidth, the bytes take longer. On a machine of 100 GFLOP/s and 10 GB/s the ridge
is at 10 FLOP/byte; a linear layer from 512 to 1000 features at batch 1 has 2 x 512,000 FLOPs and moves about 2.06 MB,
0.5 FLOP/byte, and is bound by memory: 0.2 ms, where its arithmetic alone would take 0.01 ms.

Counting semantics: FLOPs are those of products, so that normalisation, activation and pooling have an intensity of 0.
The bytes are the compulsory traffic. Only innermost rows are judged, since what moves between layers depends on whether
a cache holds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from archlab.records import LayerTime, Machine, Profile

Bound = Literal["memory", "arithmetic", "cache", "neither"]
"""`cache`: memory would take longer than arithmetic, but the layer was faster than memory is: a cache held its data."""

LEAST_SHARE = 0.1
"""Of its roof: below it neither memory nor arithmetic explains the time, but the call itself (Python, the launch of a
kernel, threads that wait), or an algorithm that does more than it has to."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a layer stands beneath the roof."""

    layer: LayerTime
    intensity: float
    """FLOPs per byte."""
    flops_per_second: float
    share_of_peak: float
    """Of the machine's FLOPs per second."""
    share_of_roof: float
    """The least time that the machine allows, over the time that was measured."""
    bound: Bound


def ridge(machine: Machine) -> float:
    """The intensity, in FLOPs per byte, from which on arithmetic is what takes longer."""
    return machine.flops.best / machine.bandwidth.best


def roof(machine: Machine, intensity: float) -> float:
    """The FLOPs per second that the machine allows at an intensity."""
    return min(machine.flops.best, intensity * machine.bandwidth.best)


def places(profile: Profile) -> dict[int, Place]:
    """Where each innermost row of a profile stands that computes or moves something; by row."""
    found = {}
    for row, layer in enumerate(profile.layers):
        if layer.forward is None or layer.rest is not None or not layer.bytes or layer.forward.median <= 0:
            continue
        found[row] = place(layer, layer.bytes, layer.forward.median, profile.machine)
    return found


def place(layer: LayerTime, moved: int, seconds: float, machine: Machine) -> Place:
    """Where a layer stands that moves so many bytes in so many seconds."""
    arithmetic, memory = layer.flops / machine.flops.best, moved / machine.bandwidth.best
    share = max(arithmetic, memory) / seconds
    bound: Bound = "arithmetic"
    if share < LEAST_SHARE:
        bound = "neither"
    elif memory > arithmetic:
        bound = "memory" if share <= 1 else "cache"
    rate = layer.flops / seconds
    return Place(layer, layer.flops / moved, rate, rate / machine.flops.best, share, bound)


def bound_seconds(profile: Profile) -> dict[Bound, float]:
    """The sum of the medians of the innermost rows, by what bounds them."""
    found: dict[Bound, float] = dict.fromkeys(get_args(Bound), 0.0)
    for item in places(profile).values():
        assert item.layer.forward is not None
        found[item.bound] += item.layer.forward.median
    return found


def bound_names() -> dict[Bound, str]:
    """What each bound is called where all stand side by side."""
    return {
        "arithmetic": "bound by arithmetic",
        "memory": "bound by memory",
        "cache": "left of the ridge, data in a cache",
        "neither": f"below {LEAST_SHARE:.0%} of its roof",
    }
