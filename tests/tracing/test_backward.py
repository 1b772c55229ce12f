"""The MACs of the backward pass, against what torch's own counter sees of training steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision.models as zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from archlab.errors import ForwardError
from archlab.records import Trace
from archlab.tables.trace import footer
from archlab.tracing import trace
from archlab.tracing.measurement import prepare
from archlab.tracing.pytree import tensors


def followed(network: nn.Module, *shapes: Any) -> Trace:
    """The trace with its backward pass, once its rows sum to its totals, and say of all else what they say without."""
    found = trace(network, list(shapes), columns=["backward"])
    totals = found.totals
    usual = trace(network, list(shapes), columns=["saved"])
    without: dict[str, Any] = {"backward_macs": None, "recomputed_macs": None}
    assert [replace(layer, **without) for layer in found.layers] == [
        replace(layer, saved_bytes=None) for layer in usual.layers
    ]
    assert sum(layer.backward_macs or 0 for layer in found.rows(1)) == totals.backward_macs
    assert sum(layer.recomputed_macs or 0 for layer in found.rows(1)) == totals.recomputed_macs
    assert totals.step_macs == totals.macs + (totals.backward_macs or 0) + (totals.recomputed_macs or 0)
    return found


def really_run(network: nn.Module, *inputs: Tensor) -> tuple[int, int]:
    """MACs of a forward and backward pass, as torch's counter has them; attention by plain products."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        results = [result for result in tensors(network(*inputs)) if result.requires_grad]
        forward = counter.get_total_flops()
        if results:
            torch.autograd.backward(results, [torch.ones_like(result) for result in results])
    return forward // 2, (counter.get_total_flops() - forward) // 2


