"""What ONNX's operators cost, as pure functions of shapes.

Counting semantics
------------------
That of `archlab.formulas`, whose functions count here too: the same operation costs the same in a graph and in torch.
Where a graph has other operations than the network it comes from, the totals of `elementwise` differ: an exporter may
write SiLU as a sigmoid and a product (2 per element instead of 1), or fold a normalisation into the convolution before
it (none instead of 2). Integer products count as products. Operators of `com.microsoft` (ONNX
Runtime's) have a formula where the shapes decide; attention over a cache whose length is a value has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from archlab.formulas import (
    DROPOUT_PER_ELEMENT,
    FREE,
    REAL_MACS_PER_COMPLEX,
    SOFTMAX_PER_ELEMENT,
    Cost,
    attention_elementwise,
    attention_macs,
    convolution_macs,
    explicit_equation,
    fourier_operations,
    matmul_macs,
    normalisation,
    rms_normalisation,
)
from archlab.onnx.inlining import DOMAINS
from archlab.onnx.names import FREE_OPERATORS, POINTWISE, REDUCTIONS
from archlab.onnx.reading import Tensor
from archlab.records import Shape

MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Operation:
    """A node with what is known of its tensors."""

    kind: str
    domain: str
    inputs: tuple[Tensor | None, ...]
    """None for an input that is left out."""
    outputs: tuple[Tensor | None, ...]
    attributes: Mapping[str, Any]

    def shape(self, place: int) -> Shape:
        """The shape of an input.

        Raises:
            UnknownShapeError: nobody knows it, or there is no such input.
        """
        return _known(self.inputs[place] if place < len(self.inputs) else None)

    def output(self, place: int = 0) -> Shape:
        """The shape of an output; raises as `shape`."""
        return _known(self.outputs[place] if place < len(self.outputs) else None)

    def has(self, place: int) -> bool:
        """Whether an input is given."""
        return place < len(self.inputs) and self.inputs[place] is not None

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, texts as such."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class UnknownShapeError(Exception):
    """A formula needs a shape that inference doesn't know."""


def _known(tensor: Tensor | None) -> Shape:
    if tensor is None or tensor.shape is None:
        raise UnknownShapeError
    return tensor.shape


def cost(operation: Operation) -> Cost | None:
    """What an operation takes; None where there is no formula.

    Raises:
        UnknownShapeError: the formula needs a shape that inference doesn't know.
    """
    formula = _formula(operation)
    found = formula(operation) if formula is not None else None
    if found is None or isinstance(found, Cost):
        return found
    first = operation.outputs[0] if operation.outputs else None
    is_complex = first is not None and first.dtype.startswith("complex")
    return Cost(found * REAL_MACS_PER_COMPLEX if is_complex else found)


def has_macs(operation: Operation) -> bool:
    """Whether it is an operator with products."""
    return _formula(operation) in _PRODUCTS


_Formula = Callable[[Operation], "int | Cost | None"]


def _formula(operation: Operation) -> _Formula | None:
    kind = operation.kind
    if operation.domain in DOMAINS:
        return _OWN.get(kind)
    return _MICROSOFT.get(kind) if operation.domain == MICROSOFT else None


def _free(operation: Operation) -> Cost:
    return FREE


def _pointwise(operation: Operation) -> Cost:
    return Cost(0, prod(operation.output()))


def _variadic(operation: Operation) -> Cost:
    operands = len(operation.inputs)
    steps = operands if operation.kind == "Mean" else operands - 1
    return Cost(0, steps * prod(operation.output()))


def _reduction(operation: Operation) -> Cost:
    return Cost(0, prod(operation.shape(0)))


def _softmax(operation: Operation) -> Cost:
    return Cost(0, SOFTMAX_PER_ELEMENT * prod(operation.shape(0)))


def _pooling(operation: Operation) -> Cost:
    return Cost(0, prod(operation.output()) * prod(operation.get("kernel_shape", ())))


def _batch_norm(operation: Operation) -> Cost:
    return Cost(0, normalisation(prod(operation.shape(0)), static=not operation.get("training_mode", 0)))


def _normalised(operation: Operation) -> Cost:
    return Cost(0, normalisation(prod(operation.shape(0)), affine=operation.has(1)))


def _rms_normalised(operation: Operation) -> Cost:
    return Cost(0, rms_normalisation(prod(operation.shape(0)), affine=operation.has(1)))


def _skip_normalised(operation: Operation) -> Cost:
    elements = prod(operation.shape(0))
    sums = 1 + operation.has(4 if operation.kind == "SkipLayerNormalization" else 3)
    is_rms = operation.kind == "SkipSimplifiedLayerNormalization"
    own = rms_normalisation(elements, affine=True) if is_rms else normalisation(elements)
    return Cost(0, sums * elements + own)


