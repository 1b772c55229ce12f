"""Kernel, stride, padding, dilation and groups of what slides over a map: modules, and torch's functions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from torch import nn

from archlab.records import Window
from archlab.tracing.pytree import shape_of

_POOLINGS: tuple[Any, ...] = tuple(
    getattr(nn, f"{kind}Pool{axes}d")
    for kind in ("Max", "Avg", "LP")
    for axes in (1, 2, 3)
    if hasattr(nn, f"{kind}Pool{axes}d")
)
_CONVOLUTION = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation")
_ATEN = ("input", "weight", "bias", "stride", "padding", "dilation", "transposed", "output_padding", "groups")
_MAXIMUM = ("input", "kernel_size", "stride", "padding", "dilation")
_AVERAGE = ("input", "kernel_size", "stride", "padding")


def module_window(module: nn.Module) -> Window | None:
    """The window of a convolution or a pooling of torch's; None for any other module."""
    if isinstance(module, nn.modules.conv._ConvNd):
        return _window(
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            len(module.kernel_size),
            module.groups,
            module.transposed,
        )
    if isinstance(module, _POOLINGS):
        axes = int(re.findall(r"Pool(\d)d", " ".join(kind.__name__ for kind in type(module).__mro__))[0])
        stride = module.kernel_size if module.stride is None else module.stride
        return _window(module.kernel_size, stride, getattr(module, "padding", 0), getattr(module, "dilation", 1), axes)
    return None


def operation_window(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Window | None:
    """The window of a call of `torch.nn.functional.conv2d` and its like; None for any other operation."""
    sliding = _sliding(name)
    if sliding is None:
        return None
    kind, axes = sliding
    names = {"conv": _CONVOLUTION, "conv_transpose": _TRANSPOSED, "convolution": _ATEN, "max_pool": _MAXIMUM}
    values = {**dict(zip(names.get(kind, _AVERAGE), args, strict=False)), **kwargs}
    try:
        if kind.endswith("pool"):
            kernel = values["kernel_size"]
            stride = kernel if values.get("stride") in (None, (), []) else values["stride"]
            return _window(kernel, stride, values.get("padding", 0), values.get("dilation", 1), axes)
        kernel = shape_of(values["weight"])[2:]
        return _window(
            kernel,
            values.get("stride", 1),
            values.get("padding", 0),
            values.get("dilation", 1),
            len(kernel),
            values.get("groups", 1),
            kind == "conv_transpose" or bool(values.get("transposed", False)),
        )
    except (KeyError, TypeError, ValueError):
        return None  # called in a way that isn't foreseen


@cache
def _sliding(name: str) -> tuple[str, int] | None:
    """What slides, and along how many axes where the name says it: `("max_pool", 2)` of `max_pool2d`."""
    found = re.fullmatch(r"(conv|conv_transpose|max_pool|avg_pool|convolution)(\d?)d?", name)
    return None if found is None else (found[1], int(found[2] or 0))


def _window(
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    axes: int,
    groups: int | None = None,
    transposed: bool = False,
) -> Window:
    sizes, dilations = _each(kernel, axes), _each(dilation, axes)
    if padding == "same":
        total = [step * (size - 1) for size, step in zip(sizes, dilations, strict=True)]
        pairs = tuple((whole // 2, whole - whole // 2) for whole in total)
    else:
        pairs = tuple((size, size) for size in _each(0 if padding == "valid" else padding, axes))
    return Window(sizes, _each(stride, axes), pairs, dilations, groups, transposed)


def _each(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    """A number per axis of what is given once for all, or for each."""
    if isinstance(value, int):
        return (value,) * axes
    sizes = tuple(int(size) for size in value)
    return sizes * axes if len(sizes) == 1 else sizes
