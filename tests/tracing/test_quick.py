"""Shape functions give the same rows as torch itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.records import Trace
from archlab.tracing import trace
from archlab.tracing.forward.call_tree import Call, CallTree
from archlab.tracing.measurement import Measurement, prepare
from archlab.tracing.quick import shape_function

ZOO = [
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t"),
    *("mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5"),
    *(
        "squeezenet1_0",
        "swin_t",
        "swin_v2_t",
        "vgg11_bn",
        "vit_b_32",
        "r3d_18",
        "mvit_v1_b",
        "lraspp_mobilenet_v3_large",
    ),
]


def both(measurement: Measurement) -> tuple[Trace, Trace]:
    return measurement.run("known", quick=True), measurement.run("known")


def assert_equal(quick: Trace, slow: Trace) -> None:
    for one, other in zip(quick.layers, slow.layers, strict=True):
        assert one == other
    assert quick == slow


@pytest.mark.parametrize("name", ["lenet", "resnet", "densenet", "resnet20", "plain20", "densenet121"])
def test_own_networks(name: str) -> None:
    assert_equal(*both(prepare(name, None, None, {})))


@pytest.mark.parametrize("name", ZOO)
def test_torchvision_in_evaluation(name: str) -> None:
    assert_equal(*both(prepare(f"torchvision:{name}", None, None, {})))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "vit_b_32", "swin_t"])
def test_torchvision_in_training(name: str) -> None:
    measurement = prepare(f"torchvision:{name}", None, 2, {})
    measurement.network.train()
    assert_equal(*both(measurement))


SHAPE = (2, 4, 6, 8)
MODULES: list[tuple[nn.Module, tuple[int, ...]]] = [
    *[(kind(), SHAPE) for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.Hardswish, nn.Hardsigmoid, nn.SiLU)],
    *[(kind(), SHAPE) for kind in (nn.Hardtanh, nn.Mish, nn.GELU, nn.Sigmoid, nn.Tanh)],
    (nn.ReLU(inplace=True), SHAPE),
    (nn.Softmax(1), SHAPE),
    (nn.LogSoftmax(-1), SHAPE),
    (nn.Dropout(0.5), SHAPE),
    (nn.Dropout(0.0), SHAPE),
    (nn.Dropout(0.5, inplace=True), SHAPE),
    (nn.Dropout2d(0.5).eval(), SHAPE),
    (nn.Conv2d(4, 6, 3, padding="same"), SHAPE),
    (nn.Conv2d(4, 6, (3, 5), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), SHAPE),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), SHAPE),
    (nn.Conv2d(4, 6, 3), (4, 6, 8)),
    (nn.Conv1d(4, 6, 3, groups=2), (2, 4, 9)),
    (nn.Conv3d(4, 6, 3), (2, 4, 5, 6, 7)),
    (nn.Linear(8, 3), SHAPE),
    (nn.Linear(8, 3), (8,)),
    (nn.BatchNorm2d(4), SHAPE),
    (nn.BatchNorm2d(4, track_running_stats=False).eval(), SHAPE),
    (nn.BatchNorm1d(4), (3, 4)),
    (nn.BatchNorm3d(4), (2, 4, 3, 3, 3)),
    (nn.GroupNorm(2, 4), SHAPE),
    (nn.LayerNorm((6, 8)), SHAPE),
    (nn.RMSNorm(8), SHAPE),
    (nn.RMSNorm(8, elementwise_affine=False), SHAPE),
    (nn.MaxPool2d(3, 2, ceil_mode=True), SHAPE),
    (nn.MaxPool2d(2, 2, 1, 2), (2, 4, 9, 9)),
    (nn.AvgPool2d(3, 2, 1, ceil_mode=True), SHAPE),
    (nn.AvgPool2d((2, 3)), (4, 6, 9)),
    (nn.MaxPool1d(2), (2, 4, 9)),
    (nn.AvgPool1d(2), (2, 4, 9)),
    (nn.AvgPool3d(2), (2, 4, 4, 6, 8)),
    (nn.AdaptiveAvgPool2d((None, 3)), SHAPE),
    (nn.AdaptiveAvgPool2d(1), SHAPE),
    (nn.AdaptiveAvgPool1d(2), (2, 4, 9)),
    (nn.Flatten(), SHAPE),
    (nn.Identity(), SHAPE),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), SHAPE),
    (nn.LSTM(8, 5, bidirectional=True, num_layers=2), (3, 2, 8)),
    (nn.LSTM(8, 5, proj_size=3, batch_first=True), (3, 2, 8)),
    (nn.GRU(8, 5), (3, 8)),
    (nn.RNN(8, 5, nonlinearity="relu"), (3, 2, 8)),
    (nn.LSTMCell(8, 5), (3, 8)),
    (nn.GRUCell(8, 5), (8,)),
    (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 5, 8)),
    (nn.TransformerDecoderLayer(8, 2, 16).eval(), (2, 5, 8)),
]


RUN_MODULES: list[tuple[nn.Module, tuple[int, ...]]] = [
    *[(kind(), SHAPE) for kind in (nn.Softplus, nn.PReLU, nn.SELU, nn.CELU, nn.LogSigmoid, nn.Softsign)],
    *[(kind(), SHAPE) for kind in (nn.Tanhshrink, nn.Hardshrink, nn.Softshrink)],
    (nn.Dropout(1.0), SHAPE),
    (nn.Dropout2d(0.5), SHAPE),
    (nn.InstanceNorm2d(4, affine=True), SHAPE),
    (nn.LocalResponseNorm(3), SHAPE),
    (nn.MaxPool2d(2, return_indices=True), SHAPE),
    (nn.AdaptiveMaxPool2d(2), SHAPE),
    (nn.Unflatten(1, (2, 2)), SHAPE),
    (nn.PixelShuffle(2), SHAPE),
    (nn.Upsample(scale_factor=2, mode="bilinear"), SHAPE),
]
"""Those without a shape function, or called in a way that it doesn't know: torch runs them."""