class Function(nn.Module):
    """Two linear layers of 4 to 4 features, and a function of both results."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.left(x), self.right(x))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.inner, self.head = nn.Linear(8, 8), nn.Linear(8, 50, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, ids: Tensor) -> Any:
        return self.head(self.inner(self.embedding(ids.long())))


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Any:
        return self.layer(F.relu(self.layer(x)))


def frozen(network: nn.Module, *names: str) -> nn.Module:
    """The same network, with those of its children frozen."""
    for name in names:
        network.get_submodule(name).requires_grad_(False)
    return network


STEPS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "convolution": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 4, 1)), (2, 3, 9, 9)),
    "transposed": (lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.ConvTranspose1d(8, 4, 3, 2)), (2, 3, 9)),
    "transposed first": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, 2)), (2, 3, 5, 5)),
    "volume": (lambda: nn.Sequential(nn.Conv3d(1, 2, 2), nn.MaxPool3d(2), nn.Conv3d(2, 2, 1)), (1, 1, 5, 5, 5)),
    "linear": (lambda: nn.Sequential(nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 7)), (2, 3, 5)),
    "bmm": (lambda: Function(lambda a, b: torch.bmm(a, b.transpose(1, 2))), (2, 5, 4)),
    "in place": (lambda: Function(lambda a, b: a.add_(b).relu_() @ b.mT), (2, 5, 4)),
    "a part in place": (lambda: Function(lambda a, b: (a[:, :2].mul_(2), a @ b.mT)[1]), (2, 5, 4)),
    "two results": (lambda: Function(lambda a, b: {"a": a, "b": [b, b.argmax()]}), (2, 4)),
    "detached": (lambda: Function(lambda a, b: a.detach() @ b.mT), (2, 5, 4)),
    "without gradients": (lambda: Function(torch.no_grad()(lambda a, b: a @ b.mT)), (2, 5, 4)),
    "normalised": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout()), (2, 3, 5, 5)),
    "embedding, tied": (Tied, (2, 5)),
    "twice": (Twice, (2, 8)),
    "frozen first": (lambda: frozen(nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 7)), "0"), (2, 5)),
    "frozen in the middle": (
        lambda: frozen(nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 7), nn.Linear(7, 8)), "1"),
        (2, 5),
    ),
    "all frozen": (lambda: frozen(nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 7)), "0", "1"), (2, 5)),
}


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("training", [True, False])
def test_a_training_step_as_torch_counts_it(name: str, training: bool) -> None:
    make, shape = STEPS[name]
    network = make().train(training)
    found = followed(network, torch.zeros(shape))
    assert (found.totals.macs, found.totals.backward_macs) == really_run(network, torch.zeros(shape))
    assert found.totals.recomputed_macs == 0
    assert found.totals.uncounted_backward_operations == {}


LAYERS = st.sampled_from(["conv", "pointwise", "transposed", "norm", "relu", "pool", "frozen", "upsample"])


def sequential(names: list[str], channels: int) -> nn.Sequential:
    made: list[nn.Module] = []
    for name in names:
        match name:
            case "conv":
                made.append(nn.Conv2d(channels, channels + 1, 3, padding=1))
                channels += 1
            case "pointwise":
                made.append(nn.Conv2d(channels, channels, 1, bias=False))
            case "transposed":
                made.append(nn.ConvTranspose2d(channels, channels, 2, 2))
            case "norm":
                made.append(nn.BatchNorm2d(channels))
            case "relu":
                made.append(nn.ReLU(inplace=bool(made) and not isinstance(made[-1], nn.ReLU)))
            case "pool":
                made.append(nn.MaxPool2d(2, ceil_mode=True))
            case "frozen":
                made.append(nn.Conv2d(channels, channels, 3, padding=1).requires_grad_(False))
            case "upsample":
                made.append(nn.Upsample(scale_factor=2))
    return nn.Sequential(*made, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3))


@settings(max_examples=40, deadline=None)
@given(names=st.lists(LAYERS, max_size=5), channels=st.integers(1, 4), batch=st.integers(1, 3))
def test_random_networks_as_torch_counts_them(names: list[str], channels: int, batch: int) -> None:
    network = sequential(names, channels).eval()
    found = followed(network, (batch, channels, 8, 8))
    steps = really_run(network, torch.zeros(batch, channels, 8, 8))
    assert (found.totals.macs, found.totals.backward_macs) == steps


@pytest.mark.parametrize("name", ["densenet121", "vgg11", "swin_t", "squeezenet1_0"])
def test_torchvision_networks_as_torch_counts_them(name: str) -> None:
    with torch.device("meta"):
        network, image = zoo.get_model(name, weights=None).eval(), torch.zeros(1, 3, 64, 64)
    found = followed(network, (1, 3, 64, 64))
    assert (found.totals.macs, found.totals.backward_macs) == really_run(network, image)


def test_resnet_18_takes_twice_its_forward_pass_but_for_the_image() -> None:
    found = trace("torchvision:resnet18", columns=["backward"])
    conv1 = 118_013_952  # 112 * 112 positions * 64 * 3 * 7 * 7
    assert found.totals.macs == 1_814_073_344
    assert found.totals.backward_macs == 2 * 1_814_073_344 - conv1
    assert found.totals.step_macs == 3 * 1_814_073_344 - conv1
    assert "Training step: forward 1,814,073,344 + backward 3,510,132,736 = 5,324,206,080 MACs." in footer(found)
    assert [layer.path for layer in found.layers if layer.backward_macs != 2 * layer.macs] == ["conv1"]


def test_a_frozen_first_stage_has_no_backward_pass() -> None:
    network = frozen(zoo.resnet18(), "conv1", "bn1", "layer1")
    found = followed(network, (1, 3, 64, 64))
    rows = {layer.path: (layer.macs, layer.backward_macs) for layer in found.layers}
    assert rows["layer1"][1] == rows["conv1"][1] == 0
    # layer2.0 takes what needs no gradient twice: conv1 and the shortcut have that of their weights alone
    assert rows["layer2.0.conv1"][0] == rows["layer2.0.conv1"][1] != 0
    assert rows["layer2.0.downsample.0"][0] == rows["layer2.0.downsample.0"][1] != 0
    assert rows["layer2.0.conv2"][1] == 2 * rows["layer2.0.conv2"][0]


def test_where_everything_is_frozen_it_is_said() -> None:
    found = followed(frozen(zoo.resnet18(), ""), (1, 3, 64, 64))
    assert (found.totals.backward_macs, found.totals.step_macs) == (0, found.totals.macs)
    assert "No result depends on a trainable parameter: there is no backward pass, and its MACs are 0." in found.notes


# Where torch's counter is wrong, or knows nothing: sums


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_are_as_many_convolutions_side_by_side(groups: int) -> None:
    """torch's counter takes the gradient of a grouped weight for that of a full one."""
    network = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3, groups=groups))
    # 64 * 4 * 4 for the first weight, 2 * 36 * 8 * 4 / groups * 9 for the second layer
    assert followed(network, (1, 4, 8, 8)).totals.backward_macs == 1024 + 2 * 36 * 8 * (4 // groups) * 9


@pytest.mark.parametrize(
    ("options", "products"),
    [({}, 5), ({"is_causal": True}, 5), ({"attn_mask": torch.zeros(6, 6)}, 5), ({"dropout_p": 0.1}, 4)],
    ids=str,
)
def test_attention_computes_its_scores_again(options: dict[str, Any], products: int) -> None:
    """Five products of 2 * 2 * 6 * 6 * 2 = 288 MACs where a fused kernel can stand in, else four; forward two."""

    def attend(query: Tensor, key: Tensor) -> Tensor:
        queries, keys = (item.view(2, 6, 2, 2).transpose(1, 2) for item in (query, key))
        return F.scaled_dot_product_attention(queries, keys, keys, **options)

    found = followed(Function(attend), (2, 6, 4))
    row = found.layers[-1]
    assert (row.kind, row.macs, row.backward_macs) == ("scaled_dot_product_attention", 2 * 288, products * 288)
    assert found.totals.backward_macs == products * 288 + 2 * 12 * 4 * 4  # and the weights of two linear layers


def test_lstm() -> None:
    """Twice the forward pass but for what is constant: the input and the first state have no gradient."""
    found = followed(nn.LSTM(32, 64), (10, 1, 32))
    gates = 4 * 64
    assert found.totals.macs == 10 * gates * (32 + 64) == 245_760
    assert found.totals.backward_macs == 2 * 245_760 - 10 * gates * 32 - gates * 64


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN, nn.LSTM])
def test_recurrent_layers_in_every_way(kind: type[nn.Module]) -> None:
    network = kind(5, 6, num_layers=2, bidirectional=True)
    found = followed(network, (7, 2, 5))
    gates = {"GRU": 3, "RNN": 1, "LSTM": 4}[kind.__name__] * 6
    first = 7 * 2 * gates * 5
    states = 2 * gates * 6
    assert found.totals.backward_macs == 2 * found.totals.macs - 2 * first - 4 * states  # per direction, per layer
    real = prepare(network, [(7, 2, 5)], None, {}, ["backward"]).run("all")
    assert real.totals == found.totals


