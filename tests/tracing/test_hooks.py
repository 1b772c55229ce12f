"""Hooks that replace results, and networks as deep as torch itself can run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

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


def times_ones(*places: str) -> Callable[[nn.Module], nn.Module]:
    """Adds a product with a square of ones in front of a module, behind it, or both."""

    def change(module: nn.Module) -> nn.Module:
        if "front" in places:
            module.register_forward_pre_hook(lambda _, given: (given[0] @ torch.ones(8, 8),))
        if "behind" in places:
            module.register_forward_hook(lambda _, given, out: out @ torch.ones(8, 8))
        return module

    return change


class Calling(nn.Linear):
    """A layer that works before and after its `forward`."""

    def __call__(self, x: Tensor) -> Any:
        return super().__call__(x @ torch.ones(8, 8)) @ self.weight


# a linear layer takes 2 x 8 x 8 = 128, and so does each product with ones; spectral norm two of a vector and 8 x 8
# in training (128), and then u (W v) = 64 + 8; orthogonal maps a product of 8 x 8 x 8 = 512
AROUND: list[tuple[str, Callable[[], nn.Module], int]] = [
    ("old spectral norm", lambda: torch.nn.utils.spectral_norm(nn.Linear(8, 8)), 128 + 128 + 72),
    ("old spectral norm, eval", lambda: torch.nn.utils.spectral_norm(nn.Linear(8, 8)).eval(), 128 + 72),
    ("new spectral norm", lambda: parametrizations.spectral_norm(nn.Linear(8, 8)), 128 + 128 + 72),
    ("new weight norm", lambda: parametrizations.weight_norm(nn.Linear(8, 8)), 128),
    ("orthogonal", lambda: parametrizations.orthogonal(nn.Linear(8, 8), orthogonal_map="cayley"), 128 + 512),
    ("front", lambda: times_ones("front")(nn.Linear(8, 8)), 256),
    ("behind", lambda: times_ones("behind")(nn.Linear(8, 8)), 256),
    ("both", lambda: times_ones("front", "behind")(nn.Sequential(nn.Linear(8, 8), nn.ReLU())), 384),
    ("lazy", lambda: times_ones("front")(nn.LazyLinear(8)), 256),
    ("a call of its own", lambda: Calling(8, 8), 384),
]


@pytest.mark.parametrize(("make", "macs"), [case[1:] for case in AROUND], ids=[case[0] for case in AROUND])
@pytest.mark.parametrize("columns", [(), ("saved",), ("backward",), ("receptive-field",)])
def test_what_runs_around_the_outermost_forward_counts(
    make: Callable[[], nn.Module], macs: int, columns: tuple[str, ...]
) -> None:
    alone, inside = (trace(network, [(2, 8)], columns=columns) for network in (make(), nn.Sequential(make())))
    assert alone.totals.macs == sum(row.macs for row in alone.rows(1)) == macs
    assert alone.totals == inside.totals


def test_rows_around_the_outermost_forward_are_in_their_order() -> None:
    found = trace(times_ones("front", "behind")(nn.Linear(8, 8)), [(2, 8)])
    assert [(row.path, row.kind, row.inputs) for row in found.layers] == [
        ("matmul", "matmul", (-1,)),
        ("", "Linear", (0,)),
        ("matmul_1", "matmul", (1,)),
    ]
    assert (found.layers[1].parameters, found.layers[1].own_parameters) == (72, 72)
