"""Kernel, stride, padding, dilation and groups of the operators that slide over a map."""

from __future__ import annotations

from archlab.onnx.costs import Operation, UnknownShapeError
from archlab.onnx.inlining import DOMAINS
from archlab.records import Window

CONVOLUTIONS = ("Conv", "ConvTranspose", "ConvInteger")
POOLINGS = ("MaxPool", "AveragePool", "LpPool")


def window(operation: Operation) -> Window | None:
    """The window of a convolution or a pooling; None for other operators, and where padding depends on the input."""
    is_convolution = operation.kind in CONVOLUTIONS
    if operation.domain not in DOMAINS or not (is_convolution or operation.kind in POOLINGS):
        return None
    if operation.get("auto_pad", "NOTSET") not in ("", "NOTSET", "VALID"):
        return None
    try:
        kernel = tuple(operation.get("kernel_shape") or (operation.shape(1)[2:] if is_convolution else ()))
    except UnknownShapeError:
        return None
    count = len(kernel)
    pads = tuple(operation.get("pads") or (0,) * 2 * count)
    return Window(
        kernel,
        tuple(operation.get("strides") or (1,) * count),
        tuple(zip(pads[:count], pads[count:], strict=True)),
        tuple(operation.get("dilations") or (1,) * count),
        operation.get("group", 1) if is_convolution else None,
        operation.kind == "ConvTranspose",
    )
