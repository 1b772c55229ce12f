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


def set_to(out: Tensor, made: Tensor) -> Tensor:
    return out.set_(made)  # type: ignore[call-overload,no-any-return]


def set_empty_to(out: Tensor, made: Tensor) -> Tensor:
    return torch.empty(0).set_(made * 2)  # type: ignore[call-overload,no-any-return]


def give_data(out: Tensor, made: Tensor) -> Tensor:
    out.data = made
    return out


def give_data_to_another_result(out: Tensor, made: Tensor) -> Tensor:
    other = made.clone()
    other.data = made.relu()
    return other


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
BINDINGS = [set_to, set_empty_to, give_data, give_data_to_another_result]


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


@pytest.mark.parametrize("bind", BINDINGS)
@pytest.mark.parametrize("columns", [(), ("receptive-field",)])
def test_the_graph_goes_through_what_is_given_anothers_elements(bind: Write, columns: tuple[str, ...]) -> None:
    found = trace(Assigning(bind, torch.zeros), [(1, 3, 16, 16)], columns=columns)
    assert not found.notes
    assert found.totals.macs == 256 * 4 * 27 + 256 * 4 * 36
    (origin,) = found.layers[-1].inputs
    assert found.layers[origin].kind == "set_data"
    if columns:
        field = found.layers[-1].receptive_field
        assert field is not None
        assert field.size == (5, 5)  # 3 + 2
    assert "set_" not in vars(Tensor), "torch has its own method back"


def test_a_graph_that_a_storage_cuts_says_so() -> None:
    def set_to_a_storage(out: Tensor, made: Tensor) -> Tensor:
        return out.set_(made.untyped_storage(), 0, made.shape, made.stride())

    found = trace(Assigning(set_to_a_storage, torch.zeros), [(1, 3, 16, 16)])
    assert "The graph is cut at the network" in found.notes[-1]


def test_weights_that_are_given_other_values_stay_parameters() -> None:
    class Clipping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Any:
            self.layer.weight.data = self.layer.weight.data.clamp(-1, 1)
            self.layer.bias.data = torch.zeros(3)
            return self.layer(x)

    network = Clipping()
    bias = network.layer.bias.clone()
    found = trace(network, [(1, 4)])
    assert (found.totals.parameters, found.totals.macs) == (15, 12)
    assert torch.equal(network.layer.bias, bias)


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