@pytest.mark.parametrize(
    ("function", "macs", "backward"),
    [
        # x of 3 rows and 4 features: 3 * 4 * 4 = 48 for each linear layer's weights
        (lambda a, b: torch.mv(a, b[0]), 12, 24),
        (lambda a, b: torch.dot(a[0], b[0]), 4, 8),
        (lambda a, b: torch.einsum("bi,ci->bc", a, b), 36, 72),
        (lambda a, b: torch.einsum("bi,bj->bij", a, b), 0, 96),  # nothing is summed; its gradients are
        (lambda a, b: torch.addmm(a[:, :3], a, b.T, alpha=2), 36, 72),
        (lambda a, b: torch.complex(a, b) @ torch.complex(b, a).T, 4 * 36, 4 * 72),
        (lambda a, b: torch.cdist(a, b), 0, 0),
    ],
)
def test_products(function: Callable[..., Tensor], macs: int, backward: int) -> None:
    found = followed(Function(function), (3, 4))
    assert found.totals.macs == macs + 2 * 48
    assert found.totals.backward_macs == backward + 2 * 48


def test_a_complex_convolution_is_four_real_ones() -> None:
    class Complex(nn.Sequential):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x.to(torch.complex64))  # type: ignore[no-untyped-call]

    layers = [nn.Conv1d(2, 3, 3, dtype=torch.complex64), nn.Conv1d(3, 3, 1, dtype=torch.complex64)]
    found = followed(Complex(*layers), (1, 2, 6))
    first, second = 4 * 4 * 3 * 2 * 3, 4 * 4 * 3 * 3
    assert found.totals.macs == first + second
    assert found.totals.backward_macs == first + 2 * second


