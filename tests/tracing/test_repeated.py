"""Operations that repeat have the rows that measuring each would give."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.records import Trace
from archlab.tracing import trace
from archlab.tracing.forward import listener
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.forward.repeated import remember, signature
from tests.tracing.test_ways import in_every_way


class Loop(nn.Module):
    """(2, 6) -> (2, 6): a function of the state, a weight and a single number in a buffer, three times."""

    number: Tensor

    def __init__(self, function: Callable[[Tensor, Tensor, Tensor, int], Tensor]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(6, 6))
        self.register_buffer("number", torch.tensor(0.5))
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        for step in range(3):
            x = self.function(x, self.w, self.number, step)
        return x


def passed_through(x: Tensor) -> Tensor:
    part = x[:, :3]
    part.mul_(2)  # into x
    return x + 0.0


def last_axis_of_a_longer(x: Tensor, step: int) -> Tensor:
    y = x * 1.0
    if step == 1:
        y.unsqueeze_(0)  # the same tensor object, and another shape
    return (y - 1.0).reshape(2, 6)


FUNCTIONS: dict[str, Callable[[Tensor, Tensor, Tensor, int], Tensor]] = {
    "numbers": lambda x, w, n, step: (x - 0.25) * 3,
    "other numbers": lambda x, w, n, step: x * (0.5 + step),
    "int, float and bool": lambda x, w, n, step: x * (1, 1.0, True)[step],
    "zeros of two signs": lambda x, w, n, step: x + (0.0, -0.0, 0)[step],
    "a buffer": lambda x, w, n, step: x * n - n,
    "a weight": lambda x, w, n, step: F.linear(x, w) + w[0],
    "views": lambda x, w, n, step: x.view(3, 4).t().reshape(2, 6),
    "strides": lambda x, w, n, step: (x.view(2, 2, 3).transpose(1, 2) + 1).reshape(2, 6) * 2,
    "strides that differ": lambda x, w, n, step: (x.t() if step else x.view(6, 2)).add(1).contiguous().view(2, 6),
    "types": lambda x, w, n, step: (x.double() if step else x).float() + 1,
    "comparisons": lambda x, w, n, step: (x > 0).float() * (x > 0),
    "joined": lambda x, w, n, step: torch.cat([x[:, :2], x[:, 2:]], (1, -1, 1)[step]),
    "parts": lambda x, w, n, step: torch.add(*x.chunk(2, 1)).repeat(1, 2),
    "attention": lambda x, w, n, step: F.scaled_dot_product_attention(
        x[None, None], x[None, None], x[None, None], is_causal=step > 0
    )[0, 0],
    "nothing done": lambda x, w, n, step: F.dropout(x.contiguous().float(), 0.5, False),
    "written into": lambda x, w, n, step: passed_through(x + 1),
    "another shape in place": lambda x, w, n, step: last_axis_of_a_longer(x, step),
    "no shape function": lambda x, w, n, step: F.softplus(x) + torch.floor(x),
    "pooled": lambda x, w, n, step: F.avg_pool1d(x[None], 1 + step % 2)[0].repeat(1, 1 + step % 2),
}


def measured_each_time(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> Trace:
    with monkeypatch.context() as patch:
        patch.setattr(listener, "signature", lambda *args: None)
        return trace(network, [(2, 6)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Loop(FUNCTIONS[name]).eval()
    assert in_every_way(network, [(2, 6)]) == measured_each_time(network, monkeypatch)


def test_a_repeated_call_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three calls of `sub` and `mul` each, the first is measured, if only values differ."""
    measured = []
    hear = listener.Listener._hear

    def counting(self: listener.Listener, known: object, *rest: object) -> object:
        measured.append(known.name)  # type: ignore[attr-defined]
        return hear(self, known, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(listener.Listener, "_hear", counting)
    weight, number, *rows = trace(Loop(FUNCTIONS["numbers"]), [(2, 6)]).layers
    assert (weight.path, number.path) == ("w", "number")  # unused
    assert [row.kind for row in rows] == ["sub", "mul"] * 3
    assert [row.inputs for row in rows] == [(-1,), (2,), (3,), (4,), (5,), (6,)]
    assert [row.path for row in rows] == ["sub", "mul", "sub_1", "mul_1", "sub_2", "mul_2"]
    assert measured == ["sub", "mul"]
    measured.clear()
    trace(Loop(FUNCTIONS["other numbers"]), [(2, 6)])
    assert measured == ["mul"] * 3


def test_the_line_of_each_call() -> None:
    class Lines(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x + 1
            return x + 1

    first, second = (layer.source for layer in trace(Lines(), [(2, 6)], columns=["source"]).layers)
    assert int(second.rpartition(":")[2]) == int(first.rpartition(":")[2]) + 1


def test_what_is_computed_before_a_type_is_set() -> None:
    class Defaults(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            whole = x.long()
            first = whole / 2
            torch.set_default_dtype(torch.float64)
            return first, whole / 2

    found = trace(Defaults(), [(2, 6)])
    assert [layer.dtype for layer in found.layers if layer.kind == "div"] == ["float32", "float64"]


def test_autocast_is_left_to_measuring() -> None:
    x = torch.empty(2, 6, device="meta")
    assert signature(torch.add, (x, 1), {}) is not None
    with torch.autocast("cpu"):
        assert signature(torch.add, (x, 1), {}) is None


@pytest.mark.parametrize(
    "argument",
    [
        torch.ones(2, 6),  # has values
        torch.tensor(3),  # a number that may say how many
        torch.empty(2, 6, device="meta", dtype=torch.complex64),
        torch.empty(2, 6, device="meta", layout=torch.sparse_coo),
        torch.device("cpu"),
        slice(torch.tensor(1), None),
        {"x": 1},
        object(),
    ],
    ids=lambda argument: type(argument).__name__,
)
def test_arguments_that_make_no_signature(argument: object) -> None:
    x = torch.empty(2, 6, device="meta")
    assert signature(torch.add, (x, argument), {}) is None
    assert signature(torch.add, (x, [argument]), {}) is None
    assert signature(torch.add, (x,), {"other": argument}) is None


def test_results_that_are_not_remembered() -> None:
    x, tree = torch.empty(2, 6, device="meta"), CallTree(quick=True)
    call = Call(None, "view", "view")
    for out in (x.view(12), x.detach(), (x, x), torch.zeros(2)):
        remember(tree, (), call, out, [x], is_view=False)
    assert tree.repeated == {}
    remember(tree, (), call, x.t(), [x], is_view=True)
    assert tree.repeated[()].made is None
