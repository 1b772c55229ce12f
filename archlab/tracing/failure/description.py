"""Says where a forward pass failed, what the layer got and expected, and what would mend it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from torch import nn

from archlab.errors import ForwardError
from archlab.formulas import broadcast, expand, matmul_shape
from archlab.networks.strangers import words
from archlab.records import Failure, Shape, Trace
from archlab.tracing.forward import location
from archlab.tracing.forward.call_tree import Call
from archlab.tracing.inputs import shape_text


class Diagnosis(NamedTuple):
    """What was wrong with what a layer got."""

    got: str
    expected: str = ""
    remedy: str = ""
    """What to change in the network, empty where nothing follows from the numbers."""


def forward_error(
    failed: Call, trace: Trace, error: BaseException, sizes: str = "", *, is_theirs: bool = True
) -> ForwardError:
    """The error that names the layer which a run ended at.

    Args:
        failed: the innermost call that the error left.
        trace: the layers up to there.
        error: what the network raised.
        sizes: a sentence about the inputs that the network would take.
        is_theirs: whether the user can change the network, so that a layer that would fit is worth naming.
    """
    if isinstance(error, RecursionError):  # and no table of the many layers up to there
        return ForwardError(
            f"{trace.network}: its modules are nested deeper than Python's stack, or one calls itself without end "
            f"(the innermost: {_shortened(failed.path) or failed.kind}). Nest fewer, or allow more in the file that "
            f"builds it with sys.setrecursionlimit, which is {sys.getrecursionlimit():,}"
        )
    found = diagnosis(failed, words(error))
    remedy = "; ".join(part for part in (sizes, found.remedy if is_theirs or not sizes else "") if part)
    place = f"{trace.network}: {failed.path} ({failed.kind})" if failed.path else trace.network
    if found.expected:
        sentence = f"{place} got {found.got}, expected {found.expected}"
    else:
        sentence = f"{place} got {found.got or 'no tensor'} and fails: {location.first_line(error)}"
    if remedy:
        sentence = f"{sentence.rstrip('.')}; {remedy}"
    failure = Failure(
        path=failed.path,
        kind=failed.kind,
        source=_source(failed, error),
        got=found.got,
        expected=found.expected,
        remedy=remedy,
        error=words(error),
    )
    return ForwardError(sentence, failure, replace(trace, failure=failure))


def _shortened(path: str) -> str:
    """A dotted name, of which only the ends are left if it is long."""
    names = path.split(".")
    return path if len(names) <= 8 else ".".join([*names[:3], f"({len(names) - 6:,} more)", *names[-3:]])


def diagnosis(call: Call, message: str) -> Diagnosis:
    """What is wrong, from the shapes that a layer got and the settings that it has."""
    shapes = ", ".join(map(shape_text, call.inputs))
    if call.module is not None:
        for kinds, examine in _LAYERS:
            if isinstance(call.module, kinds):
                found = examine(call.module, call.inputs[0], message) if call.inputs else None
                return found or Diagnosis(shapes)
    elif call.kind in _OPERATIONS:
        return _OPERATIONS[call.kind](call.inputs, message) or Diagnosis(shapes)
    return Diagnosis(shapes)


def _source(call: Call, error: BaseException) -> str:
    """The user's line that failed; else the class of the nearest module that isn't torch's own."""
    line = location.of_error(error)
    above: Call | None = call
    while not line and above is not None:
        if above.module is not None and not type(above.module).__module__.startswith("torch."):
            line = location.of_class(type(above.module))
        above = above.parent
    return line


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _wrong(count: int, noun: str, shape: Shape, wanted: int, setting: str) -> Diagnosis | None:
    """What is wrong with so many channels or features, where as many as a setting says belong."""
    if count == wanted:
        return None
    return Diagnosis(f"{_plural(count, noun)} ({shape_text(shape)})", f"{wanted:,}", f"{setting}={count} would fit")