def _dropout(operation: Operation) -> Cost:
    return Cost(0, DROPOUT_PER_ELEMENT * prod(operation.output())) if operation.get("training_mode") else FREE


def _dynamic_quantisation(operation: Operation) -> Cost:
    return Cost(0, 2 * prod(operation.shape(0)))  # the range is a reduction, then each element is scaled


def _bias_gelu(operation: Operation) -> Cost:
    return Cost(0, 2 * prod(operation.output()))


def _scatter(operation: Operation) -> Cost:
    is_plain = operation.get("reduction", "none") == "none"
    return FREE if is_plain else Cost(0, prod(operation.shape(2)))


def _resize(operation: Operation) -> Cost:
    axes = len(operation.output()) - 2
    mode = operation.get("mode", "nearest")
    each = {"nearest": 1, "linear": 2 * 2**axes, "cubic": 2 * 4**axes}.get(mode, 1)
    return Cost(0, each * prod(operation.output()))


def _grid_sample(operation: Operation) -> Cost:
    mode = operation.get("mode", "linear").removeprefix("bi")
    neighbours = {"linear": 2, "nearest": 0, "cubic": 4}.get(mode, 2) ** (len(operation.output()) - 2)
    return Cost(0, max(1, 2 * neighbours) * prod(operation.output()))


def _affine_grid(operation: Operation) -> Cost:
    return Cost(0, 2 * operation.shape(0)[-1] * prod(operation.output()))


def _region_pooling(operation: Operation) -> Cost:
    return Cost(0, prod(operation.output()) * max(1, operation.get("sampling_ratio", 0)) ** 2 * 8)


