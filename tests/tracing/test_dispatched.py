"""Kernels for dispatched operations give what torch's own give (shapes, strides, types), and answer where they can."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from archlab.networks.dispatching import DispatchMode
from archlab.tracing import trace
from archlab.tracing.quick import dispatched
from archlab.tracing.quick.dispatched import KERNELS, run

aten = torch.ops.aten
UNARY: dict[Any, tuple[Any, ...]] = {
    **{getattr(aten, name).default: () for name in ("relu", "sigmoid", "tanh", "exp", "log", "sqrt", "rsqrt", "neg")},
    **{getattr(aten, name).default: () for name in ("abs", "sin", "cos", "reciprocal", "erf", "silu", "mish", "gelu")},
    **{getattr(aten, name).default: () for name in ("hardswish", "hardsigmoid", "leaky_relu", "elu", "softplus")},
    **{getattr(aten, name).default: () for name in ("hardtanh", "hardtanh_", "hardswish_", "hardsigmoid_", "mish_")},
    **{getattr(aten, name).default: () for name in ("leaky_relu_", "elu_")},
    **{getattr(aten, name).default: (2,) for name in ("clamp_min", "clamp_max", "clamp_min_", "clamp_max_")},
    aten.clamp.default: (0, 6.0),
    aten.pow.Tensor_Scalar: (2,),
    **{getattr(aten, name).Scalar: (0.5,) for name in ("add", "sub", "mul", "div", "rsub")},
    **{getattr(aten, name).Scalar: (0,) for name in ("gt", "ge", "lt", "le", "eq", "ne")},
    **{getattr(aten, name).Tensor: (2,) for name in ("add", "sub", "mul", "div")},
}
BINARY = [
    *[getattr(aten, name).Tensor for name in ("add", "sub", "mul", "div", "gt", "ge", "lt", "le", "eq", "ne")],
    *(aten.maximum.default, aten.minimum.default),
]
TYPES = st.sampled_from([torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool])
SIZES = st.lists(st.integers(0, 4), min_size=0, max_size=5)


@st.composite
def tensors(draw: st.DrawFn, sizes: Any = SIZES, dtypes: Any = TYPES) -> Tensor:
    """A tensor without values: plain, with its axes in another order, with channels last, with gaps, or repeated."""
    shape = draw(sizes)
    made = torch.empty(shape, dtype=draw(dtypes), device="meta")
    form = draw(st.sampled_from(["plain", "permuted", "channels last", "gaps", "repeated"]))
    if form == "permuted":
        order = draw(st.permutations(range(len(shape))))
        return torch.empty([shape[axis] for axis in order], dtype=made.dtype, device="meta").permute(
            [order.index(axis) for axis in range(len(shape))]
        )
    if form == "channels last" and len(shape) == 4:
        return torch.empty(shape, dtype=made.dtype, device="meta", memory_format=torch.channels_last)
    if form == "gaps" and shape:
        return torch.empty([*shape[:-1], 2 * shape[-1]], dtype=made.dtype, device="meta")[..., ::2]
    if form == "repeated" and shape:
        return torch.empty([1, *shape[1:]], dtype=made.dtype, device="meta").expand(shape)
    return made


def described(value: object) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape), value.stride(), value.dtype, value.device, value.storage_offset()
    return [described(item) for item in value]  # type: ignore[attr-defined]


def assert_as_torch(func: Any, *args: Any) -> bool:
    """Whether the kernel answered; then torch gives the same."""
    out = KERNELS[func](*args)
    if out is None:
        return False
    theirs = func(*args)
    assert described(out) == described(theirs), (func, described([arg for arg in args if isinstance(arg, Tensor)]))
    if isinstance(out, Tensor):
        assert (out is args[0]) == (theirs is args[0])
    return True


@given(st.sampled_from(list(UNARY)), tensors())
@settings(max_examples=300, deadline=None)
def test_pointwise(func: Any, input: Tensor) -> None:
    answered = assert_as_torch(func, input, *UNARY[func])
    assert answered or not (
        input.is_floating_point() and input.is_contiguous() and input.numel() and 1 not in input.shape
    )


@given(st.data(), st.sampled_from(BINARY), SIZES)
@settings(max_examples=300, deadline=None)
def test_two_tensors(data: st.DataObject, func: Any, shape: list[int]) -> None:
    """The second has the first's shape, or one that is broadcast with it, or one that isn't."""
    other = data.draw(st.one_of(st.just(shape), st.just([min(1, size) for size in shape[1:]]), SIZES))
    one, two = data.draw(tensors(st.just(shape))), data.draw(tensors(st.just(other)))
    if data.draw(st.booleans()):
        one, two = two, one
    answered = assert_as_torch(func, one, two)
    plain = one.is_contiguous() and two.is_contiguous() and one.dtype is two.dtype and one.is_floating_point()
    assert answered or not (plain and one.shape == two.shape and one.numel() and 1 not in shape)


@given(st.data(), SIZES)
@settings(max_examples=150, deadline=None)
def test_masks(data: st.DataObject, shape: list[int]) -> None:
    smaller = data.draw(st.sampled_from([shape, shape[1:], [1] * len(shape)]))
    one, two = data.draw(tensors(st.just(shape))), data.draw(tensors(st.just(smaller)))
    mask = data.draw(tensors(st.sampled_from([shape, smaller]), st.just(torch.bool)))
    assert_as_torch(aten.where.self, mask, one, two)
    assert_as_torch(aten.masked_fill.Scalar, one, mask, 0.5)


FLOATS = st.sampled_from([torch.float32, torch.float64, torch.float16])


@given(st.data(), st.lists(st.integers(1, 4), min_size=2, max_size=5), st.booleans(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_normalisation(data: st.DataObject, shape: list[int], affine: bool, training: bool) -> None:
    input = data.draw(tensors(st.just(shape), FLOATS))
    channels = shape[1]
    part = torch.empty(channels, dtype=input.dtype, device="meta")
    weights = (part, part) if affine else (None, None)
    for name in ("native_batch_norm", "_native_batch_norm_legit"):
        if training and input.numel() == channels:
            assert KERNELS[getattr(aten, name).default](input, *weights, part, part, True, 0.1, 1e-5) is None
            continue
        func = getattr(aten, name).default
        answered = assert_as_torch(func, input, *weights, part, part, training, 0.1, 1e-5)
        assert answered or not (input.is_contiguous() and input.dtype is torch.float32) or 1 in shape
    groups = data.draw(st.sampled_from([count for count in range(1, channels + 1) if channels % count == 0]))
    positions = input.numel() // (shape[0] * channels)
    assert_as_torch(aten.native_group_norm.default, input, *weights, shape[0], channels, positions, groups, 1e-5)
    own = shape[data.draw(st.integers(1, len(shape) - 1)) :]
    own_weights = (torch.empty(own, dtype=input.dtype, device="meta"),) * 2 if affine else (None, None)
    assert_as_torch(aten.native_layer_norm.default, input, own, *own_weights, 1e-5)


@given(st.data(), tensors(st.lists(st.integers(1, 4), min_size=1, max_size=4)))
@settings(max_examples=200, deadline=None)
def test_reductions(data: st.DataObject, input: Tensor) -> None:
    axes = data.draw(st.lists(st.integers(-input.dim(), input.dim() - 1), max_size=2))
    assert_as_torch(aten.mean.dim, input, axes, data.draw(st.booleans()))
    assert_as_torch(aten._log_softmax.default, input, data.draw(st.integers(-input.dim(), input.dim() - 1)), False)
    assert_as_torch(aten.native_dropout.default, input, 0.5, data.draw(st.booleans()))


@given(st.data(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_products(data: st.DataObject, rows: int, inner: int, columns: int) -> None:
    bias = data.draw(tensors(st.sampled_from([[columns], [rows, columns], [1]]), FLOATS))
    left, right = data.draw(tensors(st.just([rows, inner]), FLOATS)), data.draw(tensors(st.just([inner, columns])))
    assert_as_torch(aten.addmm.default, bias, left, right)


X = torch.empty(2, 4, 3, 5, device="meta")
C = torch.empty(4, device="meta")
M = torch.empty(3, 5, device="meta")


ANSWERED: list[tuple[Any, tuple[Any, ...]]] = [
    *[(func, (X, *numbers)) for func, numbers in UNARY.items()],
    *[(func, (X, X)) for func in BINARY],
    (aten.add.Tensor, (X, M)),
    (aten.where.self, (torch.empty(3, 5, dtype=torch.bool, device="meta"), X, X)),
    (aten.masked_fill.Scalar, (X, torch.empty(3, 5, dtype=torch.bool, device="meta"), 0)),
    (aten.native_batch_norm.default, (X, C, C, C, C, True, 0.1, 1e-5)),
    (aten.native_batch_norm.default, (X, C, C, C, C, False, 0.1, 1e-5)),
    (aten._native_batch_norm_legit.default, (X, None, None, C, C, True, 0.1, 1e-5)),
    (aten.native_group_norm.default, (X, C, C, 2, 4, 15, 2, 1e-5)),
    (aten.native_layer_norm.default, (X, [3, 5], M, M, 1e-5)),
    (aten.native_dropout.default, (X, 0.5, True)),
    (aten._log_softmax.default, (X, 1, False)),
    (aten.addmm.default, (torch.empty(6, device="meta"), M, torch.empty(5, 6, device="meta"))),
    (aten.mean.dim, (X, [2, 3], True)),
]


@pytest.mark.parametrize(
    ("func", "args"),
    ANSWERED,
    ids=lambda item: str(item) if not isinstance(item, tuple) else "",
)
def test_each_answers(func: Any, args: tuple[Any, ...]) -> None:
    assert assert_as_torch(func, *args)


def test_each_is_compared() -> None:
    assert set(KERNELS) == {func for func, _ in ANSWERED}


@pytest.mark.parametrize(
    ("func", "args"),
    [
        (aten.add.Tensor, (X, torch.empty(7, device="meta"))),
        (aten.addmm.default, (C, M, M)),
        (aten.clamp.default, (X,)),
        (aten.native_group_norm.default, (X, C, C, 2, 4, 15, 3, 1e-5)),
    ],
)
def test_what_torch_refuses(func: Any, args: tuple[Any, ...]) -> None:
    with pytest.raises((RuntimeError, ValueError)) as theirs:
        func(*args)
    with pytest.raises((RuntimeError, ValueError)) as ours:
        run(func, args, {})
    assert str(ours.value) == str(theirs.value)


def test_values_stay() -> None:
    """Real arithmetic is torch's."""
    assert run(aten.relu.default, (torch.tensor([-1.0, 2.0]),), {}).tolist() == [0, 2]


class Heard(DispatchMode):  # type: ignore[no-untyped-call]
    """Lists what is dispatched."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(func))
        return run(func, args, kwargs or {})


def test_other_modes_hear_it() -> None:
    with Heard() as outer, Heard() as inner:
        torch.relu(X)
    assert outer.names == inner.names == ["aten.relu.default"]


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Hardswish(), nn.Dropout(0.2))
        self.norms = nn.Sequential(nn.GroupNorm(2, 4), nn.GELU(), nn.LayerNorm(6), nn.Linear(6, 5), nn.ReLU6())

    def forward(self, x: Tensor) -> Tensor:
        x = torch.where(x > 0, x, 0.5 * x) + self.branch(x)
        means: Tensor = self.norms(x).mean(dim=(2, 3))
        return (1 - means.clamp(0, 1) ** 2) / 3


@pytest.mark.parametrize("training", [True, False])
def test_same_trace(training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Residual().train(training)
    found = trace(network, [(2, 4, 6, 6)], columns=["saved", "receptive-field"])
    monkeypatch.setattr(dispatched, "KERNELS", {})
    assert found == trace(network, [(2, 4, 6, 6)], columns=["saved", "receptive-field"])
