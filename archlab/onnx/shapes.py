"""The shapes of a graph's tensors, by ONNX's own shape inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from archlab.errors import ForwardError, SourceError
from archlab.onnx.arithmetic import Array, shape_value, value
from archlab.onnx.inlining import DOMAINS
from archlab.onnx.reading import DTYPES, LARGEST_CONSTANT, Model, Tensor, attributes, length
from archlab.records import Shape

if TYPE_CHECKING:
    import onnx


_NUMBERS = {name: number for number, name in DTYPES.items()}


def infer(model: Model, shapes: Mapping[str, Shape], symbols: Mapping[str, int], *, chosen: bool) -> Inferred:
    """The graph, and what is known of each tensor in it.

    Shapes that the file holds for inner tensors are inferred anew, since they may be those of other inputs; only where
    an operator is none of ONNX's own, or inference ends, the file's word stands.

    Args:
        model: what was read, its functions written out.
        shapes: the shape of each input.
        symbols: numbers of the open sizes.
        chosen: whether the user has chosen sizes, which then are to blame if they don't fit.

    Raises:
        SourceError: the file is damaged.
        ForwardError: the graph doesn't take inputs of the sizes that were chosen.
    """
    import onnx
    from onnx.checker import ValidationError
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
        missing = sorted({node.domain for node in proto.graph.node} - set(versions) - set(DOMAINS))
        if missing:
            raise SourceError(
                f"{model.source} has operators of {', '.join(missing)} and names no version of it, as ONNX demands: "
                "export it again, or add the domain to the model's opset_import"
            ) from error
        if chosen:
            raise ForwardError(f"{model.source} doesn't take {_listed(shapes)}: {_reason(error)}") from error
        notes.append(f"ONNX's shape inference objects to this file: {_reason(error)}.")
        try:
            inferred = infer_shapes(proto, data_prop=True)
        except InferenceError:
            raise SourceError(f"{model.source} can't be read by ONNX's shape inference: {_reason(error)}") from error
    except (ValidationError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{model.source} can't be read by ONNX's shape inference: {_reason(error)}") from error
    found = known(inferred.graph)
    if _missing(proto.graph, found) and _tell(proto, told, symbols, _missing(proto.graph, found)):
        inferred = infer_shapes(proto, data_prop=True)
        found = known(inferred.graph)
    result = Inferred(inferred.graph, found, stored_values(inferred.graph), notes)
    if _missing(proto.graph, found):
        _Steps(result, versions, proto.ir_version).run()
    reasons = [*result.reasons.values(), *_torn(result)]
    if chosen and reasons:
        raise ForwardError(f"{model.source} doesn't take {_listed(shapes)}: {reasons[0]}")
    notes += [f"ONNX's shape inference objects to this file: {reason}." for reason in reasons[:1]]
    return result


def _torn(result: Inferred) -> Iterator[str]:
    """Reshapes to another number of elements: exporters may have written sizes of their example into the file."""
    for node in result.graph.node:
        if node.op_type == "Reshape" and node.input and node.output:
            before, after = (result.known.get(name, _NOTHING) for name in (node.input[0], node.output[0]))
            if before.shape is not None and after.shape is not None and before.size != after.size:
                sizes = ["x".join(map(str, item.shape or ())) for item in (before, after)]
                yield f"Reshape {node.name!r} makes {sizes[1]} of {sizes[0]}, which has another number of elements"


@dataclass(slots=True)
class Inferred:
    """What inference found out."""

    graph: onnx.GraphProto
    known: dict[str, Tensor]
    """What is known of each tensor, by name."""
    values: dict[str, Array]
    """What small constants hold."""
    notes: list[str]
    """Sentences about what isn't known."""
    reasons: dict[str, str] = field(default_factory=dict)
    """Why a tensor's shape isn't known, where inference gives a reason."""


def _missing(graph: onnx.GraphProto, found: Mapping[str, Tensor]) -> list[str]:
    return [name for node in graph.node for name in node.output if name and found.get(name, _NOTHING).shape is None]


_NOTHING = Tensor()


