"""Which of a graph's stored tensors are parameters, which are buffers, and which are constants.

Counting semantics
------------------
ONNX stores parameters, running statistics, masks and settings alike, as initializers, and some exporters write them as
operators of the kind Constant, which count where an operator has its weights and nowhere else. torch's newer exporter
writes beside each initializer what it was; elsewhere the operators that take a tensor decide:

- what stands where an operator has its weights (a convolution's kernel and bias, either side of a matrix product, the
  scale of a normalisation, the table of a look-up) is a parameter, of whatever element type;
- a BatchNormalization's mean and variance are buffers, and so is the left of a product of two stored tensors;
- settings (the scales of a resize or a quantisation, the bounds of a clip) are constants;
- elsewhere (a sum, a concatenation) a floating-point tensor is a parameter, unless its name is one that an exporter
  makes up (`val_12`, `onnx::Mul_34`); integers and booleans are constants.

A tensor counts once, however often it is used, and through views (a transpose, a cast, a slice) of it. Constants count
nowhere. Which parameters are trained, ONNX doesn't say.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Literal

from archlab.onnx.inlining import DOMAINS
from archlab.onnx.names import NOT_CONSTANT, VIEWS
from archlab.onnx.reading import DTYPES, Model, Tensor, is_floating

if TYPE_CHECKING:
    import onnx

Role = Literal["parameter", "buffer", "constant"]

WEIGHT_PLACES: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "FusedConv", "LayerNormalization"), (1, 2)),
    **dict.fromkeys(
        ("LayerNormalization", "GroupNormalization", "InstanceNormalization", "BatchNormalization"), (1, 2)
    ),
    **dict.fromkeys(("RMSNormalization", "SimplifiedLayerNormalization", "PRelu", "ConvInteger"), (1,)),
    **dict.fromkeys(("MatMulBnb4", "BiasGelu"), (1,)),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), (1, 2, 3, 7)),
    **dict.fromkeys(("Gemm", "FusedGemm"), (0, 1, 2)),
    **dict.fromkeys(("MatMul", "MatMulInteger", "FusedMatMul"), (0, 1)),
    "DeformConv": (1, 3),
    "Einsum": tuple(range(8)),
    "MatMulNBits": (1, 5),
    "MultiHeadAttention": (3,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (3,),
    "SkipLayerNormalization": (2, 3, 4),
    "SkipSimplifiedLayerNormalization": (2, 3),
}
"""Inputs that hold weights, by operator."""
BUFFER_PLACES = {"BatchNormalization": (3, 4)}
SETTINGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("QuantizeLinear", "DequantizeLinear", "Clip", "OneHot"), (1, 2)),
    **dict.fromkeys(("Resize", "Pad", "MatMulNBits"), (1, 2, 3)),
    **dict.fromkeys(("Upsample", "Dropout", "TopK"), (1,)),
    **dict.fromkeys(("RoiAlign", "MatMulBnb4"), (2,)),
    "Loop": (0, 1),
    "NonMaxSuppression": (2, 3, 4),
    "Range": (0, 1, 2),
}
"""Inputs that hold settings, by operator; of the integer products with scales, all that is no weight."""
_MADE_UP = re.compile(
    r"(.*/)?(val_\d+|onnx::\w+|\d+|_?tensor_constant\d*|const(ant)?([_.:/]?\d+)?(_output_\d+)?)", re.I
)


class Weights:
    """The stored tensors of a graph, and what they are."""

    def __init__(self, model: Model, graph: onnx.GraphProto) -> None:
        self.stored: dict[str, Tensor] = dict(model.weights)
        self.alias: dict[str, str] = {name: name for name in self.stored}
        """A view's name -> the stored tensor."""
        self.uses: dict[str, list[tuple[str, int]]] = {name: [] for name in self.stored}
        self._still: set[str] = set(self.stored)
        """Names that hold nothing of the inputs, as far as is known without roles."""
        self._told = model.roles
        self._literals: set[str] = set()
        """Stored tensors that are operators of the kind Constant."""
        self._read(graph)
        self._drop_literals()
        self.roles: dict[str, Role] = {name: self._role(name) for name in self.stored}

    def _read(self, graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            if tensor.name not in self.stored:  # a subgraph's own
                self.stored[tensor.name] = Tensor(tuple(tensor.dims), DTYPES.get(tensor.data_type, ""))
                self.alias[tensor.name] = tensor.name
                self.uses[tensor.name] = []
                self._still.add(tensor.name)
        for node in graph.node:
            self._use(node)
            for attribute in node.attribute:
                for part in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                    self._read(part)

    def _drop_literals(self) -> None:
        """Forget the Constants that are no weights."""
        for name in self._literals:
            if not any(place in WEIGHT_PLACES.get(kind, ()) for kind, place in self.uses[name]):
                del self.stored[name], self.uses[name]
        self.alias = {view: name for view, name in self.alias.items() if name in self.stored}

    def _use(self, node: onnx.NodeProto) -> None:
        given = values_of(node)
        literal = _literal(node)
        if literal is not None:
            (name,) = node.output
            self.stored[name], self.alias[name], self.uses[name] = literal, name, []
            self._literals.add(name)
        if node.op_type in ("Constant", "Shape", "Size") or (
            all(name in self._still for name in given) and node.op_type not in NOT_CONSTANT
        ):
            self._still.update(node.output)
        if is_view(node, self.alias, self._still):
            self.alias.update(dict.fromkeys(node.output, self.alias[node.input[0]]))
            if node.op_type != "Gather":
                return
        both = len(given) == 2 and all(name in self.alias for name in given)
        for place, name in enumerate(node.input):
            if name in self.alias:
                kind = "left of two" if both and place == 0 and node.op_type in ("MatMul", "Gemm") else node.op_type
                self.uses[self.alias[name]].append((kind, place))

    def _role(self, name: str) -> Role:
        told = self._told.get(name)
        if told is not None:
            return "parameter" if told == "PARAMETER" else "buffer" if told == "BUFFER" else "constant"
        uses = self.uses[name]
        floating = is_floating(self.stored[name].dtype)
        if any(place in WEIGHT_PLACES.get(kind, ()) for kind, place in uses):
            return "parameter"
        if any(place in BUFFER_PLACES.get(kind, ()) or kind == "left of two" for kind, place in uses):
            return "buffer" if floating else "constant"
        open_uses = [
            (kind, place)
            for kind, place in uses
            if place not in SETTINGS.get(kind, ()) and not kind.startswith(("QLinear", "DynamicQuantize"))
        ]
        if not floating or not open_uses or _MADE_UP.fullmatch(name):
            return "constant"
        if self._told and "." not in name:
            return "constant"  # torch's exporter says of every parameter that it is one; this was computed
        return "parameter"


def _literal(node: onnx.NodeProto) -> Tensor | None:
    """The floating-point tensor, not a single number, that a Constant holds; None for all else."""
    if node.op_type != "Constant" or node.domain not in DOMAINS or len(node.output) != 1:
        return None
    held = next((item.t for item in node.attribute if item.name == "value" and item.HasField("t")), None)
    tensor = None if held is None else Tensor(tuple(held.dims), DTYPES.get(held.data_type, ""))
    return tensor if tensor is not None and is_floating(tensor.dtype) and tensor.size > 1 else None


def values_of(node: onnx.NodeProto) -> list[str]:
    """The inputs whose values decide the result: all, but for one that is taken for its element type alone."""
    return [name for name in (node.input[:1] if node.op_type == "CastLike" else node.input) if name]


def is_view(node: onnx.NodeProto, alias: Mapping[str, str], still: Container[str]) -> bool:
    """Whether a node only rearranges one stored tensor, by settings that hold nothing of the inputs."""
    if node.op_type not in VIEWS or node.domain not in DOMAINS or not node.input or node.input[0] not in alias:
        return False
    return all(name in still for name in values_of(node)[1:])
