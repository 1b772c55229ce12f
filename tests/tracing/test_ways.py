"""What one way of tracing counts, every other does: by shape functions, as dispatched, with columns, with values."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archlab.records import Trace
from archlab.tracing import trace
from archlab.tracing.measurement import prepare

FEATURES = 6


def in_every_way(network: nn.Module, shapes: Iterable[tuple[int, ...]]) -> Trace:
    """The trace without columns, once it is the same in every way."""
    shapes = list(shapes)
    found = trace(network, shapes)
    every = [
        prepare(network, shapes, None, {}).run("known"),
        prepare(network, shapes, None, {}).run("all"),
        trace(network, shapes, columns=["saved"]),
        trace(network, shapes, columns=["receptive-field"]),
        trace(network, shapes, columns=["saved", "receptive-field", "source"]),
    ]
    for other in every:
        assert costs(other) == costs(found)
        assert counted(other) == counted(found)
    return found


def counted(found: Trace) -> tuple[object, ...]:
    totals = found.totals
    return totals.macs, totals.elementwise, totals.parameters, totals.uncounted_operations, totals.counted_operations


def costs(found: Trace) -> list[tuple[object, ...]]:
    return [
        (layer.path, layer.kind, layer.output_shapes, layer.macs, layer.elementwise, layer.inputs)
        for layer in found.layers
    ]


def empty(x: Tensor, *sizes: int) -> Tensor:
    return torch.empty(*sizes, dtype=x.dtype, device=x.device)


class Uses(nn.Module):
    """(2, 6) -> (2, 6): a function of the input and a weight, in front of a linear layer of 2 * 6 * 6 = 72 MACs."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], trainable: bool = False) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(FEATURES, FEATURES), requires_grad=trainable)
        self.head = nn.Linear(FEATURES, FEATURES)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.function(x, self.w))
        return result


PRODUCTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mm": lambda x, w: torch.mm(x, w, out=empty(x, 2, 6)),
    "matmul": lambda x, w: torch.matmul(x, w, out=empty(x, 2, 6)),
    "bmm": lambda x, w: torch.bmm(x[None], w[None], out=empty(x, 1, 2, 6))[0],
    "addmm": lambda x, w: torch.addmm(x, x, w, out=empty(x, 2, 6)),
    "addmm_": lambda x, w: empty(x, 2, 6).addmm_(x, w),
    "addbmm_": lambda x, w: empty(x, 2, 6).addbmm_(x[None], w[None]),
    "addbmm": lambda x, w: torch.addbmm(x, x[None], w[None], out=empty(x, 2, 6)),
    "baddbmm_": lambda x, w: empty(x, 1, 2, 6).baddbmm_(x[None], w[None])[0],
    "baddbmm": lambda x, w: torch.baddbmm(x[None], x[None], w[None], out=empty(x, 1, 2, 6))[0],
    "linalg.matmul": lambda x, w: torch.linalg.matmul(x, w, out=empty(x, 2, 6)),
    "into a part": lambda x, w: torch.stack([torch.mv(w, row, out=empty(x, 3, 6)[1]) for row in x.unbind()]),
    "tensordot": lambda x, w: torch.tensordot(x, w, 1, out=empty(x, 2, 6)),
    "overloaded": lambda x, w: torch.ops.aten.mm.default(x, w),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_into_an_argument(name: str) -> None:
    """2 * 6 * 6 = 72 MACs, and the linear layer's 72; the product's result is what the layer takes."""
    found = in_every_way(Uses(PRODUCTS[name]), [(2, 6)])
    assert found.totals.macs == 72 + 72
    assert found.totals.uncounted_operations == {}
    assert found.layers[-1].inputs != ()
    assert sum(layer.parameters for layer in found.rows(1) if layer.macs and layer.operation) == 36


def test_a_product_that_adds_to_what_the_network_holds() -> None:
    found = in_every_way(Uses(lambda x, w: (x + 0).addmm_(x, w)), [(2, 6)])
    assert [layer.kind for layer in found.layers] == ["add", "addmm", "Linear"]
    assert [layer.inputs for layer in found.layers] == [(-1,), (0, -1), (1,)]
    assert found.totals.macs == 72 + 72


def scripted(text: str) -> Callable[..., Tensor]:
    """A function of TorchScript, as `torch.jit.script` makes one."""
    unit: Any = torch.jit.CompilationUnit(text + "\n")
    return unit.f  # type: ignore[no-any-return]


SCRIPTED = {
    # x @ w: 72 MACs, relu: 12 elements
    "def f(x, w):\n    return torch.relu(x @ w)": (72, 12),
    # twice: 144 MACs; sigmoid 12, sum 12
    "def f(x, w):\n    return torch.sigmoid(x @ w) + x @ w.t()": (144, 24),
    # nothing but pointwise: 2 * 12
    "def f(x, w):\n    return torch.tanh(x) * 2.0": (0, 24),
    "def f(x, w):\n    y = torch.zeros_like(x)\n    return y.copy_(torch.mm(x, w.t()))": (72, 0),
}


@pytest.mark.parametrize("text", SCRIPTED)
@pytest.mark.parametrize("trainable", [False, True])
def test_scripted_functions(text: str, trainable: bool) -> None:
    macs, elementwise = SCRIPTED[text]
    found = in_every_way(Uses(scripted(text), trainable), [(2, 6)])
    assert (found.totals.macs, found.totals.elementwise) == (macs + 72, elementwise)
    assert found.layers[-1].inputs == (len(found.layers) - 2,)


