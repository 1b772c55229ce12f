"""What a network holds in containers of all kinds is put back, and what nothing has changed isn't touched."""

from __future__ import annotations

import random
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, NamedTuple, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.immutable_collections import immutable_dict, immutable_list

from archlab.errors import ForwardError
from archlab.tracing import trace
from archlab.tracing.isolation import isolated
from archlab.tracing.memory.fitting import fits


def refuse(self: object, *args: object, **kwargs: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__} is frozen")


class FrozenDict(OrderedDict[str, Any]):
    """As the configuration of a diffusers network: it is filled once, and refuses ever after."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for key, value in self.items():
            setattr(self, key, value)
        self.is_filled = True

    def __setitem__(self, key: str, value: object) -> None:
        if hasattr(self, "is_filled"):
            refuse(self)
        super().__setitem__(key, value)

    update = clear = pop = setdefault = __delitem__ = refuse


class FrozenList(list[Any]):
    """Refuses every change, and tells a wrong length."""

    append = extend = clear = insert = pop = __setitem__ = __delitem__ = refuse

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __len__(self) -> int:
        return 0


class FrozenSet(set[Any]):
    add = update = clear = discard = refuse


class Pair(NamedTuple):
    weight: Tensor
    name: str


@dataclass
class State:
    weight: Tensor
    calls: list[int] = field(default_factory=list)
    count: int = 0


@dataclass(frozen=True)
class FrozenState:
    weight: Tensor


class Slotted:
    __slots__ = ("count", "unset", "weight")

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.count = 0

    def __setattr__(self, name: str, value: object) -> None:
        assert name == "weight" or not isinstance(value, Tensor)
        super().__setattr__(name, value)


class Holds(nn.Module):
    """A linear layer, and one thing more."""

    def __init__(self, held: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.layer(x)
        return result


FROZEN = [
    lambda: FrozenDict(a=1, b=[1, 2]),
    lambda: FrozenList([1, 2]),
    lambda: FrozenSet([1, 2]),
    lambda: immutable_list([1, 2]),
    lambda: immutable_dict({"a": 1}),
]


@pytest.mark.parametrize("make", FROZEN)
@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_a_frozen_container_is_left_alone(make: Any, columns: tuple[str, ...]) -> None:
    network = Holds(make())
    held, before = network.held, repr(network.held)
    assert trace(network, [(2, 8)], columns=columns).totals.macs == 2 * 8 * 8
    assert fits(network, [(2, 8)], batch=2).parts.parameters == 4 * (8 * 8 + 8)
    assert network.held is held
    assert repr(held) == before
    assert network(torch.zeros(2, 8)).shape == (2, 8)


def test_a_frozen_dictionary_keeps_its_attributes_after_a_failure() -> None:
    network = Holds(FrozenDict(a=1, b=2))
    with pytest.raises(ForwardError):
        trace(network, [(2, 9)])
    assert dict(network.held) == {"a": 1, "b": 2}
    assert list(vars(network.held)) == ["a", "b", "is_filled"]


def spoil_dict(held: Any) -> None:
    dict.__setitem__(held, "more", 1)


def spoil_state(held: State) -> None:
    held.calls.append(1)
    held.count += 1


def spoil_slots(held: Any) -> None:
    held.count += 1
    held.unset = 1


SPOILT: list[tuple[Any, Any]] = [
    (lambda: FrozenDict(a=1, b=2), lambda held: OrderedDict.move_to_end(held, "a")),
    (lambda: FrozenDict(a=1, b=2), lambda held: OrderedDict.__setitem__(held, "a", 3)),
    (lambda: FrozenDict(a=1, b=2), lambda held: setattr(held, "a", 3)),
    (lambda: FrozenDict(a=1, b=2), lambda held: OrderedDict.__delitem__(held, "a")),
    (lambda: immutable_dict({"a": 1}), spoil_dict),
    (lambda: immutable_list([1, 2]), lambda held: list.append(held, 3)),
    (lambda: FrozenSet([1, 2]), lambda held: set.clear(held)),
    (lambda: deque([1, 2], maxlen=2), lambda held: held.append(3)),
    (lambda: deque(maxlen=2), lambda held: held.append(3)),
    (lambda: defaultdict(list, {"a": [1]}), lambda held: held["b"].append(held["a"].append(2))),
    (lambda: Counter("ab"), lambda held: held.update("abc")),
    (lambda: ([1], {"a": {2}}), lambda held: (held[0].append(2), held[1]["a"].add(3))),
    (lambda: State(torch.ones(1)), spoil_state),
    (lambda: SimpleNamespace(calls=[[]]), lambda held: held.calls[0].append(1)),
    (lambda: Slotted(torch.ones(1)), spoil_slots),
    (lambda: [nn.Dropout()], lambda held: held[0].eval()),
    (lambda: torch.Generator(), lambda held: torch.rand(1, generator=held)),
    (lambda: random.Random(0), lambda held: held.random()),
    (lambda: np.random.default_rng(0), lambda held: held.random()),
    (lambda: torch.zeros(2), lambda held: held.add_(1)),
    (lambda: [torch.zeros(2)], lambda held: held[0].fill_(3)),
    (lambda: (torch.zeros(2),), lambda held: held[0].fill_(3)),
]


def described(value: Any) -> Any:
    """All that can be seen of a value, in plain containers."""
    if isinstance(value, torch.Generator):
        return value.get_state().tolist()
    if isinstance(value, random.Random):
        return value.getstate()
    if isinstance(value, np.random.Generator):
        return str(value.bit_generator.state)
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, nn.Module):
        return value.training
    own = [(name, described(item)) for name, item in getattr(value, "__dict__", {}).items()]
    own += [(name, getattr(value, name, None)) for name in getattr(value, "__slots__", ()) if name != "weight"]
    if isinstance(value, dict):
        return [(key, described(item)) for key, item in value.items()], own
    if isinstance(value, (list, tuple, deque)):
        return [described(item) for item in value], own
    return (sorted(value) if isinstance(value, set) else None), own, None if own else repr(value)


@pytest.mark.parametrize(("make", "spoil"), SPOILT)
def test_what_was_changed_is_put_back(make: Any, spoil: Any) -> None:
    class Spoils(Holds):
        def forward(self, x: Tensor) -> Tensor:
            spoil(self.held)
            assert described(self.held) != before
            return super().forward(x)

    network = Spoils(make())
    held, before = network.held, described(network.held)
    assert trace(network, [(2, 8)]).totals.macs == 128
    assert network.held is held
    assert described(held) == before
    with pytest.raises(ForwardError):
        trace(network, [(2, 9)])
    assert network.held is held
    assert described(held) == before


HOLDERS: list[tuple[Any, Any]] = [
    (lambda weight: (weight, 1), lambda held: held[0]),
    (lambda weight: Pair(weight, "w"), lambda held: held.weight),
    (lambda weight: ((1, (weight,)), 2), lambda held: held[0][1][0]),
    (lambda weight: [[{"w": weight}]], lambda held: held[0][0]["w"]),
    (lambda weight: FrozenDict(w=weight), lambda held: held["w"]),
    (lambda weight: FrozenDict(w=weight), lambda held: held.w),
    (lambda weight: immutable_list([weight]), lambda held: held[0]),
    (lambda weight: {weight}, lambda held: next(iter(held))),
    (lambda weight: frozenset([weight]), lambda held: next(iter(held))),
    (lambda weight: {weight: 1}, lambda held: next(iter(held))),
    (lambda weight: deque([weight]), lambda held: held[0]),
    (State, lambda held: held.weight),
    (FrozenState, lambda held: held.weight),
    (Slotted, lambda held: held.weight),
    (lambda weight: torch.return_types.max((weight, weight)), lambda held: held[0]),
]


@pytest.mark.parametrize(("make", "get"), HOLDERS)
def test_a_parameter_held_twice_is_one_inside_too(make: Any, get: Any) -> None:
    class Tied(Holds):
        def forward(self, x: Tensor) -> Tensor:
            assert get(self.held) is self.layer.weight
            assert self.layer.weight.is_meta
            return F.linear(super().forward(x), get(self.held))

    network = Tied()
    network.held = make(network.layer.weight)
    held, weight = network.held, network.layer.weight
    found = trace(network, [(2, 8)])
    assert found.totals.macs == 2 * 2 * 8 * 8
    assert found.totals.parameters == 8 * 8 + 8
    assert found.notes == ()
    assert network.held is held
    assert type(held) is type(make(weight))
    assert get(held) is weight is network.layer.weight


def test_one_container_in_two_places_and_in_itself() -> None:
    network: Any = Holds()
    circle: list[Any] = [network.layer.weight]
    circle.append((circle, {"back": circle}))
    network.held, network.layer.held = circle, circle
    weight = network.layer.weight
    with isolated(network):
        assert network.held is network.layer.held is circle
        assert circle[0] is network.layer.weight is not weight
        assert circle[1][0] is circle[1][1]["back"] is circle
        circle.clear()
    assert circle[0] is weight
    assert len(circle) == 2
    assert circle[1][0] is circle


def test_modules_outside_the_tree_are_isolated_too() -> None:
    network = Holds([nn.BatchNorm1d(8), {"more": (nn.Linear(8, 8),)}])
    norm = network.held[0]
    with isolated(network):
        assert norm.weight.is_meta
        assert network.held[1]["more"][0].bias.is_meta
    assert not norm.weight.is_meta
    network.forward = lambda x: norm(network.layer(x)) if x.sum() < 1e9 else x  # type: ignore[method-assign]
    trace(network, [(4, 8)])  # with real arithmetic
    assert norm.num_batches_tracked == 0
    assert torch.equal(norm.running_mean, torch.zeros(8))


def test_a_constant_keeps_its_values_inside() -> None:
    class Shifts(Holds):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).roll(int(self.held[0][1]), 1)

    network = Shifts((torch.tensor([1, 5]),))
    assert trace(network, [(2, 8)]).notes == ()


def test_a_chain_of_objects_ends() -> None:
    """Helpers are followed a few objects deep, not through everything that is alive."""
    network = Holds()
    link: Any = SimpleNamespace(count=0)
    network.held = link
    for _ in range(5000):
        link.next = SimpleNamespace(count=0)
        link = link.next
    with isolated(network):
        network.held.next.count = 1
    assert network.held.next.count == 0