def test_a_function_of_ones_own_has_its_gradients_in_its_product() -> None:
    class Rectified(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            ctx.save_for_backward(x, weight)
            return x.relu() @ weight

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
            x, weight = ctx.saved_tensors
            return gradient @ weight.T * (x > 0), x.relu().T @ gradient

    found = followed(Function(lambda a, b: Rectified.apply(a, b[:4])), (6, 4))
    rows = {layer.path: layer.backward_macs for layer in found.layers}
    # x of 6 rows and 4 features: 6 * 4 * 4 = 96 for a layer's weights, and for either gradient of the function
    assert (rows["left"], rows["right"], rows["relu"], rows["matmul"]) == (96, 96, 0, 2 * 96)


def test_parameters_in_a_plain_list_inside_a_checkpoint() -> None:
    class Loose(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.rest = nn.Linear(4, 4), [nn.Linear(4, 4), nn.Linear(4, 4)]

        def forward(self, x: Tensor) -> Any:
            return checkpoint(nn.Sequential(*self.rest), self.first(x), use_reentrant=False)

    network = Loose()
    found = followed(network, (2, 4))
    assert found.totals.backward_macs == 32 + 2 * 64
    assert found.totals.recomputed_macs == 32
    for layer in network.rest:
        assert (layer.weight.grad, layer.weight.__dict__, layer.bias.__dict__) == (None, {}, {})


def test_what_has_no_formula_is_named() -> None:
    found = followed(Function(lambda a, b: torch.linalg.qr(a).R), torch.zeros(4, 4))
    assert found.totals.uncounted_backward_operations == {"aten::linalg_solve_triangular": 1}
    lines = footer(found)
    expected = "MACs at least: in the backward pass without a formula: aten::linalg_solve_triangular (1)."
    assert any(expected in line for line in lines)


def test_the_connectionist_loss_has_no_products() -> None:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        scores = a.log_softmax(-1)[:, None]
        return F.ctc_loss(scores, torch.ones(1, 2), torch.tensor([3]), torch.tensor([2]))

    totals = followed(Function(loss), torch.zeros(3, 4)).totals
    assert (totals.macs, totals.backward_macs) == (2 * 3 * 4 * 4, 3 * 4 * 4)  # those of the layers that give a and b
    assert (totals.uncounted_operations, totals.uncounted_backward_operations) == ({}, {})
    # softmax 5 * 3 * 4; 3 steps of 2 * 2 + 1 states, 4 each; and what the mean over the batch takes
    assert totals.elementwise >= 60 + 60


# What is left as it was


def test_gradients_that_are_there_stay() -> None:
    class Loose(nn.Module):
        """Holds a parameter in a way that nothing registers."""

        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return (
                self.layer(x) @ outside * loose if self.layer(x).sum() < 99 else x
            )  # asks for values: runs on the CPU

    outside, loose = nn.Parameter(torch.ones(4, 4)), torch.ones(4, requires_grad=True)
    network = Loose()
    for tensor in (outside, loose, network.layer.weight):
        tensor.grad = torch.full_like(tensor, 7.0)
    kept = [tensor.grad for tensor in (outside, loose, network.layer.weight)]
    found = followed(network, torch.zeros(2, 4))
    assert any("real arithmetic" in note for note in found.notes)
    assert found.totals.backward_macs == 32 + 2 * 32  # the layer's weight, and both gradients of the product
    for tensor, gradient in zip((outside, loose, network.layer.weight), kept, strict=True):
        assert gradient is not None
        assert tensor.grad is gradient
        assert torch.equal(gradient, torch.full_like(tensor, 7.0))
    assert network.layer.bias.grad is None


def test_a_backward_pass_that_fails_says_so() -> None:
    def change(a: Tensor, b: Tensor) -> Tensor:
        result = a.sigmoid()
        product = result * b
        result.add_(1)  # sigmoid's gradient needs what it gave
        return product

    network = Function(change)
    with pytest.raises(ForwardError, match="the backward pass fails: one of the variables needed for gradient"):
        trace(network, [(2, 4)], columns=["backward"])
    assert trace(network, [(2, 4)]).totals.backward_macs is None


def test_nothing_is_said_where_nobody_asked_or_the_forward_pass_failed() -> None:
    found = trace("lenet")
    assert (found.totals.backward_macs, found.totals.step_macs, found.layers[0].backward_macs) == (None, None, None)
    with pytest.raises(ForwardError) as caught:
        trace(nn.Sequential(nn.Linear(3, 4), nn.Linear(5, 6)), [(1, 3)], columns=["backward"])
    assert caught.value.trace.totals.backward_macs is None
