from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import archlab
from archlab.errors import ForwardError, InputError
from archlab.records import MemoryEstimate
from archlab.tables import text
from archlab.tables.memory import memory_table
from archlab.tracing import fits, trace
from archlab.tracing.memory.fitting import parse_bytes
from archlab.tracing.memory.timeline import Event, Timeline


class Residual(nn.Module):
    def __init__(self, inner: nn.Module, join: str = "add") -> None:
        super().__init__()
        self.inner = inner
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        y = self.inner(x)
        return x + y if self.join == "add" else torch.cat([x, y], 1)[:, : x.shape[1]]


def small_network() -> nn.Module:
    block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), Residual(block), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )


# Saved bytes


def really_saved(network: nn.Module, x: Tensor) -> int:
    own = {tensor.untyped_storage().data_ptr() for tensor in [*network.parameters(), *network.buffers()]}
    kept: dict[int, tuple[Tensor, int]] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor, storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(x)
    return sum(size for _, size in kept.values())


@pytest.mark.parametrize("name", ["lenet", "resnet", "densenet"])
def test_saved_bytes_are_what_autograd_saves(name: str) -> None:
    network = archlab.build(name).train()
    shape = {"lenet": (4, 1, 28, 28)}.get(name, (4, 1, 96, 96))
    predicted = trace(network, [shape], columns=["saved"]).totals.saved_bytes
    assert predicted == pytest.approx(really_saved(network, torch.randn(shape)), rel=0.01)


@st.composite
def networks(draw: st.DrawFn) -> nn.Module:
    """Chains, skips, concatenations and shared modules over 4 channels."""
    shared = nn.Conv2d(4, 4, 3, padding=1)
    kinds: dict[str, Any] = {
        "conv": lambda: nn.Conv2d(4, 4, 3, padding=1),
        "shared": lambda: shared,
        "norm": lambda: nn.BatchNorm2d(4),
        "relu": lambda: nn.ReLU(),
        "inplace": lambda: nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)),
        "sigmoid": lambda: nn.Sigmoid(),
        "pool": lambda: nn.AvgPool2d(3, 1, 1),
        "skip": lambda: Residual(nn.Conv2d(4, 4, 3, padding=1)),
        "concatenation": lambda: Residual(nn.Conv2d(4, 4, 1), "cat"),
    }
    names = draw(st.lists(st.sampled_from(sorted(kinds)), min_size=1, max_size=6))
    return nn.Sequential(*(kinds[name]() for name in names))


@settings(deadline=None, max_examples=25)
@given(networks())
def test_saved_bytes_of_random_networks(network: nn.Module) -> None:
    shape = (2, 4, 32, 32)
    predicted = trace(network, [shape], columns=["saved"]).totals.saved_bytes or 0
    # 1 % for what a kernel saves beside tensors of the table: statistics of 4 channels.
    assert predicted == pytest.approx(really_saved(network, torch.randn(shape)), rel=0.01)


# The timeline


def test_the_peak_is_the_worst_moment() -> None:
    events = (
        Event("parameters", "forward", 10),
        Event("activations", "forward", 5),
        Event("workspace", "backward", 7),
        Event("activations", "backward", -5),
        Event("gradients", "backward", 3),
    )
    peak = Timeline(1, events).peak()
    assert (peak.total, peak.moment) == (22, "backward")  # 10 + 5 + 7
    assert (peak.parts.parameters, peak.parts.activations, peak.parts.workspace) == (10, 5, 7)
    assert peak.parts.gradients == 0


def test_another_batch_follows_from_two() -> None:
    two = Timeline(2, (Event("parameters", "forward", 10), Event("activations", "forward", 20)))
    four = Timeline(4, (Event("parameters", "forward", 10), Event("activations", "forward", 40)))
    expected = two.at(7, four)
    assert expected is not None
    assert expected.peak().total == 10 + 7 * 10
    assert two.at(7, Timeline(4, four.events[:1])) is None


# Estimates


def counted(batch: int) -> dict[str, int]:
    """Linear(4, 8), ReLU, Linear(8, 2) in float32 with Adam, by hand."""
    parameters = 4 * (4 * 8 + 8 + 8 * 2 + 2)
    return {"parameters": parameters, "inputs": 4 * batch * 4, "optimizer_state": 2 * parameters + 4 * 4}  # 4 steps


def test_parts_by_hand() -> None:
    estimate = fits(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), [(16, 4)])
    assert {name: getattr(estimate.parts, name) for name in counted(16)} == counted(16)
    assert estimate.parts.total == estimate.peak
    assert estimate.batch == 16


@pytest.mark.parametrize(("optimizer", "copies"), [("sgd", 0), ("sgd-momentum", 1), ("adam", 2), ("adamw", 2)])
def test_state_of_the_optimisers(optimizer: str, copies: int) -> None:
    estimate = fits(nn.Linear(100, 100), [(1, 100)], optimizer=optimizer)
    steps = 8 if copies == 2 else 0  # a counter for each of weight and bias
    assert estimate.parts.optimizer_state == copies * 4 * 10_100 + steps


def test_the_step_may_be_the_worst_moment() -> None:
    estimate = fits(nn.Linear(1000, 1000, bias=False), [(1, 1000)])
    # parameters, gradients, two of Adam's, and its root of the second: 5 x 4 MB
    assert estimate.moment == "step"
    assert estimate.peak == pytest.approx(5 * 4_000_000, rel=0.01)


