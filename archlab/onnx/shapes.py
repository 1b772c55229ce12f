"""The shapes of a graph's tensors, by ONNX's own shape inference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from archlab.errors import ForwardError
from archlab.onnx.inlining import DOMAINS
from archlab.onnx.reading import DTYPES, Model, Tensor
from archlab.records import Shape

if TYPE_CHECKING:
    import onnx


def infer(
    model: Model, shapes: Mapping[str, Shape], symbols: Mapping[str, int], *, chosen: bool
) -> tuple[onnx.GraphProto, dict[str, Tensor], list[str]]:
    """The graph, what is known of each tensor in it, and sentences about what isn't.

    Shapes that the file holds for inner tensors are inferred anew, since they may be those of other inputs; only where
    an operator is none of ONNX's own, or inference ends, the file's word stands.

    Args:
        model: what was read, its functions written out.
        shapes: the shape of each input.
        symbols: numbers of the open sizes.
        chosen: whether the user has chosen sizes, which then are to blame if they don't fit.

    Raises:
        ForwardError: the graph doesn't take inputs of the sizes that were chosen.
    """
    import onnx
    from onnx.shape_inference import InferenceError, infer_shapes

    proto = model.proto
    for item in proto.graph.input:
        if item.name in shapes:
            _fix(item, shapes[item.name])
    for item in proto.graph.output:
        item.type.tensor_type.ClearField("shape")
    told = {item.name: item for item in proto.graph.value_info}
    del proto.graph.value_info[:]
    versions = {item.domain: item.version for item in proto.opset_import}
    for node in proto.graph.node:
        domain = "" if node.domain in DOMAINS else node.domain
        if not onnx.defs.has(node.op_type, versions.get(domain, versions.get("ai.onnx", 1)), domain):
            _tell(proto, told, symbols, node.output)
    notes: list[str] = []
    try:
        inferred = infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except InferenceError as error:
        if chosen:
            text = " x ".join(f"{name}={'x'.join(map(str, shape))}" for name, shape in shapes.items())
            raise ForwardError(f"{model.source} doesn't take {text}: {_reason(error)}") from error
        notes.append(f"ONNX's shape inference objects to this file: {_reason(error)}.")
        inferred = infer_shapes(proto, data_prop=True)
    found = known(inferred.graph)
    missing = [name for node in proto.graph.node for name in node.output if name and found.get(name, _NOTHING).shape is None]
    if missing and _tell(proto, told, symbols, missing):
        inferred = infer_shapes(proto, data_prop=True)
        found = known(inferred.graph)
    return inferred.graph, found, notes


_NOTHING = Tensor()


def _tell(
    proto: onnx.ModelProto, told: Mapping[str, onnx.ValueInfoProto], symbols: Mapping[str, int], names: object
) -> bool:
    """Adds what the file says of some tensors; whether it says anything."""
    added = False
    for name in names:  # type: ignore[attr-defined]
        item = told.get(name)
        if item is None or not item.type.tensor_type.HasField("shape"):
            continue
        sizes = [
            symbols.get(size.dim_param, 0) if size.HasField("dim_param") else size.dim_value
            for size in item.type.tensor_type.shape.dim
        ]
        if all(size > 0 for size in sizes):
            copy = proto.graph.value_info.add()
            copy.CopyFrom(item)
            _fix(copy, tuple(sizes))
            added = True
    return added


def _fix(item: onnx.ValueInfoProto, shape: Shape) -> None:
    tensor = item.type.tensor_type
    tensor.ClearField("shape")
    tensor.shape.SetInParent()
    for size in shape:
        tensor.shape.dim.add().dim_value = size


def known(graph: onnx.GraphProto) -> dict[str, Tensor]:
    """What a graph, and those inside it, say of their tensors, by name."""
    found: dict[str, Tensor] = {}
    graphs = [graph]
    while graphs:
        part = graphs.pop()
        for item in (*part.input, *part.output, *part.value_info):
            if item.type.WhichOneof("value") == "tensor_type":
                found[item.name] = _tensor(item.type.tensor_type)
        for tensor in part.initializer:
            found[tensor.name] = Tensor(tuple(tensor.dims), DTYPES.get(tensor.data_type, ""))
        for node in part.node:
            for attribute in node.attribute:
                graphs.extend([attribute.g] if attribute.HasField("g") else [])
                graphs.extend(attribute.graphs)
    return found


def _tensor(kind: onnx.TypeProto.Tensor) -> Tensor:
    dtype = DTYPES.get(kind.elem_type, "")
    if not kind.HasField("shape"):
        return Tensor(None, dtype)
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in kind.shape.dim]
    return Tensor(None if any(size < 0 for size in sizes) else tuple(sizes), dtype)


def _reason(error: Exception) -> str:
    """The library's message in one line, without what it says about itself."""
    text = " ".join(str(error).split())
    for mark in ("[ShapeInferenceError]", "[TypeInferenceError]", "Inference error(s):"):
        text = text.replace(mark, "")
    return " ".join(text.split()).rstrip(".") or type(error).__name__
