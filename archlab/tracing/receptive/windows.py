"""What convolutions, pooling, resizing, matrix products and attention do to positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fractions import Fraction
from math import ceil, floor, gcd

from torch import Tensor

from archlab.formulas import expand
from archlab.tracing.receptive.regions import Region
from archlab.tracing.receptive.rules import DispatchedCall, Regions, each, rule, unknown


def _windows(kernel: int, stride: int, padding: int, dilation: int) -> Callable[[int], Iterable[int]]:
    first, last = -padding, -padding + dilation * (kernel - 1) + 1
    return lambda q: range(q * stride + first, q * stride + last, dilation)


def _transposed_windows(kernel: int, stride: int, padding: int, dilation: int) -> Callable[[int], Iterable[int]]:
    def taps(q: int) -> Iterable[int]:
        for offset in range(0, dilation * kernel, dilation):
            position, remainder = divmod(q + padding - offset, stride)
            if not remainder:
                yield position

    return taps


@rule("convolution", "convolution_overrideable", "_convolution", "mkldnn_convolution", "cudnn_convolution")
def _convolution(call: DispatchedCall) -> list[Regions]:
    weight = call.get("weight")
    axes = weight.dim() - 2
    settings = [expand(call.get(name), axes) for name in ("stride", "padding", "dilation")]
    transposed = call.get("transposed", False)
    windows = _transposed_windows if transposed else _windows
    unbatched = call.input.dim() == axes + 1
    shape = tuple(call.results[0].shape)
    channels = 0 if unbatched else 1
    found = [region.unknown(shape) for region in call.regions_of(weight)]
    for region in call.regions:
        region = region.reduced(channels, shape[channels])
        for place, (stride, padding, dilation) in enumerate(zip(*settings, strict=True)):
            axis = channels + 1 + place
            taps = windows(weight.shape[2 + place], stride, padding, dilation)
            period, shift = (stride, 1) if transposed else (1, stride)
            region = region.tapped(axis, taps, shape[axis], period, shift)
        found.append(region)
    return [found]


@each("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices")
@each("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _pool(call: DispatchedCall, region: Region) -> Region:
    axes = int(next(letter for letter in call.name if letter.isdigit()))
    kernels = expand(call.get("kernel_size"), axes)
    strides = expand(call.get("stride") or kernels, axes)
    paddings, dilations = expand(call.get("padding", 0), axes), expand(call.get("dilation", 1), axes)
    shape = tuple(call.results[0].shape)
    windows = zip(kernels, strides, paddings, dilations, strict=True)
    for axis, window in enumerate(windows, len(shape) - axes):
        region = region.tapped(axis, _windows(*window), shape[axis], 1, window[1])
    return region


@each("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d")
@each("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_pool(call: DispatchedCall, region: Region) -> Region:
    axes = int(next(letter for letter in call.name if letter.isdigit()))
    shape = tuple(call.results[0].shape)
    for axis in range(len(shape) - axes, len(shape)):
        size, given = shape[axis], call.input.shape[axis]
        region = region.reduced(axis) if size == 1 else region.tapped(axis, *_bins(given, size))
    return region


def _bins(given: int, size: int) -> tuple[Callable[[int], Iterable[int]], int, int, int]:
    """Taps, size, period and shift of an adaptive pooling's bins."""
    common = gcd(given, size)
    taps = lambda q: range(q * given // size, -(-(q + 1) * given // size))  # noqa: E731
    return taps, size, size // common, given // common


@each("pixel_shuffle")
def _pixel_shuffle(call: DispatchedCall, region: Region) -> Region:
    factor = call.get("upscale_factor")
    return _spatial(call, region, lambda q: (q // factor,), factor, 1)


@each("pixel_unshuffle")
def _pixel_unshuffle(call: DispatchedCall, region: Region) -> Region:
    factor = call.get("downscale_factor")
    return _spatial(call, region, lambda q: range(q * factor, (q + 1) * factor), 1, factor)


def _spatial(
    call: DispatchedCall, region: Region, taps: Callable[[int], Iterable[int]], period: int, shift: int
) -> Region:
    shape = tuple(call.results[0].shape)
    region = region.reduced(len(shape) - 3, shape[-3])
    for axis in (len(shape) - 2, len(shape) - 1):
        region = region.tapped(axis, taps, shape[axis], period, shift)
    return region


# Interpolation


@each("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
@each("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
@each("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
def _interpolation(call: DispatchedCall, region: Region) -> Region:
    shape, given = tuple(call.results[0].shape), tuple(call.input.shape)
    axes = len(shape) - 2
    factors = call.get("scale_factors")
    names = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}[axes]
    scales = list(factors) if factors else [call.get(name) for name in names]
    corners = call.get("align_corners", False)
    reach = 0 if "nearest" in call.name else 2 if "cubic" in call.name else 1
    for axis, scale in enumerate(scales, 2):
        ratio = 1 / Fraction(scale).limit_denominator(1000) if scale else Fraction(given[axis], shape[axis])
        offset = (ratio - 1) / 2
        if corners:
            ratio, offset = Fraction(given[axis] - 1, max(1, shape[axis] - 1)), Fraction(0)
        elif not reach:
            offset = ratio / 2 if "exact" in call.name else Fraction(0)
        taps = _neighbours(ratio, offset, reach)
        region = region.tapped(axis, taps, shape[axis], ratio.denominator, ratio.numerator)
    return region


def _neighbours(ratio: Fraction, offset: Fraction, reach: int) -> Callable[[int], Iterable[int]]:
    """The positions next to `q * ratio + offset`: the one before for reach 0, else `reach` on either side."""

    def taps(q: int) -> Iterable[int]:
        place = q * ratio + offset
        if not reach or place.denominator == 1:
            return (floor(place),)
        return range(floor(place) - reach + 1, ceil(place) + reach)

    return taps


# Products


@rule("mm", "bmm", "mv", "matmul", "dot")
def _product(call: DispatchedCall) -> list[Regions]:
    right = next(call.get(name) for name in ("mat2", "vec", "other", "tensor") if call.get(name) is not None)
    return [_products(call, call.input, right)]


@rule("addmm", "baddbmm", "addmv", "addbmm")
def _added_product(call: DispatchedCall) -> list[Regions]:
    names = {"addmm": ("mat1", "mat2"), "addmv": ("mat", "vec")}.get(call.name, ("batch1", "batch2"))
    left, right = (call.get(name) for name in names)
    if call.name == "addbmm":
        return unknown(call)
    shape = tuple(call.results[0].shape)
    return [[*_products(call, left, right), *(region.aligned(shape) for region in call.regions)]]


def _products(call: DispatchedCall, left: Tensor, right: Tensor) -> list[Region]:
    shape = tuple(call.results[0].shape)
    rows, columns = left.dim() - 1, max(right.dim() - 2, 0)
    found = []
    for region in call.regions_of(left):
        region = region.removed(rows)
        found.append((region.inserted(rows) if right.dim() > 1 else region).aligned(shape))
    for region in call.regions_of(right):
        region = region.removed(columns)
        found.append((region.inserted(columns) if left.dim() > 1 and right.dim() > 1 else region).aligned(shape))
    return found


@rule("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")
@rule("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention")
@rule("_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math")
def _attention(call: DispatchedCall) -> list[Regions]:
    shape = tuple(call.results[0].shape)
    length = len(shape) - 2
    found = [region.reduced(length + 1, shape[-1]) for region in call.regions_of(call.get("query"))]
    for name in ("key", "value"):
        given = (region.reduced(length + 1, shape[-1]) for region in call.regions_of(call.get(name)))
        found += [region.reduced(length, shape[-2]).aligned(shape) for region in given]
    return [found, *([] for _ in call.results[1:])]
