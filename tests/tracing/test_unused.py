"""Rows of modules that never run, and of parameters that nothing takes."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from archlab.records import Trace
from archlab.tracing import trace
from archlab.tracing.forward import rows


class Picked(nn.Module):
    """Layers of which some run, in the order that is given."""

    def __init__(self, count: int, run: list[int], idle: int = 0) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(count))
        for number in range(idle):
            self.register_parameter(f"idle_{number}", nn.Parameter(torch.zeros(3)))
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        for number in self.run:
            x = self.layers[number](x)
        return x


def order(found: Trace) -> list[str]:
    return [layer.path.removeprefix("layers.") + ("" if layer.call else " unused") for layer in found.layers]


def test_unused_layers_stand_behind_those_registered_before_them() -> None:
    assert order(trace(Picked(6, [3, 1, 4]), [(1, 2)])) == [
        *("0 unused", "3", "1", "2 unused", "4", "5 unused"),
    ]
    assert order(trace(Picked(4, [2, 0, 2]), [(1, 2)])) == ["2", "0", "1 unused", "2", "3 unused"]
    assert order(trace(Picked(2, [1], idle=2), [(1, 2)])) == ["idle_0", "idle_1", "0 unused", "1"]


def test_a_sum_over_idle_and_unused_is_the_networks() -> None:
    found = trace(Picked(5, [2], idle=4), [(1, 2)])
    assert found.totals.parameters == 5 * 6 + 4 * 3  # 2 * 2 + 2 each, and four of 3
    assert sum(layer.parameters for layer in found.rows(1)) == found.totals.parameters


def lines_executed(network: nn.Module) -> int:
    """How many lines of `rows.py` a trace takes."""
    count = 0

    def local(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return local

    def entered(frame: FrameType, event: str, argument: Any) -> Any:
        return local if frame.f_code.co_filename == rows.__file__ else None

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        trace(network, [(1, 2)])
    finally:
        sys.settrace(before)
    return count


def test_unused_layers_and_idle_parameters_take_linear_work() -> None:
    half, whole = (lines_executed(Picked(count, [0, count - 1], idle=count)) for count in (500, 1000))
    assert 500 < half < whole < 2.2 * half, "twice the rows, twice the lines that run"
