"""From a file to a model: its graph, without the values of its weights.

External data (`F.onnx.data`, where weights of more than 2 GB lie) is never opened: sizes and types stand in the model
itself. Values of large tensors that are inside the file are dropped as soon as it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.errors import InputError, SourceError
from archlab.records import Shape

if TYPE_CHECKING:
    import onnx

SUFFIX = ".onnx"
LARGEST_FILE = 2**31 - 1
"""Bytes: protobuf has no messages beyond."""
LARGEST_CONSTANT = 1024
"""Elements of a tensor whose values can decide a shape. Larger ones are weights, and only their shape is kept."""
ROLE_KEY = "pkg.torch.export.graph_signature.InputSpec.kind"
DTYPES = dict(
    enumerate(
        (
            *("float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64"),
            *("uint32", "uint64", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz"),
            *("float8_e5m2", "float8_e5m2fnuz", "uint4", "int4", "float4_e2m1fn", "float8_e8m0fnu", "uint2", "int2"),
        ),
        start=1,
    )
)
"""Element types by their number in `TensorProto.DataType`, as torch names them."""
BITS = {"bool": 8, "string": 0, "bfloat16": 16, "float8": 8, "float4": 4}


@dataclass(frozen=True, slots=True)
class Tensor:
    """What is known of a tensor before anything runs."""

    shape: Shape | None = None
    """None where it isn't known."""
    dtype: str = ""
    """As torch names it; empty where it isn't known."""

    @property
    def size(self) -> int:
        """The number of elements; 0 where the shape isn't known."""
        count = 1
        for length in self.shape or ():
            count *= length
        return 0 if self.shape is None else count

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; types of less than a byte share bytes."""
        return (self.size * bits(self.dtype) + 7) // 8


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input as the file declares it."""

    name: str
    sizes: tuple[int | str, ...] | None
    """Its sizes, by name where they are open and empty where they have none; None where even their number is open."""
    dtype: str


@dataclass(frozen=True, slots=True)
class Model:
    """A file's graph, without the values of its weights."""

    source: str
    proto: onnx.ModelProto
    """What shape inference takes: weights are inputs here, so that only their type and sizes are left of them."""
    inputs: tuple[GraphInput, ...]
    weights: dict[str, Tensor]
    """The initializers of the graph by name."""
    roles: dict[str, str]
    """What torch's exporter says of an initializer: `PARAMETER`, `BUFFER`, `CONSTANT_TENSOR`."""


def bits(dtype: str) -> int:
    """The bits of one element.

    >>> bits("float32"), bits("complex64"), bits("int4"), bits("bool"), bits("float8_e5m2")
    (32, 64, 4, 8, 8)
    """
    known = BITS.get(dtype.partition("_")[0])
    return int("".join(letter for letter in dtype if letter.isdigit()) or 0) if known is None else known


def is_floating(dtype: str) -> bool:
    """Whether the elements are real or complex numbers."""
    return dtype.startswith(("float", "bfloat", "complex"))


def is_graph_file(source: object) -> bool:
    """Whether a source names an ONNX file."""
    return isinstance(source, str) and source.lower().endswith(SUFFIX)


def read(source: str) -> Model:
    """The model in a file, without the values of its weights.

    Raises:
        SourceError: there is no such file, it holds no ONNX model, or the library that reads it is not installed.
    """
    path = Path(source).expanduser()
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise SourceError(
            f"{source} needs the library onnx, which is not installed: pip install 'archlab[onnx]'"
        ) from error
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise SourceError(f"{source} is no file, expected an ONNX model")
        if size > LARGEST_FILE:
            raise SourceError(
                f"{source} has {size / 1e9:.1f} GB, and no ONNX model has more than 2: save it with its weights beside "
                "it, onnx.save(model, path, save_as_external_data=True)"
            )
        model = onnx.ModelProto()
        model.ParseFromString(path.read_bytes())
    except FileNotFoundError:
        raise SourceError(f"there is no file {source}: expected an ONNX model") from None
    except OSError as error:
        raise SourceError(f"{source} can't be read: {error.strerror}") from error
    except DecodeError as error:
        raise SourceError(f"{source} can't be read as an ONNX model: the file is damaged, or something else") from error
    if not model.HasField("graph") or not model.opset_import or not (model.graph.node or model.graph.output):
        raise SourceError(f"{source} holds no ONNX model: it has no graph of operators")
    _check(model, source)
    return _without_values(model, source)


