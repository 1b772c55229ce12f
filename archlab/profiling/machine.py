"""What a machine reaches at most: arithmetic in a large matrix product, memory in a large copy."""

from __future__ import annotations

import functools
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from archlab.networks.devices import device_name, processor_name
from archlab.profiling.clock import Clock, clock_of
from archlab.records import Machine, Rate

REPEATS = 10
SMALLEST, LARGEST = 1024, 8192
"""Sides of the product: doubled until one takes `ENOUGH_SECONDS`."""
ENOUGH_SECONDS = 0.02
COPIED_BYTES = 2**28
"""Several times what a processor's or an accelerator's last cache holds."""


def machine_of(device: torch.device, dtype: torch.dtype) -> Machine:
    """The machine as it is now; what it reaches is measured once in a process for each setting."""
    threads = torch.get_num_threads()
    rounds = _rounds(device, dtype)
    flops, bandwidth = _peaks(device, dtype, threads, rounds)
    name = device_name(device).partition(" ")[2] or (processor_name() if device.type == "cpu" else device.type)
    return Machine(
        device=str(device),
        name=name,
        threads=threads,
        dtype=str(dtype).removeprefix("torch.") + (" (TF32)" if rounds else ""),
        torch=str(torch.__version__),
        flops=flops,
        bandwidth=bandwidth,
    )


@functools.cache
def _peaks(device: torch.device, dtype: torch.dtype, threads: int, rounds: bool) -> tuple[Rate, Rate]:
    clock = clock_of(device)
    with torch.inference_mode(), _rounding(rounds):
        return _product_rate(clock, device, dtype), _copy_rate(clock, device)


def _product_rate(clock: Clock, device: torch.device, dtype: torch.dtype) -> Rate:
    """FLOPs per second of the product of two square matrices."""
    side = SMALLEST
    while True:
        first, second = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        out = torch.empty_like(first)
        product = functools.partial(torch.mm, first, second, out=out)
        _seconds(clock, product)
        if side == LARGEST or _seconds(clock, product) > ENOUGH_SECONDS:
            return _rate(2 * side**3, clock, product)
        side *= 2


def _copy_rate(clock: Clock, device: torch.device) -> Rate:
    """Bytes per second, read and written, of a copy."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return _rate(2 * COPIED_BYTES, clock, lambda: target.copy_(source))


def _rate(amount: int, clock: Clock, work: Callable[[], object]) -> Rate:
    _seconds(clock, work)
    seconds = [_seconds(clock, work) for _ in range(REPEATS)]
    return Rate(amount / min(seconds), amount / statistics.median(seconds), REPEATS)


def _seconds(clock: Clock, work: Callable[[], object]) -> float:
    clock.wait()
    marks = [clock.mark()]
    work()
    marks.append(clock.mark())
    return sum(clock.seconds(marks))


def _rounds(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether convolutions or products in float32 may round their factors to TF32, which is several times as fast."""
    allowed = torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    return device.type == "cuda" and dtype is torch.float32 and allowed


@contextmanager
def _rounding(allowed: bool) -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    if allowed:
        torch.backends.cuda.matmul.allow_tf32 = True
    try:
        yield
    finally:
        if allowed:
            torch.backends.cuda.matmul.allow_tf32 = before


def free_bytes(device: torch.device) -> int | None:
    """Memory of the device that nothing uses; None where that can't be asked."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:  # counts what is a cache of files as free
            return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
