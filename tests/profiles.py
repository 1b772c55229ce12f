"""Profiles for the tests of whatever shows them, made by hand: no torch, no measurement."""

from __future__ import annotations

from archlab.records import Layer, LayerTime, Machine, Profile, Rate, Timing, Totals, Trace

MACHINE = Machine("cpu", "a processor", 2, "float32", "2.9.0", Rate(100.0, 90.0, 10), Rate(10.0, 9.0, 10))
"""100 FLOPs and 10 bytes per second: the ridge is at 10 FLOP/byte."""


def timing(seconds: float) -> Timing:
    """A median with quartiles a tenth to either side."""
    return Timing(seconds, 0.9 * seconds, 1.1 * seconds)


def profile(layer: tuple[int, int, float] | None = None, *, backward: bool = False, whole: float = 9.5) -> Profile:
    """A convolution of 4 s, a view of 0.5 s, a head of 4 s with a linear layer of 3 s in it, 1 s between them: 9.5 s.

    Args:
        layer: FLOPs, bytes and seconds of the only layer, instead of these.
        backward: twice the times backward.
        whole: seconds of the pass with nothing attached.
    """
    rows: tuple[tuple[str, str, int, float, float | None, int, int], ...] = (
        ("conv", "Conv2d", 1, 4.0, None, 200, 10),
        ("view", "view", 1, 0.5, None, 0, 0),
        ("head", "Sequential", 1, 4.0, 1.0, 60, 15),
        ("head.linear", "Linear", 2, 3.0, None, 60, 12),
    )
    if layer is not None:
        rows = (("only", "Conv2d", 1, layer[2], None, layer[0], layer[1]),)
    traced = tuple(
        Layer(path, kind, depth, ((1, 4),), ((1, 4),), macs=flops // 2, operation=kind == "view", seconds=seconds)
        for path, kind, depth, seconds, _, flops, _ in rows
    )
    macs = sum(item.macs for item in traced if item.depth == 1)
    return Profile(
        network="net",
        inputs=((1, 4),),
        machine=MACHINE,
        mode="training" if backward else "evaluation",
        repeats=7,
        warm_up=2,
        forward=timing(whole),
        layers=tuple(
            LayerTime(
                path,
                kind,
                depth,
                1,
                timing(seconds),
                timing(2 * seconds) if backward else None,
                timing(rest) if rest is not None else None,
                timing(2 * rest) if backward and rest is not None else None,
                flops,
                moved,
            )
            for path, kind, depth, seconds, rest, flops, moved in rows
        ),
        rest=timing(1.0),
        trace=Trace("net", ((1, 4),), traced, Totals(0, 0, 0, macs, 2 * macs)),
        backward=timing(19.0) if backward else None,
        backward_rest=timing(2.0) if backward else None,
        measuring=0.001,
        backward_measuring=0.001 if backward else 0.0,
    )
