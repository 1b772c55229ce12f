"""How far the times of `archlab.profile` are from those of torch.profiler, layer by layer, on the same passes.

    python -m benchmarks.profile [--network A] [--batch N] [--passes N] [--threads N] [--device cpu|cuda] [--backward]

While archlab measures its passes, torch.profiler records them: the `forward` of every module is a range
(`record_function`), operations between modules are found among the events of the block that they lie in, and nodes of
the backward pass by the sequence number of the operation that made them. Prints both medians over the passes for each
innermost layer that takes at least `SHARE` of the pass, and the median of their ratios in each pass, then, from passes
without torch.profiler, how far archlab's rows and rest are from the whole pass. On a GPU torch.profiler's time of a
layer is that of its kernels; archlab's has the gaps between them too, so that large batches are compared there.

Leaves with 1 where a layer of that share is more than 10 % off. torch.profiler writes its events down within the times
that both measure, and its range opens a few microseconds after archlab's mark: layers that are `SHORT` are listed, and
not held to the 10 %. On a machine that others use too, medians of the whole pass differ by more than anything else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

os.environ.setdefault("KINETO_LOG_LEVEL", "5")  # before torch is imported: torch.profiler writes to stderr

import torch
from torch import nn
from torch.profiler import ProfilerActivity, record_function
from torch.profiler import profile as torch_profile

import archlab
from archlab.profiling.attribution import parents_of
from archlab.profiling.passes import measured
from archlab.profiling.subject import Subject
from archlab.records import Timing, Trace
from archlab.tables.table import duration

SHARE = 0.01
"""Of the pass: layers that take less are summed up in one line."""
SHORT = 100e-6
"""Seconds up to which torch.profiler's own cost may be more than a tenth."""
LIMIT = 0.10
PREFIX = "layer:"
NODE = "autograd::engine::evaluate_function: "