def _fourier(operation: Operation) -> Cost | None:
    shape = operation.shape(0)
    if operation.has(2) or (len(shape) != 3 and "axis" not in operation.attributes):
        return None  # which axis it goes along is a value, or changed its default between ONNX's versions
    size = shape[operation.get("axis", 1)]
    numbers = prod(shape[:-1])  # the last axis holds real and imaginary parts
    return Cost(0, fourier_operations(size, numbers // max(1, size)))


def _convolution(operation: Operation) -> int:
    return convolution_macs(operation.shape(0), operation.shape(1), operation.output(), transposed=False)


def _transposed_convolution(operation: Operation) -> int:
    return convolution_macs(operation.shape(0), operation.shape(1), operation.output(), transposed=True)


def _quantised_convolution(operation: Operation) -> int:
    return convolution_macs(operation.shape(0), operation.shape(3), operation.output(), transposed=False)


def _fused_convolution(operation: Operation) -> Cost:
    return Cost(_convolution(operation), (1 + operation.has(3)) * prod(operation.output()))


def _gemm(operation: Operation) -> int:
    left = operation.shape(0)
    return left[0 if operation.get("transA", 0) else 1] * prod(operation.output())


def _fused_gemm(operation: Operation) -> Cost:
    return Cost(_gemm(operation), prod(operation.output()))


def _matmul(operation: Operation) -> int:
    left = operation.shape(0)
    inner = -2 if operation.get("transA", 0) and len(left) > 1 else -1
    return matmul_macs((left[inner],), operation.output())


def _packed_matmul(operation: Operation) -> int | None:
    inner, columns = operation.get("K"), operation.get("N")
    if not isinstance(inner, int) or not isinstance(columns, int):
        return None
    return prod(operation.shape(0)[:-1]) * inner * columns


def _einsum(operation: Operation) -> int | Cost | None:
    """Operands from left to right, as torch does; a letter is summed as soon as nothing behind it has it."""
    shapes = [operation.shape(place) for place in range(len(operation.inputs))]
    equation = explicit_equation(operation.get("equation", ""), [len(shape) for shape in shapes])
    operands, arrow, kept = equation.partition("->")
    terms = operands.split(",")
    if not arrow or len(terms) != len(shapes):
        return None
    if any(len(term) != len(shape) for term, shape in zip(terms, shapes, strict=True)):
        return None
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    if len(terms) == 1:
        return Cost(0, prod(shapes[0]) if set(terms[0]) - set(kept) else 0)
    macs, summed = 0, 0
    for place, term in enumerate(terms):  # a letter of one operand alone is summed before any product
        others = {*"".join(terms[:place]), *"".join(terms[place + 1 :]), *kept}
        if set(term) - others:
            summed += prod(shapes[place])
            terms[place] = "".join(letter for letter in term if letter in others)
    left = set(terms[0])
    for place, term in enumerate(terms[1:], start=1):
        letters = left | set(term)
        macs += prod(sizes[letter] for letter in letters)
        left = letters & {*"".join(terms[place + 1 :]), *kept}
    return Cost(macs, summed)


_GATES = {"LSTM": (4, 13), "GRU": (3, 11), "RNN": (1, 2)}
"""Gates, and elementwise operations per hidden unit and step, as `archlab.tracing.quick.recurrent` lists them."""


def _recurrent(operation: Operation) -> Cost:
    inputs, weight, recurrent = (operation.shape(place) for place in range(3))
    steps = prod(inputs[:-1])  # each step of each sample, in either layout
    _, each = _GATES[operation.kind]
    return Cost(steps * (prod(weight) + prod(recurrent)), steps * weight[0] * recurrent[-1] * each)


def _attention(operation: Operation) -> Cost:
    """ONNX's own: (batch, heads, length, features), or (batch, length, heads * features) with the number of heads."""
    shapes = [operation.shape(place) for place in range(3)]
    if len(shapes[0]) == 3:
        heads = [operation.get("q_num_heads", 1), *[operation.get("kv_num_heads", 1)] * 2]
        shapes = [(s[0], count, s[1], s[2] // count) for s, count in zip(shapes, heads, strict=True)]
    query, key, value = shapes
    past = operation.shape(4)[2] if operation.has(4) else 0
    key = (*key[:2], key[2] + past, key[3])
    return Cost(attention_macs(query, key, value), attention_elementwise(query, key, masked=operation.has(3)))


def _multi_head_attention(operation: Operation) -> Cost | None:
    """ONNX Runtime's, of (batch, length, heads * features) each; packed operands and caches have no formula here."""
    rest = range(6, len(operation.inputs))
    if not operation.has(1) or not operation.has(2) or any(operation.has(place) for place in rest):
        return None
    query, key, value = (operation.shape(place) for place in range(3))
    heads = operation.get("num_heads", 0)
    if not heads or {len(query), len(key), len(value)} != {3}:
        return None
    pairs = heads * query[0] * query[1] * key[1]
    masked = operation.has(4) + operation.has(5)
    biased = prod(query) + prod(key) + prod(value) if operation.has(3) else 0
    macs = query[0] * query[1] * key[1] * (query[2] + value[2])  # heads times features of a head is the width
    return Cost(macs, pairs * (1 + SOFTMAX_PER_ELEMENT + masked) + biased)


_PRODUCTS: set[_Formula] = {
    *(_convolution, _transposed_convolution, _quantised_convolution, _fused_convolution, _gemm, _fused_gemm, _matmul),
    *(_packed_matmul, _einsum, _recurrent, _attention, _multi_head_attention),
}

_OWN: dict[str, _Formula] = {
    **dict.fromkeys(FREE_OPERATORS, _free),
    **dict.fromkeys(POINTWISE, _pointwise),
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(("Max", "Min", "Sum", "Mean"), _variadic),
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), _pooling),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization", "LayerNormalization"), _normalised),
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization"), _rms_normalised),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), _scatter),
    **dict.fromkeys(("Conv", "ConvInteger", "DeformConv"), _convolution),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
    "AffineGrid": _affine_grid,
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    "ConvTranspose": _transposed_convolution,
    "DFT": _fourier,
    "Dropout": _dropout,
    "DynamicQuantizeLinear": _dynamic_quantisation,
    "Einsum": _einsum,
    "Gemm": _gemm,
    "GridSample": _grid_sample,
    "QLinearConv": _quantised_convolution,
    "RoiAlign": _region_pooling,
}
"""By name, in ONNX's own domain. What isn't here has no formula: solvers (`Det`), text, trees, image files, losses."""

_MICROSOFT: dict[str, _Formula] = {
    **dict.fromkeys(("Gelu", "FastGelu", "QuickGelu", "QLinearAdd", "QLinearMul", "QLinearSigmoid"), _pointwise),
    **dict.fromkeys(("QLinearLeakyRelu", "QuantizeLinear", "DequantizeLinear"), _pointwise),
    **dict.fromkeys(("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"), _skip_normalised),
    **dict.fromkeys(("MatMulNBits", "MatMulBnb4"), _packed_matmul),
    "BiasGelu": _bias_gelu,
    "FusedConv": _fused_convolution,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _matmul,
    "MultiHeadAttention": _multi_head_attention,
    "QLinearConcat": _free,
    "QLinearGlobalAveragePool": _reduction,
}
"""By name, in ONNX Runtime's domain; what isn't here has no formula."""