@pytest.fixture
def run_kinds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of rows for which nothing stood while shape functions might, so that torch ran them."""
    kinds: list[str] = []
    count = CallTree.count

    def heard(tree: CallTree, call: Call, *rest: Any) -> Any:
        if tree.quick:
            kinds.append(call.kind)
        return count(tree, call, *rest)

    monkeypatch.setattr(CallTree, "count", heard)
    return kinds


def layer_measurement(layer: nn.Module, shape: tuple[int, ...]) -> Measurement:
    if isinstance(layer, nn.TransformerDecoderLayer):
        return prepare(layer, [shape, shape], None, {})
    return prepare(nn.Sequential(nn.Identity(), layer), [shape], None, {})


@pytest.mark.parametrize(("layer", "shape"), MODULES, ids=lambda value: str(value)[:50])
def test_layers(layer: nn.Module, shape: tuple[int, ...], run_kinds: list[str]) -> None:
    quick, slow = both(layer_measurement(layer, shape))
    assert run_kinds == []
    assert_equal(quick, slow)
    assert quick.totals.uncounted_operations == {}


@pytest.mark.parametrize(("layer", "shape"), RUN_MODULES, ids=lambda value: str(value)[:50])
def test_layers_that_torch_runs(layer: nn.Module, shape: tuple[int, ...], run_kinds: list[str]) -> None:
    measurement = layer_measurement(layer, shape)
    quick, real = measurement.run("known", quick=True), measurement.run("all")
    assert run_kinds == [type(layer).__name__]
    assert_equal(quick, real)
    assert quick.totals.uncounted_operations == {}


FUNCTIONS: list[Callable[[Tensor], Any]] = [
    *(F.relu, F.gelu, F.silu, F.hardswish, F.relu6, F.leaky_relu, F.hardsigmoid, F.elu, F.mish),
    *(torch.sigmoid, torch.tanh, torch.exp, torch.rsqrt, torch.sqrt, torch.abs, torch.neg, torch.sin, torch.cos),
    *(torch.log, torch.erf, torch.reciprocal, torch.square, torch.relu),
    lambda x: F.relu(x, inplace=True),
    lambda x: x.sigmoid_(),
    lambda x: x + 1,
    lambda x: 1 - x,
    lambda x: 2 / x,
    lambda x: x**2,
    lambda x: x + x[:, :1],
    lambda x: x[0] * x,
    lambda x: x.permute(0, 2, 3, 1) * 2,
    lambda x: x.add_(1).mul_(x),
    lambda x: x.mul_(x[:1].clone()),
    lambda x: x.half() + x,
    lambda x: x == 0,
    lambda x: x.masked_fill(x > 0, 1.0),
    lambda x: torch.cat([x, x[:, :2]], 1),
    lambda x: torch.cat((x, x), dim=-1),
    lambda x: torch.stack([x, x], -1),
    lambda x: x @ x.transpose(-1, -2),
    lambda x: torch.bmm(x[0], x[1].mT),
    lambda x: torch.mm(x[0, 0], x[1, 1].mT),
    lambda x: F.hardtanh(x, -2.0, 2.0),
    lambda x: F.hardtanh(x, inplace=True),
    lambda x: F.softmax(x, -1),
    lambda x: x.softmax(dim=1),
    lambda x: F.layer_norm(x, (8,)),
    lambda x: F.rms_norm(x, (8,)),
    lambda x: F.batch_norm(x, None, None, training=True),
    lambda x: F.dropout(x, 0.5, training=True),
    lambda x: F.dropout(x, 0.5, training=False),
    lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    lambda x: F.scaled_dot_product_attention(x, x[:, :1], x[:, :1]),
    lambda x: F.scaled_dot_product_attention(x, x[:, :2], x[:, :2], enable_gqa=True),
    lambda x: x.mean((2, 3)),
    lambda x: x.mean(-1, keepdim=True),
    lambda x: x.sum(),
    lambda x: torch.roll(x, (1, 2), (2, 3)),
    lambda x: F.pad(x, (1, 2, 0, 1)),
    lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    lambda x: x.clamp(0, 1),
    lambda x: x.clamp_(min=0),
    lambda x: F.normalize(x, dim=1),
    lambda x: F.max_pool2d(x, 2),
    lambda x: F.avg_pool2d(x, 3, 1, 1),
    lambda x: F.adaptive_avg_pool2d(x, (1, 1)),
    lambda x: F.adaptive_avg_pool2d(x, 2),
    lambda x: x.permute(0, 2, 3, 1).contiguous(),
    lambda x: x.permute(0, 2, 3, 1).flatten(1),
    lambda x: x.transpose(1, 2).reshape(2, -1),
    lambda x: x.reshape(-1, 8).clone(),
    lambda x: x.view(2, -1).unsqueeze(1).expand(2, 3, -1),
    lambda x: x.chunk(2, 1)[0] + torch.split(x, [1, 3], 1)[1][:, :2],
    lambda x: x.unbind(0),
    lambda x: x.repeat_interleave(3, 1),
    lambda x: x.repeat(2, 1, 1, 1, 3),
    lambda x: torch.outer(torch.arange(3.0, device=x.device), torch.ones(4, device=x.device)) * x.sum(),
    lambda x: torch.tril(torch.ones(8, 8, device=x.device)) * x[:, :1, :1],
    lambda x: torch.zeros((2, 1, 1, 8), dtype=x.dtype, device=x.device) + x,
    lambda x: F.gelu(x, approximate="tanh"),
    lambda x: F.group_norm(x, 2),
    lambda x: F.batch_norm(x, torch.zeros(4), torch.ones(4)),
    lambda x: torch.einsum("bchw,bchw->bc", x, x),
    lambda x: torch.einsum("bchw,cd->bdhw", x, torch.zeros(4, 5)),
    lambda x: torch.einsum("...hw,...hw->...", x, x),
    lambda x: x[torch.zeros(3, 5, dtype=torch.long)],
    lambda x: x[None, :, -1],
    lambda x: [part.sum() for part in x],
    lambda x: x.new_zeros(3, 3) + x.sum(),
    lambda x: torch.zeros_like(x) + x,
    lambda x: torch.cumsum(x, 1),
    lambda x: torch.einsum("bchw,bdhw->bcd", x, x),
    lambda x: x.type_as(x.half()),
    lambda x: x.T if x.dim() == 2 else x.mT,
    lambda x: F.conv2d(x, torch.zeros(3, 4, 3, 3), stride=2, padding=1),
    lambda x: F.linear(x, torch.zeros(5, 8), torch.zeros(5)),
    lambda x: F.embedding(torch.zeros(2, 3, dtype=torch.long), x[0, 0]),
    lambda x: torch.arange(2, 9, 3, dtype=x.dtype, device=x.device) + x.sum(),
    lambda x: F.conv_transpose2d(x, torch.zeros(4, 3, 3, 3), stride=2, output_padding=1),
    lambda x: F.max_pool1d(x[0], 2) + F.avg_pool1d(x[0], 2) + F.adaptive_avg_pool1d(x[0], 4),
    lambda x: F.silu(x, True).add_(x),
    lambda x: F.one_hot((x > 0).long(), 2),
    lambda x: x.to(torch.float64).to(x),
    lambda x: torch.gather(x, 1, torch.zeros(2, 1, 6, 8, dtype=torch.long)),
    lambda x: torch.index_select(x, -1, torch.tensor([0, 2, 1])),
    lambda x: x.index_select(1, torch.tensor(3)),
    lambda x: torch.zeros_like(x).scatter_add_(1, torch.zeros(2, 4, 6, 8, dtype=torch.long), x),
    lambda x: x.scatter_add(0, torch.zeros(1, 4, 6, 8, dtype=torch.long), x),
    lambda x: torch.scatter_reduce(x, 1, torch.zeros(2, 1, 6, 8, dtype=torch.long), x, "amax"),
    lambda x: x.scatter_reduce_(0, torch.zeros(1, 4, 6, 8, dtype=torch.long), x * 2, "mean", include_self=False),
    lambda x: (x, x == None)[0],  # noqa: E711
    lambda x: x[:, torch.tensor([0, 1])],
    lambda x: x[..., None, 1:, [0, 2]],
]

RUN_FUNCTIONS: list[Callable[[Tensor], Any]] = [
    *(F.softplus, torch.floor),
    lambda x: x.softmax(-1, torch.float64),
    lambda x: torch.add(x, x, alpha=2),
    lambda x: torch.where(x > 0, x, 0.0),
    lambda x: x.max(),
    lambda x: x.max(1),
    lambda x: x.var(1),
    lambda x: F.interpolate(x, scale_factor=2),
    lambda x: F.interpolate(x, (5, 5), mode="bicubic"),
    lambda x: torch.arange(2, 9, 3, device=x.device) + x.sum(),
    lambda x: torch.einsum("bchw,bc->bchw", x, x[:, :, 0, 0]),
    lambda x: torch.einsum("bchw->bc", x),
    lambda x: torch.zeros(2, 4, 6, 8).index_put((torch.tensor(0),), x[0]) + x,
    lambda x: torch.linalg.vector_norm(x, dim=1),
    lambda x: torch.topk(x, 2).values,
    lambda x: F.cross_entropy(x.flatten(1), torch.zeros(2, dtype=torch.long)),
    lambda x: F.cosine_similarity(x, x),
]
"""Those without a shape function, or called in a way that it doesn't know."""