def _without_values(model: onnx.ModelProto, source: str) -> Model:
    """The model in which a weight, or what has its values in another file, is an input: only type and sizes stay."""
    import onnx

    graph = model.graph
    stored = {tensor.name: Tensor(tuple(tensor.dims), DTYPES.get(tensor.data_type, "")) for tensor in graph.initializer}
    for item in graph.sparse_initializer:
        stored[item.values.name] = Tensor(tuple(item.dims), DTYPES.get(item.values.data_type, ""))
    declared = {item.name for item in graph.input}
    inputs = tuple(_declared(item, source) for item in graph.input if item.name not in stored)
    kept: list[onnx.TensorProto] = []
    for tensor in graph.initializer:
        if length(tensor) <= LARGEST_CONSTANT and tensor.data_location != onnx.TensorProto.EXTERNAL:
            kept.append(tensor)
        elif tensor.name not in declared:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    roles = {
        item.name: prop.value
        for item in graph.value_info
        if item.name in stored
        for prop in item.metadata_props
        if prop.key == ROLE_KEY
    }
    return Model(source, model, inputs, stored, roles)


def _declared(item: onnx.ValueInfoProto, source: str) -> GraphInput:
    kind = item.type.WhichOneof("value")
    if kind != "tensor_type":
        raise SourceError(
            f"{source} takes {item.name!r}, which is no tensor ({(kind or 'no type').removesuffix('_type')}): archlab "
            "measures graphs whose inputs are tensors"
        )
    tensor = item.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type, "")
    if not tensor.HasField("shape"):
        return GraphInput(item.name, None, dtype)
    sizes = tuple(size.dim_value if size.HasField("dim_value") else size.dim_param for size in tensor.shape.dim)
    return GraphInput(item.name, tuple(size if size != 0 else "" for size in sizes), dtype)


def _check(model: onnx.ModelProto, source: str) -> None:
    """Holds that names are texts and sizes are none below zero, which protobuf doesn't.

    Raises:
        SourceError: they are not.
    """
    graphs = [model.graph]
    bodies: list[Sequence[onnx.NodeProto]] = [function.node for function in model.functions]
    tensors: list[onnx.TensorProto] = []
    names: list[object] = [
        name for item in model.functions for name in (item.name, item.domain, *item.input, *item.output)
    ]
    names += [item.domain for item in model.opset_import]
    while graphs or bodies:
        if graphs:
            graph = graphs.pop()
            tensors += graph.initializer
            names += [item.name for item in (*graph.input, *graph.output, *graph.value_info)]
            bodies.append(graph.node)
        for node in bodies.pop():
            names += [node.name, node.op_type, node.domain, node.overload, *node.input, *node.output]
            names += [text for item in node.metadata_props for text in (item.key, item.value)]
            for attribute in node.attribute:
                names += [attribute.name, attribute.ref_attr_name]
                tensors += [attribute.t] if attribute.HasField("t") else []
                graphs.extend([attribute.g] if attribute.HasField("g") else [])
                graphs.extend(attribute.graphs)
    names += [tensor.name for tensor in tensors]
    if any(not isinstance(name, str) for name in names):
        raise SourceError(f"{source} is damaged: it has names that are no text")
    for tensor in tensors:
        if any(size < 0 for size in tensor.dims):
            raise SourceError(f"{source} is damaged: its tensor {tensor.name!r} has the sizes {list(tensor.dims)}")


def length(tensor: onnx.TensorProto) -> int:
    """The elements that a tensor in the file has by its sizes."""
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def attributes(node: onnx.NodeProto) -> dict[str, object]:
    """A node's attributes by name, as Python values.

    Raises:
        InputError: one has a type that the library doesn't know.
    """
    from onnx.helper import get_attribute_value

    try:
        return {attribute.name: get_attribute_value(attribute) for attribute in node.attribute}
    except ValueError as error:
        raise InputError(
            f"the node {node.name or node.op_type!r} has an attribute that can't be read: {error}"
        ) from error
