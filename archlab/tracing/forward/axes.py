"""What the axes of a layer's result are, where the layer itself says so.

A shape doesn't tell: 1x197x768 may be a signal of 197 channels or 197 tokens of 768 features. The layer's weights do. A
convolution in two dimensions writes its channels third from last, a linear layer its features last, an LSTM gives one
row of features per step, and knows by `batch_first` which of the other two axes is the batch. What is no layer with
weights (an addition, a transpose) says nothing here; `archlab.analysis.axes` follows the names through it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from torch import nn

from archlab.records.trace import MAP_AXES
from archlab.tracing.forward.call_tree import Call

Axes = tuple[str, ...]
_Rule = Callable[[Any, int], Axes]


def axes(call: Call) -> Axes:
    """The names of the axes of a call's first result, "" where the layer doesn't say; () if it says nothing at all."""
    kind: Any = type(call.module)
    rule = _OPERATIONS.get(call.kind) if call.module is None else _rule_of_class(kind)
    if rule is None or not call.outputs:
        return ()
    if call.children and not isinstance(call.module, nn.MultiheadAttention):
        return ()  # a subclass with a forward of its own: its operations say more
    ndim = len(call.outputs[0])
    named = rule(call.module, ndim)
    return named if len(named) == ndim else ()


@cache
def _rule_of_class(kind: Any) -> _Rule | None:
    return next((rule for base, rule in _CLASSES.items() if issubclass(kind, base)), None)


def _convolution(dimensions: int) -> _Rule:
    return lambda module, ndim: ("batch", "channels", *MAP_AXES[dimensions])[dimensions + 2 - ndim :]


def _channels_second(module: Any, ndim: int) -> Axes:
    if ndim == 2:
        return "batch", "features"
    return ("batch", "channels", *MAP_AXES[ndim - 2]) if ndim - 2 in MAP_AXES else ()


def _features_last(module: Any, ndim: int) -> Axes:
    return ("batch", "features") if ndim == 2 else (*[""] * (ndim - 1), "features")


def _normalised(module: Any, ndim: int) -> Axes:
    parts = len(module.normalized_shape)
    if parts == 1:
        return _features_last(module, ndim)
    return _channels_second(module, ndim) if parts == ndim - 1 and parts > 2 else ()  # over a whole picture


def _looked_up(module: Any, ndim: int) -> Axes:
    return ("batch", "tokens", "features") if ndim == 3 else _features_last(module, ndim)


def _sequence(positions: str) -> _Rule:
    def rule(module: Any, ndim: int) -> Axes:
        if ndim == 2:
            return positions, "features"
        return ("batch", positions, "features") if module.batch_first else (positions, "batch", "features")

    return rule


def _heads(module: Any, ndim: int) -> Axes:
    return ("batch", "heads", "tokens", "features")[-ndim:]


_CLASSES: dict[type[nn.Module], _Rule] = {
    nn.Conv1d: _convolution(1),
    nn.Conv2d: _convolution(2),
    nn.Conv3d: _convolution(3),
    nn.ConvTranspose1d: _convolution(1),
    nn.ConvTranspose2d: _convolution(2),
    nn.ConvTranspose3d: _convolution(3),
    nn.modules.batchnorm._BatchNorm: _channels_second,
    nn.GroupNorm: _channels_second,
    nn.LayerNorm: _normalised,
    nn.RMSNorm: _normalised,
    nn.Linear: _features_last,
    nn.Bilinear: _features_last,
    nn.Embedding: _looked_up,
    nn.EmbeddingBag: _features_last,
    nn.RNNBase: _sequence("time"),
    nn.RNNCellBase: _features_last,
    nn.MultiheadAttention: _sequence("tokens"),
}
"""By class, the first that a module is one of."""

_OPERATIONS: dict[str, _Rule] = {
    **{f"conv{dimensions}d": _convolution(dimensions) for dimensions in MAP_AXES},
    **{f"conv_transpose{dimensions}d": _convolution(dimensions) for dimensions in MAP_AXES},
    "batch_norm": _channels_second,
    "group_norm": _channels_second,
    "layer_norm": _features_last,
    "rms_norm": _features_last,
    "linear": _features_last,
    "embedding": _looked_up,
    "scaled_dot_product_attention": _heads,
}
