"""The registry of costs, and what happens where it has none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from archlab.errors import UncountedError
from archlab.records import Shape
from archlab.tracing import Cost, register_cost, trace
from archlab.tracing.costs import registry
from archlab.tracing.costs.names import GRADIENTS_WITHOUT_PRODUCTS
from archlab.tracing.costs.registry import cost_of


class Factors(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = torch.linalg.qr(torch.linalg.qr(x).R.abs()).R.mT + 1
        return result


@pytest.fixture
def _registry() -> Iterator[None]:
    before = dict(registry._COSTS)
    yield
    registry._COSTS.clear()
    registry._COSTS.update(before)


def test_an_operation_without_a_cost_is_listed() -> None:
    found = trace(Factors(), [(2, 8)])
    totals = found.totals
    assert totals.uncounted_operations == {"aten::linalg_qr": 2}
    assert sum(layer.uncounted for layer in found.layers if layer.depth == 1) == 2
    assert totals.counted_operations == 3  # abs, mT, add
    assert totals.macs == 0


def test_strict_raises_with_the_trace() -> None:
    with pytest.raises(UncountedError) as error:
        trace(Factors(), [(2, 8)], strict=True)
    assert error.value.exit_code == 1
    assert error.value.trace.totals.uncounted_operations == {"aten::linalg_qr": 2}
    assert "counted 3 of 5 operations" in str(error.value)
    assert "aten::linalg_qr (2 times)" in str(error.value)
    assert trace("lenet", strict=True).totals.macs == 281_640


@pytest.mark.usefixtures("_registry")
def test_a_registered_cost_counts() -> None:
    @register_cost(torch.ops.aten.linalg_qr)
    def factors(input: Shape, *, output: tuple[Shape, Shape]) -> Cost:
        assert output == ((2, 2), (2, 8))
        return Cost(macs=input[-1] * output[1][-1], elementwise=input[0])

    # 8 * 8, twice; elementwise 2 + 2, abs 2 * 8, mT is a view, add 2 * 8
    totals = trace(Factors(), [(2, 8)], strict=True).totals
    assert (totals.macs, totals.elementwise) == (2 * 8 * 8, 2 + 2 + 16 + 16)


@pytest.mark.usefixtures("_registry")
def test_a_custom_operation_of_a_library() -> None:
    @torch.library.custom_op("archlab_test::double", mutates_args=())
    def double(x: Tensor) -> Tensor:
        return x * 2

    @double.register_fake
    def _(x: Tensor) -> Tensor:
        return torch.empty_like(x)

    class Uses(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = double(x)
            return result

    assert trace(Uses(), [(2, 3)]).totals.uncounted_operations == {"archlab_test::double": 1}
    register_cost("archlab_test::double")(lambda x, *, output: 7 * x[1])
    assert trace(Uses(), [(2, 3)]).totals.macs == 21


@pytest.mark.usefixtures("_registry")
def test_a_second_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="has a cost already"):
        register_cost("aten::mm")(lambda *args, output: 0)


def test_counting_loads_no_compiler() -> None:
    """torch's own mode would import torch._dynamo at the first operation; Python decompositions of torch still do."""
    program = (
        "import sys, torch, archlab\n"
        "class Sorted(torch.nn.Module):\n"
        "    def forward(self, x): return x.sort().values\n"
        "archlab.trace(Sorted(), [(2, 8)]); print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize(
    ("name", "left", "output", "cost"),
    [
        # two tokens of 64 features to 128: 2 * 64 * 128 = 16,384 MACs, however the weights are packed
        ("gemm_4bit", (2, 64), ((2, 128),), Cost(16_384)),
        ("gemv_4bit", (1, 64), ((1, 128),), Cost(8_192)),
        ("int8_scaled_mm", (2, 64), ((2, 128),), Cost(16_384)),
        ("int8_mixed_scaled_mm", (2, 64), ((2, 128), (2, 0)), Cost(16_384)),
        ("int8_vectorwise_quant", (2, 64), ((2, 64), (2,)), Cost(0, 128)),
        ("dequantize_4bit", (32, 1), ((8, 8),), Cost(0, 64)),
    ],
)
def test_products_of_bitsandbytes(name: str, left: Shape, output: tuple[Shape, ...], cost: Cost) -> None:
    results = tuple(torch.empty(shape) for shape in output)
    given = (torch.empty(left), torch.empty(128, 64))
    assert cost_of(f"bitsandbytes::{name}", given, {}, results if len(results) > 1 else results[0]) == cost


def test_every_gradient_of_torch_has_a_count_or_is_unknown_by_intention() -> None:
    """What a backward pass may dispatch is in one of three tables, so that none is zero by neglect."""
    names = {
        name.partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if "_backward" in name and name.startswith("aten::")
    }
    open_ones = {
        name
        for name in names
        if name not in registry._COSTS and name.removeprefix("aten::") not in GRADIENTS_WITHOUT_PRODUCTS
    }
    # Packed, sparse and nested operands; lengths that stand in a tensor; whole recurrent layers, which the trace has
    # torch take apart; what torch itself makes others of; attention's and losses' recursions.
    kinds = ("sparse", "nested", "rnn", "lstm", "mkldnn", "mps", "attention", "double", "ctc", "grid_sampler")
    rest = {name.removeprefix("aten::") for name in open_ones if not any(kind in name for kind in kinds)}
    assert rest <= {"_backward", "matmul_backward", "matrix_exp_backward", "glu_backward_jvp", "to_dense_backward"}


@pytest.mark.parametrize(("name", "elementwise"), [("add", 6), ("sin", 6), ("broadcast_in_dim", None)])
def test_primitives_cost_what_the_operation_of_their_name_does(name: str, elementwise: int | None) -> None:
    x = torch.empty(2, 3, device="meta")
    cost = cost_of(f"prims::{name}", (x, x), {}, x)
    assert (cost.elementwise if cost is not None else None) == elementwise
