"""What the axes of an operator's result are, where the operator says so: its weights do, as torch's layers' do."""

from __future__ import annotations

from archlab.onnx.costs import Operation
from archlab.onnx.names import MAPS, VECTORS
from archlab.records.trace import MAP_AXES


def axes(operation: Operation) -> tuple[str, ...]:
    """The names of the axes of the first result, "" where the operator doesn't say; () if it says nothing at all."""
    first = operation.outputs[0] if operation.outputs else None
    if first is None or first.shape is None:
        return ()
    dimensions = len(first.shape)
    if operation.kind in MAPS and dimensions - 2 in MAP_AXES:
        return ("batch", "channels", *MAP_AXES[dimensions - 2])
    if operation.kind in MAPS or operation.kind in VECTORS or _by_matrix(operation):
        return ("batch", "features") if dimensions == 2 else (*[""] * (dimensions - 1), "features")
    return ("batch", "heads", "tokens", "features") if operation.kind == "Attention" and dimensions == 4 else ()


def _by_matrix(operation: Operation) -> bool:
    right = operation.inputs[1] if operation.kind == "MatMul" and len(operation.inputs) > 1 else None
    return right is not None and right.shape is not None and len(right.shape) == 2
