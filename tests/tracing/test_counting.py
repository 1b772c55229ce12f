"""What the counts are: each number with the sum that makes it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from archlab.records import Layer, Trace
from archlab.tracing import trace


def row(found: Trace, path: str) -> Layer:
    return next(layer for layer in found.layers if layer.path == path)


class Function(nn.Module):
    """A network of one function, and a weight for it."""

    def __init__(self, function: Callable[..., Tensor], *shape: int) -> None:
        super().__init__()
        self.function = function
        if shape:
            self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, *args: Tensor) -> Tensor:
        return self.function(*args, self.weight) if hasattr(self, "weight") else self.function(*args)


LAYERS = [
    # 3 * 5 * 5 kernel elements for each of 8 * 6 * 6 results, twice: 2 * 8 * 6 * 6 * 3 * 5 * 5 = 43,200
    (nn.Conv2d(3, 8, 5), (2, 3, 10, 10), 43_200, 3 * 8 * 5 * 5 + 8),
    # stride 2, padding 1: (9 + 2 - 3) // 2 + 1 = 5 positions an axis; 4 * 5 * 5 * 3 * 3 * 3 = 2,700
    (nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), (1, 3, 9, 9), 2_700, 108),
    # dilation 2: 10 - 2 * 2 = 6 positions; 4 * 6 * 6 * 3 * 3 * 3 = 3,888
    (nn.Conv2d(3, 4, 3, dilation=2, bias=False), (1, 3, 10, 10), 3_888, 108),
    # two groups of 2 channels: 8 * 6 * 6 * 2 * 3 * 3 = 5,184
    (nn.Conv2d(4, 8, 3, groups=2, bias=False), (1, 4, 8, 8), 5_184, 8 * 2 * 9),
    # depthwise: 4 * 6 * 6 * 1 * 3 * 3 = 1,296
    (nn.Conv2d(4, 4, 3, groups=4, bias=False), (1, 4, 8, 8), 1_296, 36),
    # 16 * 8 * 5 = 640
    (nn.Conv1d(3, 8, 5, padding="same", bias=False), (1, 3, 16), 16 * 8 * 3 * 5, 120),
    (nn.Conv3d(2, 3, 2, bias=False), (1, 2, 4, 4, 4), 3 * 3 * 3 * 3 * 2 * 8, 48),
    # transposed: each of 2 * 2 input positions of 3 channels times 1 * 2 * 2: 2 * 2 * 3 * 1 * 2 * 2 = 48
    (nn.ConvTranspose2d(3, 1, 2, stride=2, bias=False), (1, 3, 2, 2), 48, 12),
    # transposed in 2 groups: 8 * 8 positions * 4 channels * (2 / 2 results) * 3 * 3 = 2,304
    (nn.ConvTranspose2d(4, 2, 3, groups=2, bias=False), (1, 4, 8, 8), 2_304, 4 * 1 * 9),
    # 5 positions of 2 samples: 2 * 5 * 3 * 4 = 120
    (nn.Linear(3, 4), (2, 5, 3), 120, 16),
    (nn.Linear(3, 4), (3,), 12, 16),
    # 4 gates * 64 * (32 + 64) * 10 steps = 245,760; parameters 4 * 64 * (32 + 64 + 2) = 25,088
    (nn.LSTM(32, 64), (10, 1, 32), 245_760, 25_088),
    # 3 gates * 64 * (32 + 64) * 10 steps = 184,320
    (nn.GRU(32, 64), (10, 1, 32), 184_320, 3 * 64 * 98),
    # 64 * (32 + 64) * 10 = 61,440
    (nn.RNN(32, 64), (10, 1, 32), 61_440, 64 * 98),
    # 2 directions; layer 1: 4 * 8 * (5 + 8) = 416, layer 2: 4 * 8 * (16 + 8) = 768; 2 * (416 + 768) * 3 * 7 = 49,728
    (nn.LSTM(5, 8, num_layers=2, bidirectional=True, bias=False), (7, 3, 5), 49_728, 2 * (416 + 768)),
    # projection to 4: 4 * 8 * (5 + 4) + 8 * 4 = 320 a step; 320 * 7 = 2,240
    (nn.LSTM(5, 8, proj_size=4, bias=False), (7, 1, 5), 2_240, 320),
    (nn.LSTMCell(5, 8, bias=False), (3, 5), 3 * 4 * 8 * 13, 416),
    (nn.GRUCell(5, 8, bias=False), (3, 5), 3 * 3 * 8 * 13, 312),
]


@pytest.mark.parametrize(("network", "shape", "macs", "parameters"), LAYERS, ids=lambda value: str(value)[:40])
def test_layers(network: nn.Module, shape: tuple[int, ...], macs: int, parameters: int) -> None:
    totals = trace(network, [shape]).totals
    assert (totals.macs, totals.flops, totals.parameters) == (macs, 2 * macs, parameters)
    assert totals.uncounted_operations == {}


FUNCTIONS = [
    (lambda x, w: F.linear(x, w), (4, 3), [(2, 3)], 2 * 3 * 4),
    (lambda x, w: x @ w.t(), (4, 3), [(2, 3)], 2 * 3 * 4),
    (torch.matmul, (), [(2, 5, 3), (2, 3, 4)], 2 * 5 * 3 * 4),
    (torch.matmul, (), [(7, 5, 3), (3,)], 7 * 5 * 3),
    (torch.matmul, (), [(3,), (3,)], 3),
    (torch.bmm, (), [(2, 5, 3), (2, 3, 4)], 2 * 5 * 3 * 4),
    (lambda a, b: torch.einsum("bij,bjk->bik", a, b), (), [(2, 5, 3), (2, 3, 4)], 2 * 5 * 3 * 4),
    (lambda a, b, c: torch.addmm(a, b, c), (), [(4,), (2, 3), (3, 4)], 2 * 3 * 4),
    (lambda a, b, c: torch.baddbmm(a, b, c), (), [(2, 5, 4), (2, 5, 3), (2, 3, 4)], 2 * 5 * 3 * 4),
    (lambda x, w: F.conv2d(x, w, padding=1), (4, 3, 3, 3), [(1, 3, 8, 8)], 64 * 4 * 27),
    (lambda x, w: F.conv_transpose2d(x, w), (3, 4, 3, 3), [(1, 3, 8, 8)], 64 * 3 * 4 * 9),
    # Q K^T: 2 * 3 heads * 5 * 7 pairs * 8; softmax V: the same with 4 features: 2 * 3 * 5 * 7 * (8 + 4) = 2,520
    (F.scaled_dot_product_attention, (), [(2, 3, 5, 8), (2, 3, 7, 8), (2, 3, 7, 4)], 2_520),
    # causal attention is counted in full: 2 * 3 * 5 * 5 * (8 + 8) = 2,400
    (lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True), (), [(2, 3, 5, 8)], 2_400),
    (lambda x: x + x * 2, (), [(2, 3)], 0),
    # (2, 4, 3) . (4, 3, 5): 2 * 4 * 3 * 5 = 120
    (lambda a, b: torch.tensordot(a, b, 2), (), [(2, 4, 3), (4, 3, 5)], 120),
]


@pytest.mark.parametrize(("function", "weight", "shapes", "macs"), FUNCTIONS)
def test_functions(
    function: Callable[..., Tensor], weight: tuple[int, ...], shapes: list[tuple[int, ...]], macs: int
) -> None:
    totals = trace(Function(function, *weight), shapes).totals
    assert totals.macs == macs
    assert totals.uncounted_operations == {}


def windows_and_back(x: Tensor) -> Tensor:
    found = torch.stft(x, 8, hop_length=4, return_complex=True, window=torch.ones(8))
    return torch.istft(found, 8, hop_length=4, window=torch.ones(8))


def regions(kind: str) -> Callable[[Tensor], Tensor]:
    return lambda x: getattr(torchvision.ops, kind)(x, torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]]), 2)


def labelling(x: Tensor) -> Tensor:
    return F.ctc_loss(x.log_softmax(-1), torch.ones(2, 2, dtype=torch.long), torch.tensor([5, 5]), torch.tensor([2, 2]))


WITHOUT_PRODUCTS = [
    (windows_and_back, (2, 64)),
    (labelling, (5, 2, 4)),
    (lambda x: torch.distributions.Gamma(x.exp(), 1.0).rsample(), (2, 3)),
    *((regions(kind), (1, 4, 8, 8)) for kind in ("roi_pool", "roi_align", "ps_roi_pool", "ps_roi_align")),
]


@pytest.mark.parametrize(("function", "shape"), WITHOUT_PRODUCTS)
def test_no_lower_bound_where_no_product_is_missing(function: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    totals = trace(Function(function), [shape], strict=True).totals
    assert totals.macs == 0
    assert totals.elementwise > 0


ELEMENTWISE = [
    (nn.ReLU(), 24),
    (nn.GELU(), 24),
    (nn.Softmax(1), 5 * 24),
    (nn.BatchNorm2d(2), 5 * 24),
    (nn.BatchNorm2d(2).eval(), 2 * 24),
    (nn.BatchNorm2d(2, affine=False), 4 * 24),
    (nn.GroupNorm(1, 2), 5 * 24),
    (nn.LayerNorm(4), 5 * 24),
    (nn.LayerNorm(4, elementwise_affine=False), 4 * 24),
    (nn.RMSNorm(4), 4 * 24),
    (nn.MaxPool2d((1, 2)), 12 * 2),
    (nn.AvgPool2d((3, 2)), 4 * 6),
    (nn.AdaptiveAvgPool2d(1), 24),
    (nn.Dropout(0.5), 2 * 24),
    (nn.Dropout(0.5).eval(), 0),
    (nn.Flatten(), 0),
    (nn.Identity(), 0),
    (nn.Upsample(scale_factor=2), 4 * 24),
    # four neighbours, weighted and summed: 2 * 4 for each of 4 * 24 results
    (nn.Upsample(scale_factor=2, mode="bilinear"), 8 * 4 * 24),
]


@pytest.mark.parametrize(("layer", "expected"), ELEMENTWISE, ids=lambda value: str(value)[:40])
def test_elementwise(layer: nn.Module, expected: int) -> None:
    """On (1, 2, 3, 4), which is 24 elements."""
    found = trace(layer, [(1, 2, 3, 4)])
    assert (found.totals.elementwise, found.totals.macs) == (expected, 0)


def test_a_module_used_three_times_has_its_parameters_once_and_its_cost_each_time() -> None:
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.inner(x)
            return result

    shared = nn.Linear(100, 100)
    found = trace(nn.Sequential(Wrapper(shared), Wrapper(shared), Wrapper(shared)), [(1, 100)])
    assert found.totals.macs == 3 * 100 * 100
    assert found.totals.parameters == 100 * 100 + 100
    inner = [layer for layer in found.layers if layer.kind == "Linear"]
    assert [(layer.call, layer.calls, layer.parameters, layer.macs) for layer in inner] == [
        (1, 3, 10_100, 10_000),
        (2, 3, 0, 10_000),
        (3, 3, 0, 10_000),
    ]
    assert [layer.parameters for layer in found.rows(1)] == [10_100, 0, 0]


def test_tied_weights_count_in_the_first_row_that_uses_them() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(50, 8)
            self.head = nn.Linear(8, 50, bias=False)
            self.head.weight = self.embedding.weight

        def forward(self, indices: Tensor) -> Tensor:
            result: Tensor = self.head(self.embedding(indices))
            return result

    found = trace(Tied(), ["2x5:int64"])
    assert found.totals.parameters == 50 * 8
    assert [layer.parameters for layer in found.layers] == [400, 0]
    assert found.totals.macs == 2 * 5 * 8 * 50  # the embedding is a look-up


def test_embedding_is_free() -> None:
    found = trace(nn.Embedding(10_000, 144), ["5x7:int64"])
    assert (found.totals.macs, found.totals.elementwise, found.totals.parameters) == (0, 0, 1_440_000)
    assert found.layers[0].output_shapes == ((5, 7, 144),)


def test_recurrent_row_gives_the_output_first() -> None:
    layer = trace(nn.LSTM(32, 64, batch_first=True), [(1, 10, 32)]).layers[0]
    assert layer.output_shapes == ((1, 10, 64), (1, 1, 64), (1, 1, 64))
    assert layer.macs == 245_760


def test_bilinear_layers_multiply_with_one_input_after_the_other() -> None:
    """A sample: 3 * 4 * 5 for the first input and the weight, 4 * 5 for what remains and the second; 3 samples."""
    found = trace(nn.Bilinear(3, 4, 5, bias=False), [(3, 3), (3, 4)])
    assert found.totals.macs == 3 * (60 + 20)


def test_causal_attention_says_so() -> None:
    network = Function(lambda q: F.scaled_dot_product_attention(q, q, q, is_causal=True))
    assert trace(network, [(1, 2, 5, 8)]).layers[0].detail == "causal, counted in full"


def test_attention_module_counts_its_projections_and_products() -> None:
    """in: 3 * 5 * 8 * 8, Q K^T and A V: 2 * 2 heads * 5 * 5 * 4, out: 5 * 8 * 8."""
    found = trace(nn.MultiheadAttention(8, 2, batch_first=True), [(1, 5, 8)] * 3)
    assert found.totals.macs == 3 * 320 + 400 + 320
    assert found.totals.parameters == 3 * 64 + 24 + 64 + 8
    assert not [layer for layer in found.layers if layer.call == 0], "out_proj is used by a function"


def test_vit_b_16_is_17_56_gmacs() -> None:
    """Items 1 of the list of what tools get wrong: linear 16.87, attention 12 * 2 * 197^2 * 768 = 0.72 of it apart."""
    found = trace("torchvision:vit_b_16")
    assert found.totals.macs == 17_563_828_224
    attention = sum(layer.macs for layer in found.layers if layer.kind == "scaled_dot_product_attention")
    assert attention == 12 * 2 * 197 * 197 * 768


def test_real_arithmetic_counts_as_without() -> None:
    """The fused kernels of a processor, against what stands for them without values."""
    encoder = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = encoder

        def forward(self, x: Tensor) -> Tensor:
            assert x.sum().item() != 1
            result: Tensor = self.encoder(x)
            return result

    quick, real = trace(encoder, [(1, 5, 16)]), trace(Reads(), [(1, 5, 16)])
    assert real.notes
    assert "reads a tensor's values (item)" in real.notes[0]
    assert real.totals.macs == quick.totals.macs
    assert real.totals.parameters == quick.totals.parameters


def test_unused_layers_are_shown_as_unused() -> None:
    class Auxiliary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(3, 3)
            self.auxiliary = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
            self.head = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> object:
            x = self.body(x)
            return (self.head(x), self.auxiliary(x)) if self.training else self.head(x)

    network = Auxiliary()
    train, evaluation = trace(network, [(1, 3)]), trace(network.eval(), [(1, 3)])
    assert (train.totals.macs, evaluation.totals.macs) == (9 + 3 + 6, 9 + 3)
    assert train.totals.parameters == evaluation.totals.parameters == 12 + 8 + 4
    unused = [(layer.path, layer.parameters, layer.calls) for layer in evaluation.layers if layer.call == 0]
    assert unused == [("auxiliary", 8, 0), ("auxiliary.0", 8, 0), ("auxiliary.1", 0, 0)]
    assert [layer.path for layer in evaluation.rows(1)] == ["body", "auxiliary", "head"]


def test_quantised_weights_are_named_as_left_out() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces the module's move
        quantise: Any = torch.ao.quantization.quantize_dynamic
        network: nn.Module = quantise(nn.Sequential(nn.Linear(100, 100)), {nn.Linear})
        found = trace(network, [(1, 100)])
    assert found.totals.macs == 10_000
    assert found.totals.parameters == 0
    assert any("10,100 quantised weights are packed" in note for note in found.notes)


def test_compiled_networks_are_traced_as_they_were_written() -> None:
    network = nn.Sequential(nn.Linear(3, 4))
    compiled: Any = torch.compile(network)
    assert trace(compiled, [(2, 3)]) == trace(network, [(2, 3)])


class Experts(nn.Module):
    """4 experts, whose tokens are told by where each one's end."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.Parameter(torch.zeros(4, 16, 24))

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        result: Tensor = torch._grouped_mm(x, self.experts, offs=ends)
        return result


