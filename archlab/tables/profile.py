"""A profile as a table: one row per layer with its time, and what lies between the layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from archlab.analysis.roofline import LEAST_SHARE, bound_seconds, places, ridge
from archlab.tables.columns import kind_text, network_text, percent_column, seconds_column, shapes_text
from archlab.tables.table import Cell, Column, Row, Table, duration, prefixed

if TYPE_CHECKING:
    from archlab.records import LayerTime, Profile, Timing

REST_SHARE = 0.01
"""Of the pass: what a layer does itself between its rows is a row of its own from here on."""
AGREEMENT = 0.05
"""How far the sum of rows may be from the whole pass before that is said."""
SLOWEST = 5


def profile_table(profile: Profile, depth: int | None = 1) -> Table:
    """The layers down to a depth with their times, the rest, and what the machine reaches.

    The rows at depth 1 and the rest sum to the total.
    """
    backward = profile.backward is not None
    columns = [
        Column("path", "path", shrinks=True),
        Column("kind", "kind", shrinks=True),
        seconds_column("forward", "forward"),
        seconds_column("forward_low", "25 %"),
        seconds_column("forward_high", "75 %"),
        percent_column("share", "share"),
        *([seconds_column("backward", "backward"), percent_column("backward_share", "share")] if backward else []),
        Column("flops_per_second", "FLOP/s", "right", form="rate", blank_zero=True),
        percent_column("share_of_peak", "% peak"),
        Column("intensity", "FLOP/B", "right", form=",.1f", blank_zero=True),
        percent_column("share_of_roof", "% roof"),
        Column("bound", "bound by"),
    ]
    return Table(
        columns=tuple(columns),
        rows=tuple(_rows(profile, depth)),
        title=f"{network_text(profile)} on {shapes_text(profile.inputs)}, {profile.mode} mode, {_machine(profile)}",
        total=("sum", None, *_times(profile, None, profile.forward_sum, profile.backward_sum), *[None] * 5),
        footer=tuple(sentences(profile)),
    )


def _machine(profile: Profile) -> str:
    machine = profile.machine
    threads = f", {machine.threads} thread{'s' * (machine.threads != 1)}" if machine.device == "cpu" else ""
    return f"{machine.device} ({machine.name}{threads})"


def _rows(profile: Profile, depth: int | None) -> Iterator[Row]:
    found = places(profile)
    open_rests: list[tuple[int, Row]] = []
    for row, (layer, traced) in enumerate(zip(profile.layers, profile.trace.layers, strict=True)):
        if depth is not None and layer.depth > depth:
            continue
        while open_rests and open_rests[-1][0] >= layer.depth:
            yield open_rests.pop()[1]
        place = found.get(row)
        rates: tuple[Cell, ...] = (None,) * 5
        if place is not None:
            rates = (
                place.flops_per_second,
                place.share_of_peak,
                place.intensity,
                place.share_of_roof,
                place.bound if place.bound != "neither" else "-",
            )
        elif layer.forward is not None and layer.flops and layer.forward.median > 0:
            rate = layer.flops / layer.forward.median
            rates = (rate, rate / profile.machine.flops.best, None, None, None)
        times = _layer_times(profile, layer.forward, layer.backward)
        yield Row(
            (layer.path, kind_text(traced), *times, *rates),
            depth=layer.depth - 1,
            emphasis="" if layer.forward is not None else "dim",
        )
        if _shows_rest(profile, layer) and (depth is None or layer.depth < depth):
            open_rests.append(
                (layer.depth, _rest_row(profile, layer.path, layer.rest, layer.backward_rest, layer.depth))
            )
    while open_rests:
        yield open_rests.pop()[1]
    if profile.outermost:
        yield _rest_row(profile, "", profile.rest, profile.backward_rest, 0)


def _shows_rest(profile: Profile, layer: LayerTime) -> bool:
    return layer.rest is not None and layer.rest.median >= REST_SHARE * profile.forward.median


def _rest_row(profile: Profile, path: str, forward: Timing | None, backward: Timing | None, depth: int) -> Row:
    """What a layer, or the network itself, takes outside the rows in it."""
    name = f"rest of {path}" if path else "rest"
    times = _layer_times(profile, forward, backward)
    return Row((name, "between the rows", *times, *[None] * 5), depth=depth, emphasis="dim")


def _layer_times(profile: Profile, forward: Timing | None, backward: Timing | None) -> tuple[Cell, ...]:
    return _times(profile, forward, forward.median if forward else None, backward.median if backward else None)


def _times(profile: Profile, spread: Timing | None, forward: float | None, backward: float | None) -> tuple[Cell, ...]:
    cells: list[Cell] = [forward, spread.low if spread else None, spread.high if spread else None]
    cells.append(None if forward is None else forward / profile.forward_sum if profile.forward_sum else None)
    if profile.backward is not None:
        whole = profile.backward_sum
        cells += [backward, None if backward is None or not whole else backward / whole]
    return tuple(cells)


def sentences(profile: Profile) -> Iterator[str]:
    """What was measured and how, how far the sum is from the whole pass, and what bounds the layers."""
    machine, n = profile.machine, profile.repeats
    yield (
        f"Medians over n = {n} passes after {profile.warm_up} to warm up; 25 % and 75 % are quartiles. torch "
        f"{machine.torch}."
    )
    yield _whole(profile, profile.forward, profile.forward_sum, profile.summed, "forward", profile.measuring)
    if profile.backward is not None and profile.backward_sum is not None:
        summed, measuring = profile.backward_summed, profile.backward_measuring
        yield _whole(profile, profile.backward, profile.backward_sum, summed, "backward", measuring)
        yield "The backward pass starts from gradients of ones at the outputs: no loss, no optimiser."
    yield (
        f"Peak of this machine: {prefixed(machine.flops.best)}FLOP/s in {machine.dtype} (a matrix product, the "
        f"fastest of {machine.flops.repeats}; median {prefixed(machine.flops.median)}FLOP/s), "
        f"{prefixed(machine.bandwidth.best)}B/s (a copy, read and written; median "
        f"{prefixed(machine.bandwidth.median)}B/s). Ridge: {ridge(machine):.1f} FLOP/byte."
    )
    yield (
        "FLOP/s: 2 x MACs of the forward pass over its time. FLOP/B: those over inputs, outputs and parameters, each "
        "moved once. % roof: the least time that peak and bandwidth allow over the time measured."
    )
    yield _bounds(profile)
    slowest = sorted(places(profile).values(), key=lambda item: -item.layer.forward.median)[:SLOWEST]  # type: ignore[union-attr]
    if slowest:
        listed = (f"{item.layer.path or 'the network'} {duration(item.layer.forward.median)}" for item in slowest)  # type: ignore[union-attr]
        yield f"Slowest: {', '.join(listed)}."
    beyond = [item.layer.path for item in places(profile).values() if item.share_of_roof > 1]
    if beyond:
        yield (
            f"Above their roof: {', '.join(beyond[:3])}{f' and {len(beyond) - 3} more' if len(beyond) > 3 else ''}. "
            "Their data came from a cache, their algorithm multiplies less than the MACs say, or the peak was measured "
            "while others used the machine."
        )
    if profile.trace.totals.uncounted_operations:
        missing = ", ".join(profile.trace.totals.uncounted_operations)
        yield f"FLOPs are lower bounds: no formula for {missing}."
    yield from profile.notes


def _whole(profile: Profile, whole: Timing, total: float, summed: Timing | None, name: str, measuring: float) -> str:
    share = f" ({total / whole.median:.1%})" if whole.median > 0 else ""
    unsteady = ""
    if profile.queued and total < (1 - AGREEMENT) * whole.median:
        unsteady = (
            f" In the other {duration(whole.median - total)} the device waits for the processor to ask for work: a "
            "larger batch, torch.compile or CUDA graphs shorten that."
        )
    elif abs(total - whole.median) > AGREEMENT * whole.median:
        unsteady = (
            f" That is more than {AGREEMENT:.0%} apart: times vary from pass to pass, as they do where something else "
            "uses the machine. Repeat it on an idle one, or with more --repeats."
        )
    single = f", in single passes to {duration(summed.median)} (median)" if summed else ""
    return (
        f"Whole {name} pass with nothing attached, in turns with these: {duration(whole.median)} (quartiles "
        f"{duration(whole.low)} to {duration(whole.high)}); the rows and the rest sum to {duration(total)}{share}"
        f"{single}. Taken off for measuring: {duration(measuring)}.{unsteady}"
    )


def _bounds(profile: Profile) -> str:
    seconds = bound_seconds(profile)
    whole = profile.forward_sum
    if not sum(seconds.values()) or not whole:
        return "No layer moves or computes anything."
    return (
        f"Of the forward pass, {seconds['arithmetic'] / whole:.1%} are spent in layers bound by arithmetic, "
        f"{seconds['memory'] / whole:.1%} in layers bound by memory (left of the ridge), "
        f"{seconds['cache'] / whole:.1%} in layers left of the ridge that were faster than memory is, so that their "
        f"data lay in a cache, and {seconds['neither'] / whole:.1%} in layers that reach less than {LEAST_SHARE:.0%} "
        "of their roof, which neither explains (-)."
    )