def _real(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    """What is wrong where real elements meet complex weights."""
    if not module.weight.is_complex() or "complex" not in message.lower():
        return None
    wanted, sizes = str(module.weight.dtype).removeprefix("torch."), shape_text(shape)
    return Diagnosis(f"real elements ({sizes})", wanted, f"give complex ones, as in --input {sizes}:{wanted}")


def _linear(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    if shape[-1] == module.in_features:
        return _real(module, shape, message)
    return _wrong(shape[-1], "feature", shape, module.in_features, "in_features")


def _convolution(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    axes = len(module.kernel_size)
    if len(shape) not in (axes + 1, axes + 2):
        return Diagnosis(f"{_plural(len(shape), 'dimension')} ({shape_text(shape)})", f"{axes + 2}, the batch first")
    if shape[-axes - 1] != module.in_channels:
        return _wrong(shape[-axes - 1], "channel", shape, module.in_channels, "in_channels")
    padding = (0,) * axes if isinstance(module.padding, str) else module.padding
    return _real(module, shape, message) or _window(shape[-axes:], module.kernel_size, padding, module.dilation)


def _pooling(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    axes = int(type(module).__name__[-2]) if type(module).__name__[-2:-1].isdigit() else len(shape) - 2
    settings = (module.kernel_size, module.padding, getattr(module, "dilation", 1))
    if len(shape) not in (axes + 1, axes + 2):
        return Diagnosis(f"{_plural(len(shape), 'dimension')} ({shape_text(shape)})", f"{axes + 2}, the batch first")
    kernel, padding, dilation = (expand(setting, axes) for setting in settings)
    return _window(shape[-axes:], kernel, padding, dilation)


def _window(spatial: Shape, kernel: Any, padding: Any, dilation: Any) -> Diagnosis | None:
    """Whether a window is larger than what it slides over."""
    parts = zip(kernel, padding, dilation, strict=True)
    least = tuple((size - 1) * gap + 1 - 2 * pad for size, pad, gap in parts)
    if all(size >= needed for size, needed in zip(spatial, least, strict=True)):
        return None
    return Diagnosis(f"{shape_text(spatial)} positions", f"at least {shape_text([max(1, size) for size in least])}")


def _normalisation(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    wanted = getattr(module, "num_features", None) or getattr(module, "num_channels", None)
    if wanted is None or len(shape) < 2:
        return None
    name = "num_features" if hasattr(module, "num_features") else "num_channels"
    return _wrong(shape[1], "channel", shape, wanted, name)


def _layer_normalisation(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    wanted = tuple(module.normalized_shape)
    last = shape[-len(wanted) :]
    if last == wanted:
        return None
    value = last[0] if len(last) == 1 else last
    got = f"{shape_text(last)} as the last sizes ({shape_text(shape)})"
    return Diagnosis(got, shape_text(wanted), f"normalized_shape={value} would fit")


def _embedding(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    found = re.search(r"got (?:torch\.)?(\w+)", message)
    if "indices" not in message:
        return None
    given, sizes = found[1] if found else "other", shape_text(shape)
    return Diagnosis(f"{given} elements ({sizes})", "int64 or int32", f"give indices, as in --input {sizes}:int64")


def _recurrent(module: Any, shape: Shape, message: str) -> Diagnosis | None:
    return _wrong(shape[-1], "feature", shape, module.input_size, "input_size")


_LAYERS: list[tuple[tuple[type[nn.Module], ...], Callable[[Any, Shape, str], Diagnosis | None]]] = [
    ((nn.Linear,), _linear),
    ((nn.Conv1d, nn.Conv2d, nn.Conv3d), _convolution),
    ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _convolution),
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), _pooling),
    ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm), _normalisation),
    ((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), _normalisation),
    ((nn.LayerNorm, nn.RMSNorm), _layer_normalisation),
    ((nn.Embedding, nn.EmbeddingBag), _embedding),
    ((nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell), _recurrent),
]


def _linear_function(shapes: tuple[Shape, ...], message: str) -> Diagnosis | None:
    if len(shapes) < 2 or shapes[0][-1] == shapes[1][-1]:
        return None
    return Diagnosis(
        f"{_plural(shapes[0][-1], 'feature')} ({shape_text(shapes[0])})", f"{shapes[1][-1]:,}, as its weight has"
    )


def _product(shapes: tuple[Shape, ...], message: str) -> Diagnosis | None:
    if len(shapes) < 2 or matmul_shape(shapes[0], shapes[1]) is not None:
        return None
    return Diagnosis(f"{shape_text(shapes[0])} times {shape_text(shapes[1])}", "inner sizes that agree")


def _concatenation(shapes: tuple[Shape, ...], message: str) -> Diagnosis | None:
    return Diagnosis(", ".join(map(shape_text, shapes)), "equal sizes along all other axes")


def _pointwise(shapes: tuple[Shape, ...], message: str) -> Diagnosis | None:
    if len(shapes) < 2 or broadcast(shapes[0], shapes[1]) is not None:
        return None
    return Diagnosis(f"{shape_text(shapes[0])} and {shape_text(shapes[1])}", "equal sizes, or 1, along every axis")


def _reshape(shapes: tuple[Shape, ...], message: str) -> Diagnosis | None:
    found = re.search(r"shape '\[([^]]*)\]' is invalid for input of size (\d+)", message)
    if not found:
        return None
    got = f"{_plural(int(found[2]), 'element')} ({shape_text(shapes[0])})"
    return Diagnosis(got, f"as many as {found[1].replace(', ', 'x')} holds")


_OPERATIONS: dict[str, Callable[[tuple[Shape, ...], str], Diagnosis | None]] = {
    "linear": _linear_function,
    **dict.fromkeys(["matmul", "mm", "bmm"], _product),
    **dict.fromkeys(["cat", "concat", "concatenate", "stack"], _concatenation),
    **dict.fromkeys(["add", "sub", "mul", "div", "maximum", "minimum"], _pointwise),
    **dict.fromkeys(["view", "reshape"], _reshape),
}