def test_frozen_parameters_have_neither_gradient_nor_state() -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 2))
    network[0].requires_grad_(False)
    assert fits(network, [(1, 64)]).parts.optimizer_state == 2 * 4 * (64 * 2 + 2) + 8
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    assert fits(network, [(1, 64)]).moment == "forward"


def test_bf16_halves_activations_and_no_weights() -> None:
    network = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3))
    full, mixed = (fits(network, [(8, 3, 64, 64)], precision=name) for name in ("fp32", "bf16"))
    assert mixed.parts.parameters == full.parts.parameters
    assert mixed.parts.optimizer_state == full.parts.optimizer_state
    assert 0.4 < mixed.parts.activations / full.parts.activations < 0.7


def test_bf16_keeps_layer_normalisation_in_float32() -> None:
    network = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 64))
    estimate = fits(network, [(1024, 64)], precision="bf16", optimizer="sgd")
    row = 1024 * 64
    # Held when the forward pass is over, at the least: the bf16 input and its copies of both products' arguments, and
    # the float32 argument of the normalisation.
    assert estimate.parts.activations >= 2 * row + 4 * row + 2 * row


def test_it_agrees_with_torchs_own_tracker() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.distributed._tools.mem_tracker import MemTracker

        with FakeTensorMode():
            network = small_network()
            optimizer = torch.optim.Adam(network.parameters(), foreach=True)
            x, labels = torch.randn(8, 3, 64, 64), torch.zeros(8, dtype=torch.int64)
            for _ in range(2):
                tracker = MemTracker()
                tracker.track_external(network, optimizer, x)
                with tracker:
                    F.cross_entropy(network(x), labels).backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
                    optimizer.zero_grad()
            tracked = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
    assert fits(small_network(), [(8, 3, 64, 64)]).peak == pytest.approx(tracked, rel=0.01)


# What fits


def test_the_largest_batch_fits_and_the_next_one_does_not() -> None:
    network, shape = small_network(), (1, 3, 64, 64)
    found = fits(network, [shape], budget="20MB")
    assert found.largest_batch is not None
    assert found.largest_batch == found.batch > 2
    assert found.fits
    assert found.peak == found.peak_at_largest
    assert found.peak <= 20_000_000
    assert fits(network, [shape], batch=found.batch + 1).peak > 20_000_000


def test_a_batch_that_is_asked_for_is_what_is_shown() -> None:
    estimate = fits(small_network(), [(1, 3, 64, 64)], budget="20MB", batch=1000)
    assert (estimate.batch, estimate.fits) == (1000, False)
    assert estimate.inputs == ((1000, 3, 64, 64),)
    assert estimate.largest_batch == fits(small_network(), [(1, 3, 64, 64)], budget="20MB").largest_batch


def test_nothing_fits() -> None:
    estimate = fits(nn.Linear(1000, 1000), [(1, 1000)], budget="1MB")
    assert (estimate.largest_batch, estimate.fits, estimate.peak_at_largest) == (0, False, None)
    assert "Does not fit" in text(memory_table(estimate))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("24GB", 24 * 10**9),
        ("24GiB", 24 * 2**30),
        ("80G", 80 * 10**9),
        (" 1.5 gib ", 3 * 2**29),
        ("512MiB", 2**29),
        ("1e3", None),
        ("24 gigs", None),
        ("-1GB", None),
        ("0GB", None),
        ("GB", None),
        ("", None),
        (1000, 1000),
    ],
)
def test_sizes(size: Any, expected: int | None) -> None:
    if expected is not None:
        assert parse_bytes(size) == expected
        return
    with pytest.raises(InputError, match="24GiB"):
        parse_bytes(size)


def test_wrong_names_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean adamw"):
        fits("lenet", optimizer="adamww")
    with pytest.raises(InputError, match="bf16"):
        fits("lenet", precision="fp8")


def test_a_network_that_fails_says_so() -> None:
    with pytest.raises(ForwardError, match="can't be trained on 1x4"):
        fits(nn.Linear(3, 3), [(1, 4)])
    with pytest.raises(ForwardError, match="larger batch"):
        fits(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), [(1, 3)])


def test_the_network_is_left_alone() -> None:
    network = small_network().eval()
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    parameters = list(network.parameters())
    fits(network, [(4, 3, 32, 32)], budget="1GB")
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(one is other for one, other in zip(network.parameters(), parameters, strict=True))
    assert all(parameter.grad is None and not parameter._post_accumulate_grad_hooks for parameter in parameters)
    assert not any(module.training for module in network.modules())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("network", [nn.LSTM(8, 4, batch_first=True), nn.TransformerEncoderLayer(8, 2, 16)])
def test_other_kinds_of_layers(network: nn.Module) -> None:
    assert fits(network, [(2, 5, 8)]).peak > 0


def test_shared_parameters_count_once() -> None:
    shared = nn.Linear(10, 10)
    assert fits(nn.Sequential(shared, nn.ReLU(), shared), [(2, 10)]).parts.parameters == 4 * 110


def test_json_and_table() -> None:
    estimate = fits("lenet", batch=32, budget="1GB")
    assert MemoryEstimate.from_json(estimate.to_json()) == estimate
    table = memory_table(estimate)
    assert sum(row.cells[1] for row in table.rows) == estimate.peak  # type: ignore[misc]
    assert "A batch of 32 fits" in text(table)
