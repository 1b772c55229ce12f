"""Hooks that replace results, and networks as deep as torch itself can run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archlab.records import Shape
from archlab.tracing import trace

Hook = Callable[[nn.Module, Any, Any], Any]


def hooked(module: nn.Module, hook: Hook) -> nn.Module:
    module.register_forward_hook(hook)
    return module


HOOKS: list[tuple[Hook, tuple[Shape, ...]]] = [
    (lambda module, given, out: out[:, :2], ((1, 2),)),
    (lambda module, given, out: (out, out.sum(1)), ((1, 4), (1,))),
    (lambda module, given, out: torch.zeros(1, 3), ((1, 3),)),
    (lambda module, given, out: None, ((1, 4),)),
]


@pytest.mark.parametrize(("hook", "shapes"), HOOKS)
@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_a_row_has_the_shapes_that_a_hook_gives_back(hook: Hook, shapes: Any, columns: tuple[str, ...]) -> None:
    for module in (nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4))):
        network = nn.Sequential(hooked(module, hook))
        found = trace(network, [(1, 4)], columns=columns)
        assert (found.layers[0].path, found.layers[0].output_shapes) == ("0", shapes)
        assert found.totals.macs == 16
        assert list(module._forward_hooks.values()) == [hook]


def test_what_follows_takes_what_the_hook_made() -> None:
    network = nn.Sequential(hooked(nn.Linear(4, 4), lambda module, given, out: out[:, :2]), nn.Linear(2, 3))
    found = trace(network, [(1, 4)])
    assert [(row.path, row.inputs) for row in found.layers] == [("0", (-1,)), ("getitem", (0,)), ("1", (1,))]


def test_hooks_of_all_modules_and_recursive_calls() -> None:
    class Tree(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leaf = nn.Linear(4, 4)

        def forward(self, x: Tensor, depth: int) -> Any:
            return self.leaf(x) if depth == 0 else self(x, depth - 1)

    def narrowed(module: nn.Module, given: Any, out: Tensor) -> Tensor | None:
        return out[:, :-1] if isinstance(module, Tree) else None

    handle = nn.modules.module.register_module_forward_hook(narrowed)  # type: ignore[arg-type]  # the result may be replaced
    try:
        found = trace(nn.ModuleDict({"tree": Tree()})["tree"], {"x": torch.zeros(1, 4), "depth": 2})
    finally:
        handle.remove()
    shapes = [row.output_shapes[0][1] for row in found.layers if row.kind == "Tree"]
    assert shapes == [2, 3], "each call of its own: 4 - 1 inside, once more around it"


@pytest.mark.parametrize("columns", [(), ("saved",), ("receptive-field",)])
def test_what_torch_can_run_is_not_too_deep(columns: tuple[str, ...]) -> None:
    network: nn.Module = nn.Linear(2, 2)
    for _ in range(230):
        network = nn.Sequential(network)
    limit = sys.getrecursionlimit()
    found = trace(network, [(1, 2)], columns=columns)
    assert (len(found.layers), found.layers[-1].depth, found.totals.macs) == (230, 230, 4)
    assert sys.getrecursionlimit() == limit
