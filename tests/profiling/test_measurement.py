from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import archlab
from archlab.errors import ForwardError, InputError
from archlab.profiling import timed_trace
from archlab.records import LayerTime, Profile
from tests.profiling.timed import CLOCK, MACHINE, Block, Kernel, Layer, Network, QueueClock


@pytest.fixture(params=[0.0, 1.0], ids=["marks cost nothing", "marks cost 1 s"], autouse=True)
def _cost(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLOCK, "cost", request.param)


def profiled(network: nn.Module, *, backward: bool = False, shape: tuple[int, ...] = (1, 2)) -> Profile:
    return archlab.profile(network, [shape], backward=backward, repeats=5, machine=MACHINE, clock=CLOCK)


def medians(profile: Profile, direction: str = "forward") -> dict[tuple[str, int], float | None]:
    """Of the rows, without the product and the copy that are in each `Layer` and take no time."""
    found = {}
    for layer in profile.layers:
        if layer.kind in ("mul", "clone"):
            continue
        timing = getattr(layer, direction)
        assert timing is None or timing.low == timing.median == timing.high, "every pass takes the same"
        found[layer.path, layer.call] = None if timing is None else round(timing.median, 9)
    return found


def test_each_row_has_its_time_and_with_the_rest_they_are_the_whole() -> None:
    found = profiled(Network())
    assert medians(found) == {
        ("stem", 1): 1,
        ("relu", 1): 0,
        **{("block", call): 14 for call in (1, 2)},  # 3 + 4 + 2 + 5
        **{("block.first", call): 3 for call in (1, 2)},
        **{("block.add", call): 4 for call in (1, 2)},
        **{("block.second", call): 5 for call in (1, 2)},
        ("head", 1): 7,
        ("unused", 0): None,
    }
    assert {layer.rest.median for layer in found.layers if layer.path == "block" and layer.rest} == {2}
    assert found.rest.median == 0.5
    assert found.summed is not None
    assert found.forward.median == found.forward_sum == found.summed.median == 36.5  # 0.5 + 1 + 2 x 14 + 7
    assert [layer.seconds for layer in found.trace.layers if layer.path == "block"] == [14, 14]


def test_each_node_of_the_backward_pass_belongs_to_the_layer_that_made_it() -> None:
    found = profiled(Network(), backward=True)
    assert medians(found, "backward") == {
        ("stem", 1): 10,
        ("relu", 1): 0,
        **{("block", call): 80 for call in (1, 2)},
        **{("block.first", call): 30 for call in (1, 2)},
        **{("block.add", call): 0 for call in (1, 2)},
        **{("block.second", call): 50 for call in (1, 2)},
        ("head", 1): 70,
        ("unused", 0): None,
    }
    assert found.backward is not None
    assert found.backward.median == found.backward_sum == 240  # 10 + 2 x 80 + 70


def test_what_marks_cost_is_taken_off_and_said() -> None:
    found = profiled(nn.Sequential(Layer(3), Layer(4)))
    # begin and end, the network's own two, two for each layer, product and copy: 4 + 2 x 6 = 16 marks, 15 segments
    assert found.measuring == 15 * CLOCK.cost


class Nested(nn.Module):
    """A tree of layers: a number is one that takes so long, a list a container with as much of its own as it holds."""

    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Layer(part) if isinstance(part, int) else Nested(part) for part in parts)

    def forward(self, x: Tensor) -> Tensor:
        CLOCK.now += len(self.parts)
        for part in self.parts:
            x = part(x)
        return x


trees = st.recursive(st.integers(0, 9), lambda inner: st.lists(inner, min_size=1, max_size=3), max_leaves=6)


def total(tree: Any) -> int:
    return tree if isinstance(tree, int) else len(tree) + sum(map(total, tree))