class _Steps:
    """Infers shapes operator by operator, with the arithmetic on shapes in between, which ONNX's own pass lacks."""

    def __init__(self, result: Inferred, versions: Mapping[str, int], ir_version: int) -> None:
        self.result = result
        self.versions = versions
        self.ir_version = ir_version

    def run(self) -> None:
        """Fills in what can be known, in the order of execution."""
        known, values = self.result.known, self.result.values
        for node in self.result.graph.node:
            if any(name and known.get(name, _NOTHING).shape is None for name in node.output):
                self._infer(node)
            if node.domain not in DOMAINS or len(node.output) != 1 or node.output[0] in values:
                continue
            found = None
            if node.op_type == "Shape" and (shape := known.get(node.input[0], _NOTHING).shape) is not None:
                found = shape_value(shape, attributes(node))
            elif any(name in values for name in node.input):
                found = value(node.op_type, [values.get(name) for name in node.input], attributes(node))
            if found is not None:
                values[node.output[0]] = found
                dtype = known.get(node.output[0], _NOTHING).dtype or str(found.dtype)
                known[node.output[0]] = Tensor(tuple(found.shape), dtype)

    def _infer(self, node: onnx.NodeProto) -> None:
        import onnx
        from onnx.checker import ValidationError
        from onnx.helper import make_tensor_type_proto
        from onnx.numpy_helper import from_array
        from onnx.shape_inference import InferenceError, infer_node_outputs

        known, values = self.result.known, self.result.values
        domain = "" if node.domain in DOMAINS else node.domain
        version = self.versions.get(domain, self.versions.get("ai.onnx", 1))
        given = {name: known.get(name, _NOTHING) for name in node.input if name}
        if not onnx.defs.has(node.op_type, version, domain) or any(
            item.dtype not in _NUMBERS for item in given.values()
        ):
            return
        try:
            types = infer_node_outputs(
                onnx.defs.get_schema(node.op_type, version, domain),
                node,
                {name: make_tensor_type_proto(_NUMBERS[item.dtype], item.shape) for name, item in given.items()},
                {name: from_array(np.array(values[name], order="C")) for name in given if name in values},
                opset_imports=[onnx.helper.make_opsetid(name, number) for name, number in self.versions.items()],
                ir_version=self.ir_version,
            )
        except (InferenceError, ValidationError) as error:
            reason = f"{node.op_type} {node.name!r}: {_reason(error)}"
            self.result.reasons.update(dict.fromkeys(node.output, reason))
            return
        except (ValueError, TypeError, RuntimeError):
            return  # nothing is said of this operator; the row says so
        for name, kind in types.items():
            if kind.WhichOneof("value") == "tensor_type":
                known[name] = _tensor(kind.tensor_type)


def stored_values(graph: onnx.GraphProto) -> dict[str, Array]:
    """What small constants hold, by name, those of loops and branches too."""
    from onnx.numpy_helper import to_array

    found: dict[str, Array] = {}
    graphs = [graph]
    while graphs:
        part = graphs.pop()
        tensors = [(item.name, item) for item in part.initializer]
        for node in part.node:
            for attribute in node.attribute:
                graphs.extend([attribute.g] if attribute.HasField("g") else [])
                graphs.extend(attribute.graphs)
                if node.op_type == "Constant" and node.output:
                    if attribute.name == "value":
                        tensors.append((node.output[0], attribute.t))
                    elif attribute.name in ("value_int", "value_ints"):
                        numbers = attribute.i if attribute.name == "value_int" else list(attribute.ints)
                        found[node.output[0]] = np.array(numbers, dtype="i8")
                    elif attribute.name in ("value_float", "value_floats"):
                        floats = attribute.f if attribute.name == "value_float" else list(attribute.floats)
                        found[node.output[0]] = np.array(floats, dtype="f4")
        for name, tensor in tensors:
            if length(tensor) <= LARGEST_CONSTANT:
                try:
                    found[name] = to_array(tensor)
                except (ValueError, TypeError, OSError, RuntimeError):
                    continue  # its values are elsewhere, or damaged: then nobody knows them
    return found


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


def _listed(shapes: Mapping[str, Shape]) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in shapes.items())


def _reason(error: Exception) -> str:
    """The library's message in one line, without what it says about itself."""
    text = " ".join(str(error).split())
    for mark in ("[ShapeInferenceError]", "[TypeInferenceError]", "Inference error(s):"):
        text = text.replace(mark, "")
    return " ".join(text.split()).rstrip(".") or type(error).__name__
