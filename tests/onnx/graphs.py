"""Small ONNX models, built by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper
from onnx.numpy_helper import from_array

from archlab.onnx import trace
from archlab.records import Trace

FLOAT, INT8, INT64, BOOL = 1, 3, 7, 9
Sizes = Sequence[int | str]


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.ones(shape, dtype="f4")


def node(kind: str, inputs: str, outputs: str, *, domain: str = "", name: str = "", **settings: Any) -> onnx.NodeProto:
    """A node; inputs and outputs are names with blanks between, `_` for one that is left out."""
    taken, made = (["" if item == "_" else item for item in text.split()] for text in (inputs, outputs))
    return helper.make_node(kind, taken, made, domain=domain, name=name, **settings)


def tensor(name: str, sizes: Sizes | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, sizes)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sizes],
    weights: Mapping[str, Any] | None = None,
    *,
    outputs: Sequence[str] = (),
    dtypes: dict[str, int] | None = None,
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of nodes; its outputs are those of the last node, where none are named."""
    domains = {item.domain for item in nodes} | {item.domain for item in functions} - {""}
    graph = helper.make_graph(
        nodes,
        "graph",
        [tensor(name, sizes, (dtypes or {}).get(name, FLOAT)) for name, sizes in inputs.items()],
        [tensor(name, None) for name in outputs or [name for name in nodes[-1].output if name][:1]],
        [from_array(value, name) for name, value in (weights or {}).items()],
    )
    imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(domain, 1) for domain in sorted(domains - {""})]]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions))


def traced(made: onnx.ModelProto, folder: Path, inputs: object = None, **options: Any) -> Trace:
    path = folder / "net.onnx"
    path.write_bytes(made.SerializeToString())
    return trace(str(path), inputs, **options)
