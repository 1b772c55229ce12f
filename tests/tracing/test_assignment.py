"""Results that are assigned into tensors which the network makes of nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archlab.tracing import trace

Write = Callable[[Tensor, Tensor], Tensor]


def assign(out: Tensor, made: Tensor) -> Tensor:
    out[:] = made
    return out


def assign_in_halves(out: Tensor, made: Tensor) -> Tensor:
    out[:, :2] = made[:, :2]
    out[:, 2:] = made[:, 2:]
    return out


def add(out: Tensor, made: Tensor) -> Tensor:
    out += made
    return out


def copy(out: Tensor, made: Tensor) -> Tensor:
    out.copy_(made)
    return out


def copy_into_a_view(out: Tensor, made: Tensor) -> Tensor:
    out[:, :2].copy_(made[:, :2])
    return out


def add_to_a_view(out: Tensor, made: Tensor) -> Tensor:
    out[:, :2] += made[:, :2]
    return out


def assign_beside_a_view(out: Tensor, made: Tensor) -> Tensor:
    top = out[:, :2]
    out[:, 2:] = made[:, 2:]
    top.copy_(made[:, :2])
    return out


def into(out: Tensor, made: Tensor) -> Tensor:
    torch.mul(made, 2, out=out)
    return out


def into_a_view(out: Tensor, made: Tensor) -> Tensor:
    torch.mul(made[:, :2], 2, out=out[:, :2])
    return out


def copy_into_its_data(out: Tensor, made: Tensor) -> Tensor:
    out.data.copy_(made)
    return out


class Assigning(nn.Module):
    def __init__(self, write: Write, make: Callable[..., Tensor]) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.write, self.make = write, make

    def forward(self, x: Tensor) -> Any:
        return self.second(self.write(self.make((len(x), 4, 16, 16)), self.first(x)))


WRITES = [
    *(assign, assign_in_halves, add, copy, copy_into_a_view, add_to_a_view, assign_beside_a_view),
    *(into, into_a_view, copy_into_its_data),
]


def computed(shape: tuple[int, ...]) -> Tensor:
    """A constant that is computed of others."""
    return (2 * torch.ones(shape[0], 1, *shape[2:])).repeat(1, shape[1], 1, 1).clone()


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("make", [torch.zeros, torch.ones, torch.empty, torch.rand, computed])
@pytest.mark.parametrize("columns", [(), ("receptive-field",), ("saved",)])
def test_the_graph_goes_through_what_is_assigned(write: Write, make: Any, columns: tuple[str, ...]) -> None:
    if write in (into, into_a_view) and columns == ("saved",):
        pytest.skip("torch differentiates nothing that is given out=")
    found = trace(Assigning(write, make), [(1, 3, 16, 16)], columns=columns)
    last = found.layers[-1]
    assert (found.totals.macs, found.totals.parameters) == (256 * 4 * 27 + 256 * 4 * 36, 112 + 148)
    assert last.path == "second"
    (origin,) = last.inputs
    assert found.layers[origin].kind in ("setitem", "copy", "add", "mul")
    taken = {origin for layer in found.layers for origin in layer.inputs}
    assert [row for row in range(len(found.layers)) if row not in taken] == [len(found.layers) - 1], "one output"
    if columns == ("receptive-field",):
        field = last.receptive_field
        assert field is not None
        assert (field.size, field.jump) == ((5, 5), (1, 1))  # 3 + 2


def test_a_tensor_of_the_networks_own_stays_where_it_is() -> None:
    class Caching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.cache = torch.ones(1, 4)  # not registered, and so not replaced for the trace

        def forward(self, x: Tensor) -> Tensor:
            self.cache[:] = self.layer(x)
            return self.cache

    network = Caching()
    cache = network.cache
    trace(network, [(1, 4)])
    assert network.cache is cache
    assert torch.equal(cache, torch.ones(1, 4))
    assert not cache.__dict__


class Holding(nn.Module):
    """Writes a result into a tensor that it holds, and goes on from there."""

    def __init__(self, write: Write, kind: str) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.write = write
        if kind == "buffer":
            self.register_buffer("cache", torch.zeros(1, 4, 16, 16))
        else:
            self.cache = torch.zeros(1, 4, 16, 16)

    def forward(self, x: Tensor) -> Any:
        self.write(self.cache, self.first(x))
        return self.second(self.cache)


@pytest.mark.parametrize(
    ("write", "columns"), [*((write, ()) for write in WRITES), *((write, ("saved",)) for write in WRITES[:6])]
)
@pytest.mark.parametrize("kind", ["buffer", "attribute"])
def test_the_graph_goes_through_what_the_network_holds(write: Write, kind: str, columns: tuple[str, ...]) -> None:
    network = Holding(write, kind)
    found = trace(network, [(1, 3, 16, 16)], columns=columns)
    taken = {origin for layer in found.layers for origin in layer.inputs}
    assert [row for row in range(len(found.layers)) if row not in taken] == [len(found.layers) - 1], "one output"
    assert found.totals.buffers == (1_024 if kind == "buffer" else 0)  # 4 * 16 * 16
    assert torch.equal(network.cache, torch.zeros(1, 4, 16, 16))
    assert not network.cache.__dict__


def test_operations_on_lists_in_place() -> None:
    class Listing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

        def forward(self, x: Tensor) -> Any:
            sums = [torch.zeros(1, 4, 16, 16)]
            torch._foreach_add_(sums, [self.first(x)])
            return self.second(sums[0])

    found = trace(Listing(), [(1, 3, 16, 16)], columns=("receptive-field",))
    assert [layer.inputs for layer in found.layers] == [(-1,), (0,), (1,)]
    field = found.layers[-1].receptive_field
    assert field is not None  # as large as the map: an upper bound
