"""What ONNX's operators cost, each with the sum beside the number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="onnx is not installed: pip install 'archlab[onnx]'")
from tests.onnx.graphs import INT8, floats, model, node, traced

X = {"x": (2, 6, 8, 8)}
TOKENS = {"x": (2, 5, 12)}
MS = "com.microsoft"

CASES: dict[str, tuple[Any, dict[str, Any], dict[str, Any], int, int, int]] = {
    # name: node, inputs, weights, MACs, elementwise, parameters
    "convolution": (
        node("Conv", "x w b", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        *(X, {"w": floats(4, 6, 3, 3), "b": floats(4)}, 2 * 4 * 4 * 4 * 6 * 9, 0, 4 * 6 * 9 + 4),
    ),
    "grouped convolution": (
        node("Conv", "x w", "y", group=3),
        *(X, {"w": floats(6, 2, 3, 3)}, 2 * 6 * 6 * 6 * 2 * 9, 0, 6 * 2 * 9),
    ),
    "convolution in one dimension": (
        node("Conv", "x w", "y"),
        *(TOKENS, {"w": floats(7, 5, 3)}, 2 * 7 * 10 * 5 * 3, 0, 7 * 5 * 3),
    ),
    "transposed convolution": (
        node("ConvTranspose", "x w", "y", strides=[2, 2]),
        *(X, {"w": floats(6, 4, 3, 3)}, 2 * 6 * 8 * 8 * 4 * 9, 0, 6 * 4 * 9),  # over input positions
    ),
    "linear layer": (
        node("Gemm", "x w b", "y", transB=1),
        *({"x": (3, 12)}, {"w": floats(7, 12), "b": floats(7)}, 3 * 12 * 7, 0, 12 * 7 + 7),
    ),
    "linear layer of a transposed input": (
        node("Gemm", "x w", "y", transA=1),
        *({"x": (12, 3)}, {"w": floats(12, 7)}, 3 * 12 * 7, 0, 12 * 7),
    ),
    "matrix product": (node("MatMul", "x w", "y"), TOKENS, {"w": floats(12, 7)}, 2 * 5 * 12 * 7, 0, 12 * 7),
    "product of two inputs": (
        node("MatMul", "x z", "y"),
        *({"x": (2, 3, 5, 12), "z": (3, 12, 4)}, {}, 2 * 3 * 5 * 12 * 4, 0, 0),
    ),
    "product with a vector": (node("MatMul", "x w", "y"), {"x": (5, 12)}, {"w": floats(12)}, 5 * 12, 0, 12),
    "einsum": (node("Einsum", "x z", "y", equation="bqd,bkd->bqk"), {"x": (2, 5, 12), "z": (2, 7, 12)}, {}, 840, 0, 0),
    "einsum of three": (  # ij,jk: 2*3*4, then ik,kl: 2*4*5
        node("Einsum", "x z v", "y", equation="ij,jk,kl->il"),
        *({"x": (2, 3), "z": (3, 4), "v": (4, 5)}, {}, 2 * 3 * 4 + 2 * 4 * 5, 0, 0),
    ),
    "einsum of one": (node("Einsum", "x", "y", equation="bij->bi"), TOKENS, {}, 0, 2 * 5 * 12, 0),
    "LSTM": (  # 4 gates of 64 from 32 and 64; 13 per unit and step
        node("LSTM", "x w r b", "y", hidden_size=64),
        *({"x": (10, 1, 32)}, {"w": floats(1, 256, 32), "r": floats(1, 256, 64), "b": floats(1, 512)}),
        *(10 * 4 * 64 * (32 + 64), 10 * 64 * 13, 256 * 32 + 256 * 64 + 512),
    ),
    "GRU in two directions": (
        node("GRU", "x w r", "y", hidden_size=8, direction="bidirectional"),
        *({"x": (10, 3, 4)}, {"w": floats(2, 24, 4), "r": floats(2, 24, 8)}),
        *(10 * 3 * 2 * 24 * (4 + 8), 10 * 3 * 2 * 8 * 11, 2 * 24 * (4 + 8)),
    ),
    "batch normalisation": (
        node("BatchNormalization", "x s b m v", "y"),
        *(X, {name: floats(6) for name in "sbmv"}, 0, 2 * 2 * 6 * 64, 12),
    ),
    "layer normalisation": (
        node("LayerNormalization", "x s b", "y"),
        *(TOKENS, {"s": floats(12), "b": floats(12)}, 0, 5 * 120, 24),
    ),
    "activation": (node("Relu", "x", "y"), TOKENS, {}, 0, 120, 0),
    "softmax": (node("Softmax", "x", "y"), TOKENS, {}, 0, 5 * 120, 0),
    "pooling by windows": (node("MaxPool", "x", "y", kernel_shape=[3, 3]), X, {}, 0, 2 * 6 * 36 * 9, 0),
    "global pooling": (node("GlobalAveragePool", "x", "y"), X, {}, 0, 2 * 6 * 64, 0),
    "mean over axes": (node("ReduceMean", "x", "y"), X, {}, 0, 2 * 6 * 64, 0),
    "sum of three": (node("Sum", "x x x", "y"), TOKENS, {}, 0, 2 * 120, 0),
    "copies": (node("Transpose", "x", "y", perm=[0, 2, 1]), TOKENS, {}, 0, 0, 0),
    "look-up": (node("Gather", "table x", "y"), {"x": (2, 5)}, {"table": floats(100, 8)}, 0, 0, 800),
    "integer convolution": (
        node("ConvInteger", "x w", "y"),
        *({"x": (1, 2, 4, 4)}, {"w": np.ones((3, 2, 3, 3), dtype="i1")}, 3 * 4 * 2 * 9, 0, 54),
    ),
    "fused product": (
        node("FusedMatMul", "x w", "y", domain=MS, transA=1),
        *({"x": (12, 5)}, {"w": floats(12, 7)}, 5 * 12 * 7, 0, 12 * 7),
    ),
    "packed product": (  # two 4-bit weights in a byte: 12 * 7 of them, as 7 rows of one block of 16 in 8 bytes
        node("MatMulNBits", "x w s", "y", domain=MS, K=12, N=7, bits=4, block_size=16),
        *({"x": (2, 5, 12)}, {"w": np.ones((7, 1, 8), dtype="u1"), "s": floats(7)}, 2 * 5 * 12 * 7, 0, 56),
    ),
    "attention of several heads": (  # 4 heads of 3: 2 * 5 * 7 pairs * (12 + 12); 6 per pair and head
        node("MultiHeadAttention", "x k v", "y", domain=MS, num_heads=4),
        *({"x": (2, 5, 12), "k": (2, 7, 12), "v": (2, 7, 12)}, {}, 2 * 5 * 7 * 24, 4 * 2 * 5 * 7 * 6, 0),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_operator_costs_its_sum(case: str, tmp_path: Path) -> None:
    made, inputs, weights, macs, elementwise, parameters = CASES[case]
    is_integer = case.startswith("integer")
    dtypes = {"x": INT8 if is_integer else 7 if case == "look-up" else 1}
    built = model([made], inputs, weights, dtypes=dtypes)
    if made.domain == MS:  # ONNX has no shapes for these: the file says them
        sizes = {"FusedMatMul": (5, 7), "MatMulNBits": (2, 5, 7), "MultiHeadAttention": (2, 5, 12)}[made.op_type]
        from tests.onnx.graphs import tensor

        built.graph.value_info.append(tensor("y", sizes))
    totals = traced(built, tmp_path).totals
    assert totals.uncounted_operations == {}
    assert (totals.macs, totals.elementwise, totals.parameters) == (macs, elementwise, parameters)
    assert totals.buffers == (12 if case == "batch normalisation" else 0)


@pytest.mark.parametrize("heads", [4, 2])
def test_attention_counts_both_products_of_each_query_head(heads: int, tmp_path: Path) -> None:
    made = node("Attention", "q k v", "y", q_num_heads=4, kv_num_heads=heads, is_causal=1)
    inputs = {"q": (2, 5, 12), "k": (2, 7, 3 * heads), "v": (2, 7, 3 * heads)}
    found = traced(model([made], inputs, opset=23), tmp_path)
    assert found.totals.macs == 2 * 4 * 5 * 7 * (3 + 3)
    assert found.totals.elementwise == 2 * 4 * 5 * 7 * 6
    assert found.layers[0].detail == "causal"


@pytest.mark.parametrize(
    "made",
    [
        node("Frobnicate", "x", "y", domain="their.own"),
        node("GroupQueryAttention", "x x x", "y", domain=MS, num_heads=4, kv_num_heads=4),
        node("Det", "x", "y"),
    ],
    ids=lambda made: str(made.op_type),
)
def test_what_has_no_formula_is_listed_and_never_a_silent_zero(made: Any, tmp_path: Path) -> None:
    found = traced(model([made], {"x": (2, 5, 5)}), tmp_path)
    name = f"{made.domain}.{made.op_type}" if made.domain else made.op_type
    assert found.totals.uncounted_operations == {name: 1}
    assert found.layers[0].detail == "cost not known"


def test_behind_an_unknown_shape_products_are_uncounted(tmp_path: Path) -> None:
    nodes = [node("Frobnicate", "x", "y", domain="their.own"), node("MatMul", "y w", "z")]
    found = traced(model(nodes, {"x": (2, 12)}, {"w": floats(12, 7)}), tmp_path)
    assert found.totals.uncounted_operations == {"MatMul": 1, "their.own.Frobnicate": 1}
    assert found.layers[1].detail == "shape not known"
    assert found.totals.parameters == 84


def test_the_bias_behind_a_matrix_product_is_no_operation_of_its_own(tmp_path: Path) -> None:
    nodes = [node("MatMul", "x w", "y"), node("Add", "b y", "z"), node("Add", "z z", "sum")]
    found = traced(model(nodes, {"x": (5, 12)}, {"w": floats(12, 7), "b": floats(7)}), tmp_path)
    assert [layer.elementwise for layer in found.layers] == [0, 0, 5 * 7]
    assert found.totals.parameters == 12 * 7 + 7
