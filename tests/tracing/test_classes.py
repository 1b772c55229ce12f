"""Every operation of torch's is known for what it costs, or known to have no formula."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from archlab.errors import InputError
from archlab.tracing import trace
from archlab.tracing.costs.names import FREE_OPERATIONS, POINTWISE, REDUCTIONS, UNKNOWN_OPERATIONS
from archlab.tracing.costs.registry import is_classified
from archlab.tracing.measurement import prepare


def is_composite(name: str) -> bool:
    """Whether torch takes an operation apart before it is dispatched, so that its parts are what counts."""
    has_kernel: Any = torch._C._dispatch_has_kernel_for_dispatch_key
    return bool(has_kernel(name, "CompositeImplicitAutograd"))


def test_every_operation_of_torch_is_classified() -> None:
    """Whoever reads this because a new torch added one: give it a cost, or name it in `UNKNOWN_OPERATIONS`."""
    names = {name for name in torch._C._dispatch_get_all_op_names() if name.startswith("aten::")}
    assert len(names) > 2_000
    assert sorted({name for name in names if not is_composite(name) and not is_classified(name)}) == []


def test_an_operation_that_nobody_knows_is_found() -> None:
    assert is_classified("aten::addmm.out")
    assert not is_classified("aten::layer_norm")  # composite: nobody gave it a cost of its own


def test_no_operation_is_of_two_kinds() -> None:
    kinds = [FREE_OPERATIONS, REDUCTIONS, POINTWISE, UNKNOWN_OPERATIONS]
    for place, kind in enumerate(kinds):
        for other in kinds[place + 1 :]:
            assert kind & other == set()


class Does(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


# On (2, 6): 12 elements
COUNTED: list[tuple[Callable[[Tensor], Any], int]] = [
    (lambda x: x // 2, 12),
    (lambda x: torch.floor_divide(x, 2), 12),
    (lambda x: torch.histc(x, 4, 0, 1), 0),
    (lambda x: F.binary_cross_entropy_with_logits(x, torch.zeros_like(x)), 12),
    (lambda x: F.mse_loss(x, torch.zeros_like(x)), 12),
    # two coordinates of 4 * 5 positions, each a product and a sum with three numbers: 2 * 3 * 40
    (lambda x: F.affine_grid(x.view(1, 4, 3)[:, :2], [1, 1, 4, 5], align_corners=False), 2 * 3 * 40),
    (lambda x: torch.renorm(x, 2, 0, 1.0), 24),
    (lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, 0, 255), 12),
    (lambda x: torch.linalg.cross(x[:, :3], x[:, 3:]), 6),
    (lambda x: torch._foreach_mul([x, x[:1]], 2.0), 18),
    (lambda x: torch.special.i0(x), 12),
    # 2 transforms of 6 values: 2 * round(5 * 6 * log2(6) = 77.5) = 156; and back
    (lambda x: torch.fft.irfft(torch.fft.rfft(x), n=6), 2 * 2 * 78),
    (lambda x: torch.fft.fft2(x), round(5 * 12 * 3.584962500721156)),
]


@pytest.mark.parametrize(("function", "elementwise"), COUNTED, ids=range(len(COUNTED)))
def test_no_lower_bound_where_no_mac_is_missing(function: Callable[[Tensor], Any], elementwise: int) -> None:
    totals = trace(Does(function), [(2, 6)], strict=True).totals
    assert (totals.macs, totals.elementwise) == (0, elementwise)


@pytest.mark.parametrize("validate", [None, True, False])
def test_arguments_of_distributions_are_checked_for_nothing(
    validate: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", True)  # some libraries turn it off
    prior = torch.distributions.Normal(torch.zeros(4), torch.ones(4), validate_args=True)

    class Samples(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mean, self.deviation, self.decoder = nn.Linear(8, 4), nn.Linear(8, 4), nn.Linear(4, 8)
            self.prior = prior

        def forward(self, x: Tensor) -> Any:
            torch.distributions.Distribution.set_default_validate_args(True)
            normal = torch.distributions.Normal(self.mean(x), self.deviation(x).exp(), validate_args=validate)
            one = torch.distributions.Independent(normal, 1, validate_args=validate)
            sample = one.rsample()
            return self.decoder(sample), one.log_prob(sample) - self.prior.log_prob(sample).sum(-1)  # type: ignore[no-untyped-call]

    # 2 * 8 * 4, twice, and 2 * 4 * 8
    found = trace(Samples(), [(2, 8)], strict=True)
    assert (found.totals.macs, found.notes) == (3 * 64, ())
    with pytest.raises(ValueError, match="Expected parameter scale"):
        torch.distributions.Normal(0.0, -1.0)
    with pytest.raises(ValueError, match="Expected value argument"):
        prior.log_prob(torch.full((4,), float("nan")))  # type: ignore[no-untyped-call]


def test_a_recurrent_layer_with_real_arithmetic_is_counted() -> None:
    """5 steps of 2 samples: 10 * 4 * 16 * (8 + 16) = 15,360."""
    measurement = prepare(nn.Sequential(nn.Identity(), nn.LSTM(8, 16)).eval(), [(5, 2, 8)], None, {})
    totals = measurement.run("all").totals
    assert (totals.macs, totals.uncounted_operations) == (15_360, {})
    assert totals == measurement.run("known", quick=True).totals


COMPLEX: list[tuple[Callable[[Tensor], Any], int]] = [
    (lambda x: torch.complex(x, x) @ torch.zeros(6, 3, dtype=torch.complex64), 4 * 2 * 6 * 3),
    (lambda x: torch.einsum("bi,io->bo", torch.complex(x, x), torch.zeros(6, 3, dtype=torch.complex64)), 4 * 36),
    (lambda x: torch.complex(x, x)[None].bmm(torch.zeros(1, 6, 3, dtype=torch.complex64)), 4 * 36),
    (lambda x: F.linear(torch.complex(x, x), torch.zeros(3, 6, dtype=torch.complex64)), 4 * 36),
]


@pytest.mark.parametrize(("function", "macs"), COMPLEX, ids=range(len(COMPLEX)))
def test_complex_products_are_four_real_ones(function: Callable[[Tensor], Any], macs: int) -> None:
    measurement = prepare(Does(function), [(2, 6)], None, {})
    quick = measurement.run("known", quick=True)
    assert quick.totals.macs == macs
    assert quick.totals.uncounted_operations == {}
    assert quick == measurement.run("known")
    assert quick.totals == measurement.run("all").totals


CONVOLUTIONS = [
    # 4 * 6 * 6 * 3 * 3 * 3 = 3,888 complex products
    (nn.Conv2d(3, 4, 3, dtype=torch.complex64), (1, 3, 8, 8), 4 * 3_888),
    (nn.Conv1d(3, 4, 3, dtype=torch.complex64), (1, 3, 8), 4 * 4 * 6 * 9),
    (nn.ConvTranspose2d(3, 4, 3, dtype=torch.complex64), (1, 3, 8, 8), 4 * 64 * 3 * 4 * 9),
]


@pytest.mark.parametrize(("layer", "shape", "macs"), CONVOLUTIONS, ids=lambda value: str(value)[:20])
def test_complex_convolutions_count_as_products_however_torch_makes_them(
    layer: nn.Module, shape: tuple[int, ...], macs: int
) -> None:
    measurement = prepare(nn.Sequential(layer), [torch.zeros(shape, dtype=torch.complex64)], None, {})
    for found in (measurement.run("known", quick=True), measurement.run("known"), measurement.run("all")):
        totals = found.totals
        assert (totals.macs, totals.elementwise) == (macs, 0)


class OfLengths(nn.Module):
    """Works on the rows of sequences of different lengths."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 4)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