has_grouped_products = pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no grouped product")


@has_grouped_products
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("columns", [(), ("saved",), ("receptive-field",)])
def test_a_grouped_product_is_tokens_times_one_matrix(dtype: torch.dtype, columns: tuple[str, ...]) -> None:
    """10 tokens * 16 * 24 = 3,840, whichever expert each has, and in element types that torch has no shapes for."""
    given = [torch.zeros(10, 16, dtype=dtype), torch.tensor([3, 3, 8, 10], dtype=torch.int32)]
    found = trace(Experts().to(dtype), given, columns=columns, strict=True)
    assert [(layer.kind, layer.macs, layer.parameters) for layer in found.layers] == [("grouped_mm", 3_840, 1_536)]
    assert found.layers[0].output_shapes == ((10, 24),)
    assert found.layers[0].dtype == str(dtype).removeprefix("torch.")


@has_grouped_products
def test_grouped_products_by_the_axis_that_is_cut() -> None:
    ends = torch.tensor([2, 6], dtype=torch.int32)
    for shapes, output, macs in [
        (((2, 5, 8), (8, 6)), (5, 6), 5 * 8 * 6),  # each of 6 columns meets one of two matrices
        (((5, 6), (6, 8)), (2, 5, 8), 5 * 6 * 8),  # 6 tokens are summed, in two groups
    ]:
        network = Function(lambda one, other: torch._grouped_mm(one, other, offs=ends))
        given = [torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes]
        found = trace(network, given, strict=True)
        assert (found.layers[0].output_shapes, found.totals.macs) == ((output,), macs)


def test_a_spectral_convolution_counts_real_products_and_names_its_transforms() -> None:
    """4 * 4 * 6 complex products of 4 real ones: 384. Two times 4 transforms of 16 values: 4 * 5 * 16 * 4 = 1,280."""

    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 4, 6, dtype=torch.complex64))

        def forward(self, x: Tensor) -> Tensor:
            modes = torch.fft.rfft(x)
            out = torch.zeros_like(modes)
            out[..., :6] = torch.einsum("bim,iom->bom", modes[..., :6], self.weight)
            result: Tensor = torch.fft.irfft(out, n=16)
            return result

    for columns in ((), ("saved",)):
        found = trace(Spectral(), [torch.zeros(1, 4, 16)], columns=columns, strict=True)
        assert found.totals.macs == 384
        transforms = [(layer.kind, layer.elementwise) for layer in found.layers if layer.kind.startswith("fft")]
        assert transforms == [("fft_rfft", 1_280), ("fft_irfft", 1_280)]
        assert found.layers[0].detail == "5 N log2 N elementwise per transform"
