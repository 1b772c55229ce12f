import math
import random
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archlab.errors import SourceError
from archlab.networks import resolve
from archlab.training import seeding


def chain(*layers: tuple[str, nn.Module]) -> nn.Sequential:
    network = nn.Sequential()
    for name, layer in layers:
        network.add_module(name, layer)
    return network


def short() -> nn.Module:
    return chain(("first", nn.Linear(4, 3)), ("last", nn.Linear(3, 2)))


def long() -> nn.Module:
    return chain(("first", nn.Linear(4, 3)), ("extra", nn.Linear(3, 3)), ("last", nn.Linear(3, 2)))


def test_equal_names_share_their_draws() -> None:
    one, other = (dict(seeding.build(make, 3).named_parameters()) for make in (short, long))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    assert not torch.equal(one["first.weight"], dict(seeding.build(short, 4).named_parameters())["first.weight"])


@pytest.mark.parametrize(
    ("network", "one", "other"),
    [
        ("lenet", {"norm": "batch"}, {"norm": "none"}),
        ("lenet", {"norm": "batch"}, {"norm": "scratch"}),
        ("resnet20", {"skip": "on"}, {"skip": "off"}),
    ],
)
def test_variants_share_what_they_can(network: str, one: dict[str, str], other: dict[str, str]) -> None:
    first, second = (dict(seeding.build(resolve(network, it).build, 0).named_parameters()) for it in (one, other))
    shared = first.keys() & second.keys()
    assert any(value.dim() == 4 for name, value in first.items() if name in shared)
    for name in shared:
        assert torch.equal(first[name], second[name]), name


class Unusual(nn.Module):
    """Initialises in every way there is: constructor arithmetic, a loop afterwards, a layer that is thrown away."""

    def __init__(self, extra: bool = False) -> None:
        super().__init__()
        if extra:
            self.extra = nn.Parameter(torch.randn(7))
        self.scaled = nn.Parameter(torch.randn(5) * 0.5 + 1)
        self.head = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)
        self.rotation = nn.Linear(4, 4, bias=False)
        self.tied = nn.Linear(4, 4, bias=False)
        self.tied.weight = self.rotation.weight
        self.parts = nn.Parameter(torch.empty(2, 3))
        self.register_buffer("noise", torch.rand(6))
        nn.init.orthogonal_(self.rotation.weight)
        nn.init.trunc_normal_(self.parts[0])
        nn.init.uniform_(self.parts[1])


def test_law_holds_for_any_initialisation() -> None:
    one, other = (seeding.build(partial(Unusual, extra), 0).state_dict() for extra in (False, True))
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
    rotation = one["rotation.weight"]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(4))


@pytest.mark.parametrize("source", ["lenet", "torchvision:resnet18", "torchvision:densenet121"])
def test_distributions_stay(source: str) -> None:
    """Layer by layer the spread is that of the network's own initialisation."""
    torch.manual_seed(0)
    plain = resolve(source).build()
    seeded = seeding.build(resolve(source).build, 0)
    for (name, one), other in zip(plain.state_dict().items(), seeded.state_dict().values(), strict=True):
        if one.numel() < 2000:
            continue
        ratio = float(one.std() / other.std())
        assert math.isclose(ratio, 1, abs_tol=6 / math.sqrt(2 * one.numel())), name  # 4 sd of a ratio of spreads
        assert not torch.equal(one, other), name


def test_draws_of_different_names_differ() -> None:
    network = seeding.build(lambda: chain(("a", nn.Linear(4, 4)), ("b", nn.Linear(4, 4))), 0)
    a, b = network.children()
    assert not torch.equal(a.weight, b.weight)  # type: ignore[arg-type]


def test_random_states_stay() -> None:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    seeding.build(lambda: nn.Linear(random.randint(2, 9), np.random.randint(2, 9)), 0)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # type: ignore[index]
    assert random.getstate() == before[2]


def test_factory_that_changes_is_an_error() -> None:
    made: list[nn.Module] = []

    def make() -> nn.Module:
        made.append(nn.Sequential(*[nn.Linear(2, 2) for _ in range(1 + len(made))]))
        return made[-1]

    with pytest.raises(SourceError, match=r"drew 2 times .* and 4 times"):  # a weight and a bias each
        seeding.build(make, 0)


@given(seed=st.integers(0, 2**31), epoch=st.integers(0, 1000), count=st.integers(1, 50))
@settings(deadline=None, max_examples=20)
def test_order_is_a_permutation_of_seed_and_epoch_alone(seed: int, epoch: int, count: int) -> None:
    state = torch.get_rng_state()
    order = seeding.order(seed, epoch, count)
    assert sorted(order.tolist()) == list(range(count))
    assert torch.equal(order, seeding.order(seed, epoch, count))
    assert torch.equal(torch.get_rng_state(), state)


def test_orders_differ() -> None:
    orders = {tuple(seeding.order(seed, epoch, 20).tolist()) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


def test_derived_seeds_do_not_run_together() -> None:
    assert seeding.derive(1, "a", "b") != seeding.derive(1, "ab") != seeding.derive(1, "a", "b", "")
    assert 0 <= seeding.derive(0) < 2**63