# sequences of 5, 3 and 1 rows: 9 * 8 * 6 = 432 and 9 * 6 * 4 = 216
JAGGED: list[tuple[Callable[[Any, Tensor], Any], int]] = [
    (lambda network, x: network.second(torch.relu(network.first(x))), 432 + 216),
    (lambda network, x: x @ network.first.weight.t(), 432),
    (lambda network, x: torch.nn.functional.linear(x, network.first.weight), 432),
]


@pytest.mark.parametrize(("function", "macs"), JAGGED)
@pytest.mark.parametrize("columns", [(), ("saved",)])
def test_linear_layers_of_sequences_of_different_lengths(
    function: Callable[[Any, Tensor], Any], macs: int, columns: tuple[str, ...]
) -> None:
    x = torch.nested.nested_tensor([torch.zeros(length, 8) for length in (5, 3, 1)], layout=torch.jagged)
    totals = trace(OfLengths(function), [x], columns=columns).totals
    assert (totals.macs, totals.uncounted_operations) == (macs, {})


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_tensors_without_a_shape_are_refused() -> None:
    x = torch.nested.nested_tensor([torch.zeros(length, 8) for length in (5, 3)], layout=torch.strided)
    with pytest.raises(InputError, match=r"expected layout=torch\.jagged"):
        trace(nn.Linear(8, 6), [x])


def test_a_module_that_is_copied_in_forward_counts() -> None:
    class Copying(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Any:
            return copy.deepcopy(self.layer)(x) + self.layer(x)

    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Any:
            parameters, _ = torch.func.stack_module_state([self.first, self.second])
            bare = copy.deepcopy(self.first)
            call = torch.func.functional_call
            return torch.vmap(lambda held, x: call(bare, held, (x,)), in_dims=(0, None))(parameters, x)

    for columns in ((), ("saved",), ("backward",)):
        assert trace(Copying(), [(2, 4)], columns=columns).totals.macs == 2 * 2 * 4 * 4
        assert trace(Ensemble(), [(2, 4)], columns=columns).totals.macs == 2 * 2 * 4 * 3
    assert prepare(Copying(), [(2, 4)], None, {}).run("all").totals.macs == 64
