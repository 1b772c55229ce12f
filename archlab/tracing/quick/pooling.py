"""Shape functions of pooling over the last axes, one to three of them."""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from torch import Tensor, nn

from archlab.formulas import pooling_size
from archlab.tracing.quick.results import check_floating, new, per_axis
from archlab.tracing.quick.shape_function import MismatchError, Result, for_functions, for_modules


def _max_pool(
    axes: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Result | None:
    shape = tuple(input.shape)
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape or not input.is_contiguous() or return_indices:
        return None
    kernels = per_axis(kernel_size, axes)
    steps = kernels if stride is None or stride in ((), []) else per_axis(stride, axes)
    pads, gaps = per_axis(padding, axes), per_axis(dilation, axes)
    sizes = []
    for size, window, step, pad, gap in zip(shape[-axes:], kernels, steps, pads, gaps, strict=True):
        if not 0 <= 2 * pad <= window or min(window, step, gap) <= 0:
            return None
        count = pooling_size(size, window, step, pad, gap, ceil_mode)
        if count <= 0:
            raise MismatchError(f"the window of {window} is larger than the {size} positions that it slides over")
        sizes.append(count)
    out = new((*shape[:-axes], *sizes), input.dtype)
    return out, 0, out.numel() * prod(kernels)


def _avg_pool(
    axes: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Result | None:
    return _max_pool(axes, input, kernel_size, stride, padding, 1, ceil_mode) if divisor_override is None else None


def _adaptive_avg_pool(axes: int, input: Tensor, output_size: Any) -> Result | None:
    shape = tuple(input.shape)
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape:
        return None
    check_floating(input)
    wanted = (None,) * axes if output_size is None else per_axis(output_size, axes)
    sizes = [given if size is None else size for size, given in zip(wanted, shape[-axes:], strict=True)]
    return (new((*shape[:-axes], *sizes), input.dtype), 0, input.numel()) if min(sizes) > 0 else None


def _register_pools() -> None:
    windows = ("kernel_size", "stride", "padding")
    for axes, largest, mean, adaptive in (
        (1, nn.MaxPool1d, nn.AvgPool1d, nn.AdaptiveAvgPool1d),
        (2, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d),
        (3, nn.MaxPool3d, nn.AvgPool3d, nn.AdaptiveAvgPool3d),
    ):
        for function, name, layer, settings in (
            (_max_pool, "max_pool", largest, (*windows, "dilation", "ceil_mode", "return_indices")),
            (_avg_pool, "avg_pool", mean, (*windows, "ceil_mode")),
            (_adaptive_avg_pool, "adaptive_avg_pool", adaptive, ("output_size",)),
        ):
            shape_function = partial(function, axes)
            for_functions(f"{name}{axes}d")(shape_function)
            for_modules(layer, settings=settings)(shape_function)


_register_pools()