@settings(max_examples=10, deadline=None)
@given(st.lists(trees, min_size=1, max_size=3))
def test_rows_and_rests_partition_the_pass(tree: Any) -> None:
    found = profiled(Nested(tree))
    assert found.forward.median == pytest.approx(total(tree))
    assert found.forward_sum == pytest.approx(total(tree))
    open_rows: list[tuple[LayerTime, float]] = []
    for layer in [*found.layers, None]:
        while open_rows and (layer is None or open_rows[-1][0].depth >= layer.depth):
            holder, inside = open_rows.pop()
            assert holder.forward is not None
            rest = holder.rest.median if holder.rest else holder.forward.median - inside
            assert holder.forward.median == pytest.approx(rest + inside)
            if open_rows:
                open_rows[-1] = open_rows[-1][0], open_rows[-1][1] + holder.forward.median
        if layer is not None:
            open_rows.append((layer, 0.0))


def test_a_layer_that_is_the_network_has_its_row() -> None:
    found = profiled(nn.Linear(2, 2))
    assert medians(found) == {("", 1): 0}
    assert [layer.bytes for layer in found.layers] == [4 * (2 + 2 + 4 + 2)]  # input, output, weight, bias
    assert [layer.flops for layer in found.layers] == [2 * 2 * 2]


class Tied(nn.Module):
    """Views of parameters have no row; the operation behind them has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 2))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight.t())
        turned = y.t()
        return F.relu(turned.t() @ self.weight.t())


def test_operations_find_their_rows() -> None:
    found = profiled(Tied(), shape=(4, 3))
    assert {layer.path: layer.forward is not None for layer in found.layers} == dict.fromkeys(
        [layer.path for layer in found.trace.layers], True
    )


def test_bytes_are_those_that_have_to_move() -> None:
    network = nn.Sequential(
        nn.Embedding(1000, 8), nn.Flatten(), nn.Dropout(), nn.Linear(16, 4), nn.ReLU(inplace=True)
    ).eval()
    found = archlab.profile(network, ["3x2:int64"], repeats=5, machine=MACHINE, clock=CLOCK)
    assert [layer.bytes for layer in found.layers] == [
        3 * 2 * 8 + 2 * 3 * 2 * 8 * 4,  # the indices; the rows that are looked up, read and written
        0,  # a view
        0,  # nothing is dropped in evaluation
        4 * (3 * 16 + 16 * 4 + 4 + 3 * 4),
        4 * 2 * 3 * 4,  # read and written in place
    ]


def test_torchs_attention_is_one_row() -> None:
    network = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    found = profiled(nn.Sequential(network), shape=(1, 4, 8))
    times = {layer.path: layer.forward is not None for layer in found.layers}
    assert times["0"]
    assert not times["0.self_attn"], "its fast path calls no module inside"


def test_modes_and_options_are_said() -> None:
    found = archlab.profile("lenet", repeats=5, machine=MACHINE, clock=CLOCK, device="cpu", norm="none")
    assert (found.mode, found.repeats, found.options) == ("evaluation", 5, {"norm": "none"})
    training = archlab.profile("lenet", batch=2, backward=True, repeats=5, machine=MACHINE, clock=CLOCK, device="cpu")
    assert training.mode == "training"
    assert training.inputs[0][0] == 2


def test_the_trace_of_a_source_with_times() -> None:
    found = timed_trace("lenet", device="cpu", columns=["saved"])
    assert all((layer.seconds or 0) > 0 for layer in found.layers)
    assert found.totals.saved_bytes


class Noisy(nn.Module):
    """Draws, counts, keeps statistics, and fails when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.drop = nn.Dropout()
        self.passes = 0
        self.fails_at = -1

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.passes == self.fails_at:
            raise ValueError("enough")
        random.random()
        out: Tensor = self.drop(self.norm(x))
        return out


@pytest.mark.parametrize("fails_at", [-1, 3])
def test_the_network_is_left_as_it_was(fails_at: int) -> None:
    network = Noisy().train()
    network.fails_at = fails_at
    weight, before = network.norm.weight, {name: item.clone() for name, item in network.state_dict().items()}
    states = torch.get_rng_state(), random.getstate()
    if fails_at < 0:
        profiled(network, backward=True, shape=(4, 2))
    else:
        with pytest.raises(ForwardError, match=r"can't be run in training mode on cpu: ValueError: enough"):
            profiled(network, backward=True, shape=(4, 2))
    assert network.norm.weight is weight
    assert weight.grad is None
    assert network.passes == 0
    assert all(torch.equal(item, before[name]) for name, item in network.state_dict().items())
    assert not any("forward" in vars(module) for module in network.modules())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]