class Does(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x + 0)


@pytest.mark.parametrize("function", FUNCTIONS, ids=range(len(FUNCTIONS)))
def test_functions(function: Callable[[Tensor], Any], run_kinds: list[str]) -> None:
    assert_same_ways(prepare(Does(function), [SHAPE], None, {}))
    assert run_kinds == []


@pytest.mark.parametrize("function", RUN_FUNCTIONS, ids=range(len(RUN_FUNCTIONS)))
def test_functions_that_torch_runs(function: Callable[[Tensor], Any], run_kinds: list[str]) -> None:
    assert_same_ways(prepare(Does(function), [SHAPE], None, {}))
    assert run_kinds


def assert_same_ways(measurement: Measurement) -> None:
    quick, slow = both(measurement)
    assert_equal(quick, slow)
    assert quick.totals.uncounted_operations == {}
    real = measurement.run("all")
    assert [layer.output_shapes for layer in real.layers] == [layer.output_shapes for layer in quick.layers]
    assert (real.totals.macs, real.totals.elementwise) == (quick.totals.macs, quick.totals.elementwise)


def test_heads_are_joined_by_a_view_behind_fused_attention() -> None:
    def attend(x: Tensor) -> Tensor:
        heads = x.transpose(1, 2)  # (2, 4, 6, 8) to (2, 6, 4, 8): a batch of 2, 6 heads, 4 tokens of 8
        return F.scaled_dot_product_attention(heads, heads, heads).transpose(1, 2).view(2, 4, 48)

    measurement = prepare(Does(attend), [SHAPE], None, {})
    for found in (measurement.run("known", quick=True), measurement.run("all")):
        assert found.layers[-1].output_shapes == ((2, 4, 48),)
        assert found.totals.macs == 3072  # 2 * 6 * 4 * 4 * (8 + 8)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("features", [8, 4])
