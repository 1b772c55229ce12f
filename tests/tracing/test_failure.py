"""The error picture: where a forward pass fails, what was given and expected, what would mend it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.errors import ForwardError
from archlab.records import Trace
from archlab.tracing import trace
from archlab.tracing.failure.sizes import sizes_that_fit
from tests.tracing.test_isolation import assert_same, state


def failure(network: Any, inputs: Any, **options: Any) -> ForwardError:
    with pytest.raises(ForwardError) as error:
        trace(network, inputs, **options)
    assert error.value.exit_code == 2
    return error.value


def test_lenet_at_32() -> None:
    """32 -> conv 28 -> pool 14 -> conv 10 -> pool 5: 16 * 5 * 5 = 400 features where 16 * 4 * 4 = 256 belong."""
    error = failure("lenet", ["32"])
    assert str(error) == "lenet: linear_1 (Linear) got 400 features (1x400), expected 256; lenet takes 28x28 to 31x31"
    assert error.failure is not None
    assert (error.failure.path, error.failure.kind) == ("linear_1", "Linear")
    assert (error.failure.got, error.failure.expected) == ("400 features (1x400)", "256")
    assert error.failure.remedy == "lenet takes 28x28 to 31x31"
    assert error.failure.source.startswith("archlab/networks/lenet.py:")


def test_the_trace_ends_at_the_layer_that_failed() -> None:
    error = failure("lenet", ["32"])
    assert error.trace is not None
    paths = [layer.path for layer in error.trace.layers]
    assert paths[-2:] == ["flatten", "linear_1"]
    assert (error.trace.layers[-1].input_shapes, error.trace.layers[-1].output_shapes) == (((1, 400),), ())
    assert error.trace.failure == error.failure
    assert Trace.from_json(error.trace.to_json()) == error.trace


def test_densenet_at_16() -> None:
    """16 -> 8 -> 4 -> 2 -> 1 before the last transition halves it; 29 -> 15 -> 8 -> 4 -> 2 -> 1 is the least."""
    error = failure("densenet", ["16"])
    assert str(error) == (
        "densenet: transition_2.pool (AvgPool2d) got 1x1 positions, expected at least 2x2; "
        "densenet takes 29x29 and larger"
    )
    assert trace("densenet", ["29"]).layers[-1].output_shapes == ((1, 10),)


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(100, 10)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.conv(x).flatten(1))
        return result


class Function(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.zeros(4, 7))

    def forward(self, x: Tensor) -> Any:
        return self.function(x, self.weight)


CASES: list[tuple[nn.Module, tuple[int, ...], str, str, str]] = [
    (Own(), (1, 3, 8, 8), "288 features (1x288)", "100", "in_features=288 would fit"),
    (Own(), (1, 4, 8, 8), "4 channels (1x4x8x8)", "3", "in_channels=4 would fit"),
    (Own(), (1, 3, 2, 2), "2x2 positions", "at least 3x3", ""),
    (Own(), (1, 3), "2 dimensions (1x3)", "4, the batch first", ""),
    (nn.BatchNorm2d(3), (2, 4, 5, 5), "4 channels (2x4x5x5)", "3", "num_features=4 would fit"),
    (nn.GroupNorm(1, 3), (2, 4, 5, 5), "4 channels (2x4x5x5)", "3", "num_channels=4 would fit"),
    (nn.LayerNorm(5), (2, 4), "4 as the last sizes (2x4)", "5", "normalized_shape=4 would fit"),
    (nn.LSTM(3, 4), (5, 2, 6), "6 features (5x2x6)", "3", "input_size=6 would fit"),
    (nn.Embedding(3, 4), (2, 3), "float32 elements (2x3)", "int64 or int32", "--input 2x3:int64"),
    (nn.ConvTranspose2d(3, 4, 2), (1, 5, 4, 4), "5 channels (1x5x4x4)", "3", "in_channels=5 would fit"),
    (Function(F.linear), (1, 3), "3 features (1x3)", "7, as its weight has", ""),
    (Function(torch.matmul), (2, 3), "2x3 times 4x7", "inner sizes that agree", ""),
    (Function(torch.add), (2, 3), "2x3 and 4x7", "equal sizes, or 1, along every axis", ""),
    (Function(lambda x, w: torch.cat([x, x[:, :1]], 0)), (2, 3), "2x3, 2x1", "equal sizes along all other axes", ""),
    (Function(lambda x, w: x.view(2, 100)), (2, 3), "6 elements (2x3)", "as many as 2x100 holds", ""),
]


@pytest.mark.parametrize(("network", "shape", "got", "expected", "remedy"), CASES)
def test_what_was_given_and_what_was_expected(
    network: nn.Module, shape: tuple[int, ...], got: str, expected: str, remedy: str
) -> None:
    found = failure(network, [shape]).failure
    assert found is not None
    assert (found.got, found.expected) == (got, expected)
    assert remedy in found.remedy


def test_the_line_that_failed() -> None:
    found = failure(Function(lambda x, w: x.view(2, 100)), [(2, 3)]).failure
    assert found is not None
    assert found.source.startswith("tests/tracing/test_failure.py:")


def test_whatever_else_a_network_raises_is_quoted() -> None:
    def refuse(x: Tensor, weight: Tensor) -> Tensor:
        raise KeyError("no such thing")

    error = failure(Function(refuse), [(2, 3)])
    assert str(error) == "Function got 2x3 and fails: 'no such thing'"
    assert error.failure is not None
    assert error.failure.expected == error.failure.remedy == ""
    assert isinstance(error.__cause__, KeyError)


def test_too_few_arguments_of_an_inner_layer() -> None:
    error = failure(nn.Sequential(nn.Bilinear(2, 3, 4)), [(1, 2)])
    assert "missing 1 required positional argument: 'input2'" in str(error)


def test_strides_that_only_a_formula_would_refuse_are_left_to_torch() -> None:
    class Views(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.permute(0, 2, 3, 1)
            return torch.relu(x).permute(0, 3, 1, 2).view(2, -1)

    assert trace(Views(), [(2, 3, 4, 5)]).layers[-1].output_shapes == ((2, 60),)
    with pytest.raises(ForwardError):
        trace(Function(lambda x, w: torch.relu(x.permute(0, 2, 1)).view(2, -1)), [(2, 3, 4)])


@pytest.mark.parametrize(
    ("fits", "default", "given", "expected"),
    [
        (lambda size: 28 <= size < 32, (28, 28), 32, "net takes 28x28 to 31x31"),
        (lambda size: 28 <= size < 32, (28, 28), 20, "net takes 28x28 to 31x31"),
        (lambda size: size >= 23, (96, 96), 16, "net takes 23x23 and larger"),
        (lambda size: size == 224, (224, 224), 96, "net takes 224x224"),
        (lambda size: size % 32 == 0, (224, 224), 100, "net takes 224x224 and others in steps of 32"),
        (lambda size: size >= 60, (), 10, "net takes 60x60 and larger"),
        (lambda size: size <= 300, (224, 224), 400, "net takes 1x1 to 300x300"),
        (lambda size: False, (224, 224), 96, ""),
    ],
)
def test_sizes_that_fit(fits: Any, default: tuple[int, ...], given: int, expected: str) -> None:
    tried: list[int] = []

    def takes(size: int) -> bool:
        tried.append(size)
        return bool(fits(size))

    assert sizes_that_fit("net", takes, default, given, 2) == expected
    assert len(tried) == len(set(tried)) <= 30


@pytest.mark.parametrize(
    ("network", "spec", "words"),
    [
        (nn.Linear(3, 4), "2x3:int64", "int64 can't be multiplied with float32"),
        (nn.Linear(3, 4), "2x3:float16", "float16 can't be multiplied with float32"),
        (nn.LSTM(3, 4), "5x2x3:float16", "float16 can't be multiplied with float32"),
        (Function(lambda x, w: x @ w.T), "2x7:float16", "float16 can't be multiplied with float32"),
        (Function(F.linear), "2x7:float16", "float16 can't be multiplied with float32"),
        (nn.BatchNorm1d(3), "2x3:int64", "takes floating-point numbers, and was given int64"),
        (nn.Softmax(1), "2x3:int64", "takes floating-point numbers, and was given int64"),
        (nn.Conv2d(3, 4, 3), "1x3x8x8:int64", "Input type (long int) and bias type (float) should be the same"),
    ],
)
def test_wrong_element_types_are_seen_without_values(network: nn.Module, spec: str, words: str) -> None:
    assert words in str(failure(network, [spec]))
    shape, _, dtype = spec.partition(":")
    real = torch.ones([int(size) for size in shape.split("x")]).to(getattr(torch, dtype))
    with pytest.raises((RuntimeError, ValueError)):
        network(real)


def test_mixed_types_under_autocast_are_left_alone() -> None:
    class Casts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu"):
                result: Tensor = self.head(x.bfloat16())
            return result

    assert trace(Casts(), [(2, 3)]).totals.macs == 24


def calls(function: Any) -> nn.Module:
    return Function(lambda x, weight: function(x + 0))


WORD: Any = "a"
"""What no setting may be."""
MISTAKES: list[tuple[nn.Module, str, str]] = [
    (calls(lambda x: x.repeat(2, 2, -1, 1)), "repeat", "Repeats cannot be negative, found -1 at index 2"),
    (calls(lambda x: torch.repeat_interleave(x, -1, 1)), "repeat_interleave", "Repeats must be non-negative"),
    (calls(lambda x: F.group_norm(x, 0)), "group_norm", "division or modulo by zero"),
    (calls(lambda x: F.group_norm(x[:, :, :0], 2)), "group_norm", "Expected HxW to be greater than 0"),
    (calls(lambda x: F.pad(x, (1, WORD))), "pad", "argument 'pad' failed to unpack"),
    (calls(lambda x: F.conv2d(x, x, stride=(1, WORD))), "conv2d", "argument 'stride' failed to unpack"),
    (calls(lambda x: F.adaptive_avg_pool2d(x, (WORD, 3))), "adaptive_avg_pool2d", "must be tuple of ints"),
    (calls(lambda x: F.batch_norm(x, None, None, WORD, training=True)), "batch_norm", "must be Tensor, not str"),
    (calls(lambda x: F.rms_norm(x, (8,), weight=WORD)), "rms_norm", "must be Tensor, not str"),
    (calls(lambda x: F.hardtanh(x, 1.0, -1.0)), "hardtanh", "min_val cannot be greater than max_val"),
    (calls(lambda x: F.dropout(x, 1.5)), "dropout", "dropout probability has to be between 0 and 1"),
    (calls(lambda x: torch.bmm(x, x.mT)), "bmm", "batch1 must be a 3D tensor"),
    (calls(lambda x: torch.bmm(x[0], x[0, :1].mT)), "bmm", "Expected size for first two dimensions"),
    (calls(lambda x: torch.mm(x[0], x[0].mT)), "mm", "must be 2D"),
    (nn.AdaptiveAvgPool2d((WORD, 3)), "AdaptiveAvgPool2d", "must be tuple of ints"),
]
"""Calls that torch refuses, and that shape functions stumble over or once let pass."""


@pytest.mark.parametrize(("network", "kind", "words"), MISTAKES)
@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_a_mistake_gets_the_answer_of_torch(
    network: nn.Module, kind: str, words: str, columns: tuple[str, ...]
) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), network)
    with pytest.raises((RuntimeError, TypeError, ValueError, ZeroDivisionError)):
        network(torch.zeros(2, 3, 6, 8))
    before = state(network)
    error = failure(network, [(2, 3, 6, 8)], columns=columns)
    assert_same(before, state(network))
    assert words in str(error)
    assert error.failure is not None
    assert error.failure.kind == kind
    assert error.failure.path.startswith("2")
    assert error.failure.source.partition(":")[0] == ("tests/tracing/test_failure.py" if kind.islower() else "")
    assert words in str(error.__cause__)
    assert error.trace is not None
    assert [layer.kind for layer in error.trace.layers][:2] == ["Conv2d", "BatchNorm2d"]


def test_a_network_may_catch_what_torch_refuses() -> None:
    def repeated(x: Tensor) -> Tensor:
        try:
            return x.repeat(2, -1)
        except RuntimeError:
            return x.repeat(2, 1)

    assert trace(calls(repeated), [(2, 3)]).layers[-1].output_shapes == ((4, 3),)