class Alternating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.ReLU(), nn.Tanh()])
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        out: Tensor = self.layers[self.passes % 3 == 0](x)
        return out


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.stem = Layer(1, 10)
        self.layers = nn.Sequential(Layer(3, 30), Layer(4, 40))
        self.reentrant = reentrant

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = checkpoint(self.layers, self.stem(x), use_reentrant=self.reentrant)
        return out


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # while it is traced
@pytest.mark.parametrize(
    ("reentrant", "seconds"),
    [(True, 87), (False, 83)],  # 10 + 30 + 40 and again 3 + 4; the newer way stops before the last operation
)
def test_what_a_checkpoint_computes_again_is_part_of_the_backward_pass(reentrant: bool, seconds: float) -> None:
    found = profiled(Checkpointed(reentrant), backward=True)
    assert medians(found)["layers", 1] == 7
    assert found.backward is not None
    assert found.backward.median == found.backward_sum == seconds


@pytest.mark.parametrize(
    ("network", "settings", "message"),
    [
        (nn.Linear(2, 2), {"repeats": 4}, "repeats is 4: a median with its quartiles needs 5 or more"),
        (nn.Linear(2, 2), {"device": "toaster"}, "there is no device 'toaster' on this machine"),
        (nn.ReLU(), {"backward": True}, "no output of ReLU has a gradient"),
        (Alternating(), {}, "doesn't call the same layers in each pass"),
        (nn.Linear(2, 2), {"batch": 0}, "the batch is 0"),
    ],
)
def test_what_can_not_be_measured(network: nn.Module, settings: dict[str, Any], message: str) -> None:
    with pytest.raises((InputError, ForwardError), match=message):
        archlab.profile(network, [(1, 2)], **{"repeats": 5, "machine": MACHINE, "clock": CLOCK, **settings})


def test_a_batch_of_one_in_training_says_what_to_do() -> None:
    with pytest.raises(ForwardError, match=r"training mode on cpu: ValueError: .*: take a larger batch"):
        profiled(nn.Sequential(nn.BatchNorm1d(2)), backward=True)


def test_what_does_not_fit_is_refused_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    from archlab.profiling import subject

    monkeypatch.setattr(subject, "free_bytes", lambda device: 10**5)
    with pytest.raises(ForwardError, match=r"lenet takes about 0\.0 GB to be run on cpu .*, and 0\.0 GB are free"):
        archlab.profile("lenet", device="cpu")


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    archlab.profile(
        nn.Linear(2, 2), [(1, 2)], repeats=5, machine=MACHINE, clock=CLOCK, progress=lambda *done: told.append(done)
    )
    assert told == [(done, 5) for done in range(1, 6)]


def test_a_profile_survives_json() -> None:
    found = profiled(Block(), backward=True)
    assert Profile.from_json(found.to_json()) == found
    assert found.to_dict()["schema"] == "archlab.profile/1"
    assert "first" in found._repr_html_()


@pytest.mark.parametrize("cost", [0.0, 0.5])
def test_rows_of_a_device_are_its_own_time(cost: float) -> None:
    clock = QueueClock(cost)
    network = nn.Sequential(Kernel(clock, 3, 1), Kernel(clock, 3, 2))
    found = archlab.profile(network, [(1, 2)], repeats=5, machine=MACHINE, clock=clock)
    rows = {layer.path: layer.forward.median for layer in found.layers if layer.forward and "." not in layer.path}
    assert found.queued
    assert {path: seconds for path, seconds in rows.items() if path in ("0", "1")} == {"0": 1, "1": 2}
    assert found.forward_sum == 3
    assert found.forward.median == pytest.approx(8)  # 3 to ask, 3 to ask again while the first is done, 2


@pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS")  # autograd's thread is new to the device
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_is_timed_by_its_own_clock() -> None:
    found = archlab.profile("lenet", batch=64, backward=True, repeats=5, device="cuda")
    assert found.machine.device.startswith("cuda")
    assert found.machine.flops.best > 1e11
    assert all(layer.forward is not None and layer.forward.median >= 0 for layer in found.outermost)