def test_a_network_that_is_nothing_but_a_scripted_function() -> None:
    class Only(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(6, 4))

        def forward(self, x: Tensor) -> Tensor:
            return only(x, self.w)

    only = scripted("def f(x, w):\n    return x @ w")
    found = in_every_way(Only(), [(2, 6)])
    assert [(layer.kind, layer.macs, layer.parameters) for layer in found.layers] == [("mm", 2 * 6 * 4, 24)]


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning")
def test_traced_functions() -> None:
    traced: Any = torch.jit.trace(lambda x, w: (x @ w).sigmoid(), (torch.ones(2, 6), torch.ones(6, 6)))  # type: ignore[no-untyped-call]
    found = in_every_way(Uses(traced), [(2, 6)])
    assert (found.totals.macs, found.totals.elementwise) == (72 + 72, 12)


def in_a_thread(x: Tensor, w: Tensor) -> Tensor:
    results: list[Tensor] = []
    thread = threading.Thread(target=lambda: results.append(x @ w))
    thread.start()
    thread.join()
    return results[0]


def test_work_in_another_thread_is_named() -> None:
    """Nothing can listen there: what comes back is a row, and the totals are lower bounds."""
    found = in_every_way(Uses(in_a_thread), [(2, 6)])
    assert found.totals.uncounted_operations == {"work in another thread": 1}
    assert found.totals.macs == 72
    assert [(layer.kind, layer.output_shapes) for layer in found.layers if layer.operation] == [("unheard", ((2, 6),))]


def test_what_a_network_holds_is_no_work_in_another_thread() -> None:
    """Plain attributes and parameters made in forward carry no mark either."""

    class Holds(nn.Module):
        def __init__(self, device: str) -> None:
            super().__init__()
            self.scale = torch.ones(6, device=device)
            self.parts = [torch.ones(6, device=device)]
            self.head = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            made = nn.Parameter(torch.ones(6, device=x.device))
            result: Tensor = self.head(x.to(self.scale.device) * self.scale + self.parts[0] * made)
            return result

    for device in ("cpu", "meta"):
        totals = trace(Holds(device), [(2, 6)]).totals
        assert (totals.macs, totals.uncounted_operations) == (72, {})
    in_every_way(Holds("cpu"), [(2, 6)])


def test_functions_over_a_batch_that_vmap_hides() -> None:
    found = in_every_way(Uses(lambda x, w: torch.vmap(lambda row: torch.tanh(row) @ w)(x) * 2), [(2, 6)])
    assert found.totals.macs == 72 + 72
    assert found.totals.uncounted_operations == {}


EQUATIONS = [
    "bik,bkj->bij",
    "bik,bjk->bij",
    "bik,bkj->bi",
    "ik,bkj->bij",
    "bki,bkj->ij",
    "bik , bkj -> bji",
    "...ik,...kj->...ij",
    "bik,bkj",
]


@pytest.mark.parametrize("equation", EQUATIONS)
@settings(deadline=None, max_examples=4)
@given(sizes=st.fixed_dictionaries({axis: st.sampled_from([1, 2, 5]) for axis in "bijk"}))
def test_einsum_over_axes_of_size_one(equation: str, sizes: dict[str, int]) -> None:
    operands = equation.replace(" ", "").replace("...", "b").partition("->")[0].split(",")
    shapes = [tuple(sizes[axis] for axis in operand) for operand in operands]

    class Contracts(nn.Module):
        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return torch.einsum(equation, one, other)

    found = in_every_way(Contracts(), shapes)
    if equation == "bik,bkj":  # b and k are summed
        assert found.layers[0].output_shapes == ((sizes["i"], sizes["j"]),)
    if equation != "bik,bkj->bi":  # j is summed before the product
        assert found.totals.macs == sizes["i"] * sizes["j"] * sizes["k"] * sizes["b"]


class Residual(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.body(x)
        return result


STEPS: list[Callable[[], nn.Module]] = [
    *[lambda name=name: Uses(PRODUCTS[name]) for name in PRODUCTS],
    *[lambda text=text: Uses(scripted(text), True) for text in SCRIPTED],
    lambda: Uses(in_a_thread),
    lambda: Uses(lambda x, w: torch.einsum("bi,ij->bj", x, w)),
    lambda: Uses(lambda x, w: torch.einsum("bi,io->bo", x[:, :1], w[:1])),
    lambda: Uses(lambda x, w: x.clone().mul_(2).sub_(x)),
    lambda: Uses(lambda x, w: torch.zeros_like(x).index_add_(0, torch.arange(2, device=x.device), x @ w)),
    lambda: nn.LayerNorm(6),
    lambda: nn.Linear(6, 6),
    lambda: nn.GELU(),
]


@st.composite
def networks(draw: Any, depth: int = 1) -> nn.Module:
    """A network of (2, 6) -> (2, 6)."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        is_residual = depth and draw(st.booleans())
        made.append(Residual(draw(networks(depth - 1))) if is_residual else draw(st.sampled_from(STEPS))())
    return nn.Sequential(*made)


@settings(deadline=None, max_examples=20)
@given(networks())
def test_random_networks(network: nn.Module) -> None:
    in_every_way(network.requires_grad_(False), [(2, 6)])  # torch takes no out= where something is to be trained