@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 1, 3, 2)])
def test_attention_has_the_strides_of_torch(axes: tuple[int, ...], features: int, dropout: float) -> None:
    sizes = (2, 3, 3, 8) if axes[-1] == 3 else (2, 3, 8, 3)  # (2, 3, 3, 8) once its axes are in that order
    query = torch.zeros(sizes).permute(axes)
    value = torch.zeros(2, 3, 3, features)
    registration = shape_function.registered_function("scaled_dot_product_attention")
    assert registration is not None
    result = registration.result((query.to("meta"), query.to("meta"), value.to("meta"), None, dropout), {})
    assert result is not None
    assert result[0].stride() == F.scaled_dot_product_attention(query, query, value, None, dropout).stride()


@pytest.mark.parametrize(
    ("name", "function", "columns", "called"),
    [
        ("relu", F.relu, (), "relu, called with 'float32[2, 4, 6, 8]', inplace=False"),
        ("repeat", lambda x: x.repeat(2, 1, 1, 1), (), "repeat, called with 'float32[2, 4, 6, 8]', 2, 1, 1, 1"),
        ("div", lambda x: x / 2, ("saved",), "div, called with 'float32[2, 4, 6, 8]', 2"),
    ],
)
def test_faults_of_shape_functions_surface(
    name: str,
    function: Callable[[Tensor], Any],
    columns: tuple[str, ...],
    called: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Torch accepts the calls: the fault is no mistake of the network's."""
    monkeypatch.setattr(shape_function, "_FUNCTIONS", dict(shape_function._FUNCTIONS))

    @shape_function.for_functions(name)
    def _faulty(*args: Any, **options: Any) -> None:
        raise ValueError("a fault")

    with pytest.raises(shape_function.ShapeFunctionError, match=r"_faulty fails: ValueError: a fault") as error:
        trace(Does(function), [SHAPE], columns=columns)
    assert str(error.value).endswith(f"it stands for {called}")


@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_faults_of_layers_surface(columns: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape_function, "_MODULES", dict(shape_function._MODULES))
    monkeypatch.setattr(shape_function, "_BY_CLASS", {})

    @shape_function.for_modules(nn.Linear, settings=("in_features",))
    def _faulty(input: Tensor, features: int) -> None:
        raise ValueError("a fault")

    with pytest.raises(shape_function.ShapeFunctionError) as error:
        trace(nn.Sequential(nn.Linear(3, 4)), [(2, 3)], columns=columns)
    assert str(error.value).endswith("a fault; it stands for Linear, called with 'float32[2, 3]', 3")


def test_a_call_with_other_parameters_is_left_to_torch() -> None:
    registration = shape_function.registered_function("matmul")
    assert registration is not None
    assert registration.result((torch.zeros(2, 3), torch.zeros(3, 4)), {"other_one": 1}) is None


@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_coo, torch.jagged, torch.strided], ids=str)
@pytest.mark.parametrize("name", ["relu", "matmul", "cat", "add"])
@pytest.mark.filterwarnings("ignore")  # torch warns that such layouts are in beta
def test_tensors_whose_shape_says_too_little_are_left_to_torch(name: str, layout: torch.layout) -> None:
    nested = layout in (torch.jagged, torch.strided)
    odd = torch.nested.nested_tensor([torch.eye(4)], layout=layout) if nested else torch.eye(4).to_sparse(layout=layout)
    registration = shape_function.registered_function(name)
    assert registration is not None
    assert registration.result({"relu": (odd,), "cat": ([odd, odd],)}.get(name, (torch.eye(4), odd)), {}) is None


def test_nothing_slow_is_imported_for_a_usual_network() -> None:
    """sympy, and what torch's own kernels without values load, would double the start of the command."""
    script = (
        "import sys, torch; before = set(sys.modules)\n"
        "import archlab\n"
        "for name in ('lenet', 'resnet', 'densenet', 'resnet20'): archlab.trace(name)\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(new & {'sympy', 'torchvision', 'torchinfo', 'pandas', 'mpmath', 'networkx', 'sklearn'}))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == ""