@contextmanager
def ranged(network: nn.Module) -> Iterator[None]:
    """A context in which each module's call is a range of the profiler: `layer:fc`, the second one `layer:fc#2`."""
    calls: dict[str, int] = defaultdict(int)
    wrapped = []

    def forward(path: str, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not path:
            calls.clear()
        calls[path] += 1
        with record_function(f"{PREFIX}{path}" + (f"#{calls[path]}" if calls[path] > 1 else "")):
            return original(*args, **kwargs)

    for path, module in network.named_modules():
        module.__dict__["forward"] = partial(forward, path, module.forward)
        wrapped.append(module)
    try:
        yield
    finally:
        for module in wrapped:
            del module.__dict__["forward"]


Sums = dict[str, float]


def passes_of(events: list[Any], is_gpu: bool) -> list[tuple[Sums, Sums]]:
    """Seconds of each range by torch.profiler, forward and backward, pass by pass; `PATH:rest` is in no inner range."""

    def seconds(event: Any) -> float:
        return float(event.device_time_total if is_gpu else event.time_range.elapsed_us()) / 1e6

    def walk(event: Any, home: str, forward: Sums, homes: dict[int, tuple[float, str]]) -> None:
        if event.name.startswith(PREFIX):
            home = event.name.removeprefix(PREFIX)
            forward[home] = seconds(event)
            forward[f"{home}:rest"] = sum(seconds(one) for one in event.cpu_children if not one.name.startswith(PREFIX))
        elif event.sequence_nr >= 0:
            homes[event.sequence_nr] = max(homes.get(event.sequence_nr, (0.0, "")), (event.time_range.start, home))
        for child in event.cpu_children:
            walk(child, home, forward, homes)

    found: list[tuple[Sums, Sums]] = []
    homes: dict[int, tuple[float, str]] = {}
    home = ""
    for event in sorted(events, key=lambda event: float(event.time_range.start)):
        if event.name == PREFIX:
            found.append(({}, defaultdict(float)))
            homes = {}
            walk(event, "", found[-1][0], homes)
        elif event.name.startswith(NODE) and found:
            home = homes.get(event.sequence_nr, (0.0, home))[1]  # what accumulates gradients runs behind what made them
            found[-1][1][home] += seconds(event)
    return found


def ours(trace: Trace, found: set[int], forward: list[float], backward: list[float] | None) -> tuple[Sums, Sums]:
    """Seconds of each innermost module in a pass by archlab, and of a block's operations, under the same names."""
    holders = {parent for row, parent in enumerate(parents_of(trace.layers)) if row in found}
    names: list[str] = []
    sums: tuple[Sums, Sums] = ({}, defaultdict(float))
    for row, (layer, parent) in enumerate(zip(trace.layers, parents_of(trace.layers), strict=True)):
        home = names[parent] if parent >= 0 else ""
        names.append(layer.path + (f"#{layer.call}" if layer.call > 1 else ""))
        if row not in found or row in holders:
            continue
        name = f"{home}:rest" if layer.operation else names[row]
        sums[0][name] = sums[0].get(name, 0.0) + forward[row]
        sums[1][home if layer.operation else name] += backward[row] if backward else 0.0
    return sums


def compare(title: str, mine: list[Sums], theirs: list[Sums]) -> bool:
    """Print the layers side by side; whether all that are long enough agree."""
    medians = []
    for rounds in (mine, theirs):
        names = {name for one in rounds for name in one}
        medians.append({name: statistics.median(one.get(name, 0.0) for one in rounds) for name in names})
    first, second = medians
    whole = sum(first.values())
    print(f"\n{title:44}{'archlab':>12}{'profiler':>12}{'ratio':>8}")
    good, held, off = True, 0.0, []
    small = [0.0, 0.0]
    for name, seconds in sorted(first.items(), key=lambda item: -item[1]):
        other = second.get(name, 0.0)
        if seconds < SHARE * whole or not other:
            small[0] += seconds
            small[1] += other
            continue
        ratio = statistics.median(
            one[name] / two[name] for one, two in zip(mine, theirs, strict=True) if two.get(name) and name in one
        )
        is_short = seconds < SHORT
        agrees = abs(ratio - 1) <= LIMIT
        held += seconds
        good &= agrees or is_short
        off += [] if agrees or is_short else [name]
        mark = "" if agrees else "  short" if is_short else "  off"
        print(f"{name:44}{duration(seconds):>12}{duration(other):>12}{ratio:8.3f}{mark}")
    print(f"{'all below 1 % of the pass':44}{duration(small[0]):>12}{duration(small[1]):>12}")
    total, others = sum(first.values()), sum(second.get(name, 0.0) for name in first)
    print(f"{'sum':44}{duration(total):>12}{duration(others):>12}{total / others:8.3f}")
    print(
        f"layers above 1 % hold {held / total:.1%} of the time; off by more than {LIMIT:.0%}: "
        f"{', '.join(off) or 'none'}"
    )
    return good


def main() -> int:
    """Measure both, print both."""
    parser = argparse.ArgumentParser(description="archlab.profile beside torch.profiler.")
    parser.add_argument("--network", default="torchvision:resnet18")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--passes", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backward", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    is_gpu = given.device != "cpu"
    subject = Subject(given.network, None, given.batch, {}, backward=given.backward, device=given.device)
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * is_gpu
    with ranged(subject.network), torch_profile(activities=activities) as profiler:
        times = measured(subject, given.passes, None, None)
    events = [event for event in profiler.events() if "CUDA" not in str(event.device_type)]
    theirs = passes_of(events, is_gpu)[-2 * given.passes + 1 :: 2]  # one with nothing attached comes before each
    rows, found = times.forward.rows, set(times.rows)
    back: Any = times.backward.rows if times.backward else [None] * given.passes
    mine = [ours(subject.trace, found, one, other) for one, other in zip(rows, back, strict=True)]
    plain = archlab.profile(given.network, batch=given.batch, backward=given.backward, device=given.device)
    machine = plain.machine
    shape = "x".join(map(str, plain.inputs[0]))
    print(f"{given.network}, {shape}, {plain.mode} mode, n = {given.passes} passes")
    print(f"{machine.device} ({machine.name}), {machine.threads} threads, torch {machine.torch}, {machine.dtype}")
    good = compare("forward", [one for one, _ in mine], [one for one, _ in theirs])
    if given.backward:
        good &= compare("backward", [one for _, one in mine], [one for _, one in theirs])
    print(f"\nwithout torch.profiler, n = {plain.repeats}:")
    print(whole("forward", plain.forward, plain.forward_sum))
    if plain.backward and plain.backward_sum:
        print(whole("backward", plain.backward, plain.backward_sum))
    return 0 if good else 1


def whole(name: str, timing: Timing, total: float) -> str:
    """A sentence about the whole pass and the rows."""
    spread = f"{duration(timing.low)} to {duration(timing.high)}"
    return (
        f"whole {name} pass {duration(timing.median)} ({spread}), rows and rest {duration(total)}: "
        f"{total / timing.median:.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
