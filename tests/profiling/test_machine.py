from __future__ import annotations

import pytest
import torch

from archlab.profiling import machine
from archlab.profiling.cost import CALLS, mark_costs
from tests.profiling.timed import CLOCK


def test_rates_are_amounts_over_the_fastest_and_the_median_time() -> None:
    times = iter([9.0, *range(10, 10 + machine.REPEATS)])  # the first is to warm up

    def work() -> None:
        CLOCK.now += next(times)

    found = machine._rate(190, CLOCK, work)
    assert (found.best, found.repeats) == (19.0, 10)  # 190 / 10
    assert found.median == 190 / 14.5  # between 14 and 15


def test_the_peaks_are_measured_once_for_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SMALLEST", 16)
    monkeypatch.setattr(machine, "LARGEST", 32)
    monkeypatch.setattr(machine, "COPIED_BYTES", 4096)
    device = torch.device("cpu")
    machine._peaks.cache_clear()
    first, again = (machine.machine_of(device, torch.float32) for _ in range(2))
    other = machine.machine_of(device, torch.float64)
    machine._peaks.cache_clear()
    assert first == again
    assert first.flops.best >= first.flops.median > 0
    assert first.bandwidth.best >= first.bandwidth.median > 0
    assert (first.device, first.dtype, first.threads, other.dtype) == (
        "cpu",
        "float32",
        torch.get_num_threads(),
        "float64",
    )
    assert other.flops is not first.flops


def test_what_is_free_is_known_here() -> None:
    free = machine.free_bytes(torch.device("cpu"))
    assert free is None or free > 0


@pytest.mark.parametrize("cost", [0.0, 0.25])
def test_costs_of_marks(cost: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, "cost", cost)
    found = mark_costs(CLOCK, torch.device("cpu"))
    assert (found.end, found.module, found.operation, found.node) == pytest.approx((cost,) * 4)
    assert CALLS >= 100
