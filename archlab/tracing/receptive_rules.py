"""What each of the dispatcher's operations does to the positions of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, gcd
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.tracing.formulas import expand
from archlab.tracing.leaves import tensors
from archlab.tracing.receptive_terms import Term

Terms = Iterable[Term]


@dataclass(frozen=True, slots=True)
class Call:
    """One operation that was dispatched."""

    name: str
    """Without namespace, overload and the mark of those that work in place."""
    arguments: dict[str, Any]
    """By the names of the schema; those left to their defaults are missing."""
    results: list[Tensor]
    function: Any
    seen: Callable[[Tensor], tuple[Term, ...]]
    """What a tensor's elements see."""

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        return self.arguments.get(name, default)

    @property
    def input(self) -> Tensor:
        """The first tensor that the operation takes."""
        tensor: Tensor = self.arguments["self"] if "self" in self.arguments else self.arguments["input"]
        return tensor

    @property
    def terms(self) -> tuple[Term, ...]:
        """What the first tensor's elements see."""
        return self.seen(self.input)

    def axis(self, name: str = "dim", default: int = 0) -> int:
        """An axis of the first tensor, counted from the front."""
        number: int = self.get(name, default)
        return number % self.input.dim() if self.input.dim() else 0


Rule = Callable[[Call], list[Terms]]
Written = TypeVar("Written", bound=Callable[..., Any])

_RULES: dict[str, Rule] = {}


def terms_after(call: Call) -> list[Terms]:
    """What the results' elements see, result by result; a loose bound where the operation isn't known."""
    rule = _RULES.get(call.name)
    if rule is None:
        rule = _pointwise if torch.Tag.pointwise in call.function.tags else _unknown
    found = rule(call)
    return found * len(call.results) if len(found) == 1 else found


def rule(*names: str) -> Callable[[Written], Written]:
    """A decorator that makes a function the rule of some operations; it returns what one or all results see."""

    def add(function: Written) -> Written:
        for name in names:
            _RULES[name] = function
        return function

    return add


@rule(*["native_dropout", "masked_fill", "_prelu_kernel", "clone", "_to_copy", "contiguous", "copy", "lift_fresh", "where", "fill"])
def _pointwise(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    return [[term.aligned(shape) for tensor in tensors(call.arguments) for term in call.seen(tensor)]]


def _unknown(call: Call) -> list[Terms]:
    given = [term for tensor in tensors(call.arguments) for term in call.seen(tensor)]
    return [[term.lost(tuple(result.shape)) for term in given] for result in call.results]


@rule("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like", "bernoulli")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "zero", "uniform", "normal")
def _nothing(call: Call) -> list[Terms]:
    return [[] for _ in call.results]


# Normalisation, reductions


@rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
@rule("_batch_norm_with_update", "_batch_norm_no_update")
def _batch_norm(call: Call) -> list[Terms]:
    if call.get("running_mean") is not None:
        return [call.terms]
    return [_mixed(call.terms, [axis for axis in range(call.input.dim()) if axis != 1])]  # instance normalisation


@rule("native_group_norm")
def _group_norm(call: Call) -> list[Terms]:
    return [_mixed(call.terms, range(1, call.input.dim()))]


@rule("native_layer_norm", "_fused_rms_norm")
def _layer_norm(call: Call) -> list[Terms]:
    return [_mixed(call.terms, range(call.input.dim() - len(call.get("normalized_shape")), call.input.dim()))]


@rule("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax", "sort", "argsort", "glu")
@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "renorm")
def _along(call: Call) -> list[Terms]:
    axis = call.axis(default=-1)
    return [[term.reduced(axis, call.results[0].shape[axis]) for term in call.terms if term.layout]]


def _mixed(terms: Terms, axes: Iterable[int]) -> list[Term]:
    """Each position sees itself (as part of all) and everything along some axes."""
    listed = list(axes)
    mixed = []
    for term in terms:
        for axis in listed:
            term = term.reduced(axis, _size(term, axis))
        mixed.append(term)
    return mixed


def _size(term: Term, axis: int) -> int:
    size = 1
    for factor in term.layout[axis]:
        size *= factor.size
    return size


@rule("mean", "sum", "amax", "amin", "max", "min", "prod", "std", "var", "var_mean", "std_mean", "any", "all", "topk")
@rule("argmax", "argmin", "norm", "linalg_vector_norm", "logsumexp", "median", "nansum", "kthvalue", "mode", "aminmax")
def _reduction(call: Call) -> list[Terms]:
    if isinstance(call.get("other"), Tensor):
        return _pointwise(call)
    dimensions = call.input.dim()
    given = call.get("dim", -1 if call.name in ("topk", "kthvalue", "mode") else None)
    axes = range(dimensions) if given is None or given == [] else [given] if isinstance(given, int) else given
    dropped = sorted({axis % dimensions for axis in axes}, reverse=True) if dimensions else []
    shape = tuple(call.results[0].shape)
    found = []
    for term in call.terms:
        for axis in dropped:
            term = term.reduced(axis) if len(shape) == dimensions else term.removed(axis)
        found.append(term.aligned(shape))
    return [found]


# Views


@rule("alias", "detach", "view_as_real_copy", "_conj", "lift", "resolve_conj")
def _same(call: Call) -> list[Terms]:
    return [call.terms]


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy")
def _view(call: Call) -> list[Terms]:
    if call.results[0].numel() != call.input.numel():
        return _unknown(call)  # another element type
    shape = tuple(call.results[0].shape)
    return [[term.regrouped(shape) for term in call.terms]]


@rule("permute", "permute_copy")
def _permute(call: Call) -> list[Terms]:
    order = [axis % call.input.dim() for axis in call.get("dims")]
    return [[term.permuted(order) for term in call.terms]]


@rule("t", "transpose", "transpose_copy", "swapaxes")
def _transpose(call: Call) -> list[Terms]:
    order = list(range(call.input.dim()))
    if order[1:]:
        first, second = (0, 1) if call.name == "t" else (call.axis("dim0"), call.axis("dim1"))
        order[first], order[second] = order[second], order[first]
    return [[term.permuted(order) for term in call.terms]]


@rule("unsqueeze")
def _unsqueeze(call: Call) -> list[Terms]:
    axis = call.get("dim") % (call.input.dim() + 1)
    return [[term.inserted(axis) for term in call.terms]]


@rule("squeeze")
def _squeeze(call: Call) -> list[Terms]:
    shape = tuple(call.input.shape)
    given = call.get("dim")
    axes = range(len(shape)) if given is None else [given] if isinstance(given, int) else given
    dropped = sorted({axis % len(shape) for axis in axes if shape[axis] == 1}, reverse=True)
    found = []
    for term in call.terms:
        for axis in dropped:
            term = term.removed(axis)
        found.append(term)
    return [found]


@rule("expand", "expand_copy")
def _expand(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    return [[term.aligned(shape) for term in call.terms]]


@rule("slice", "slice_copy")
def _slice(call: Call) -> list[Terms]:
    axis = call.axis()
    length, step = call.input.shape[axis], call.get("step", 1)
    start = call.get("start") or 0
    start = min(max(start + length if start < 0 else start, 0), length)
    return [[term.sliced(axis, start, step, call.results[0].shape[axis]) for term in call.terms]]


@rule("select", "select_copy")
def _select(call: Call) -> list[Terms]:
    axis = call.axis()
    index = call.get("index") % call.input.shape[axis]
    return [[term.selected(axis, index) for term in call.terms]]


@rule("unbind", "unbind_copy")
def _unbind(call: Call) -> list[Terms]:
    axis = call.axis()
    return [[term.selected(axis, index) for term in call.terms] for index in range(len(call.results))] or [[]]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "split_copy")
def _split(call: Call) -> list[Terms]:
    axis = call.axis()
    found: list[Terms] = []
    start = 0
    for result in call.results:
        found.append([term.sliced(axis, start, 1, result.shape[axis]) for term in call.terms])
        start += result.shape[axis]
    return found


# Joining and moving


@rule("cat", "stack")
def _cat(call: Call) -> list[Terms]:
    parts: Sequence[Tensor] = call.get("tensors")
    dimensions = call.results[0].dim()
    axis = call.get("dim", 0) % dimensions
    size = call.results[0].shape[axis]
    parts = [part for part in parts if part.dim() == dimensions or call.name == "stack"]
    given = [
        [term.inserted(axis) for term in call.seen(part)] if call.name == "stack" else call.seen(part) for part in parts
    ]
    several = sum(any(any(factor.axes for factor in term.layout[axis]) for term in terms) for terms in given) > 1
    found = []
    start = 0
    for part, terms in zip(parts, given, strict=True):
        length = 1 if call.name == "stack" else part.shape[axis]
        for term in terms:
            positions = [factor for factor in term.layout[axis] if factor.axes]
            if positions and (several or len(term.layout[axis]) > 1 or len(positions[0].axes) > 1):
                found.append(term.muddled(axis, size))
            elif positions:
                found.append(term.sliced(axis, -start, 1, size))
            else:
                found.append(term.reduced(axis, size))
        start += length
    return [found]


@rule("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
@rule("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _pad(call: Call) -> list[Terms]:
    amounts = call.get("pad", call.get("padding"))
    found = []
    for term in call.terms:
        for number, before in enumerate(amounts[::2]):
            axis = call.input.dim() - 1 - number
            size = call.results[0].shape[axis]
            if size != call.input.shape[axis] or before:
                term = term.sliced(axis, -before, 1, size)
        found.append(term)
    return [found]


@rule("roll")
def _roll(call: Call) -> list[Terms]:
    shifts, axes = call.get("shifts"), call.get("dims", [])
    found = []
    for term in call.terms:
        for shift, axis in zip(shifts, axes, strict=False):
            axis %= call.input.dim()
            size = call.input.shape[axis]
            term = _tapped(term, axis, lambda q, shift=shift: (q - shift,), size)  # type: ignore[misc]
        found.append(term if axes else term.lost(tuple(call.input.shape)))
    return [found]


@rule("flip")
def _flip(call: Call) -> list[Terms]:
    found = []
    for term in call.terms:
        for axis in call.get("dims"):
            size = call.input.shape[axis]
            term = _tapped(term, axis % call.input.dim(), lambda q, size=size: (size - 1 - q,), size, 1, -1)  # type: ignore[misc]
        found.append(term)
    return [found]


@rule("index_select", "index", "gather")
def _index(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    given = call.get("indices") if call.name == "index" else [None] * call.axis() + [call.get("index")]
    where = [axis for axis, item in enumerate(given) if item is not None]
    if call.name == "gather" or len(where) != 1 or given[where[0]].dim() != 1 or given[where[0]].dtype is torch.bool:
        return _unknown(call)
    (axis,) = where
    found = []
    for term in call.terms:
        moved = any(factor.axes for factor in term.layout[axis])
        found.append(term.muddled(axis, shape[axis])._replace(loose=True) if moved else term.reduced(axis, shape[axis]))
    return [found]


@rule("embedding")
def _embedding(call: Call) -> list[Terms]:
    indices = call.get("indices")
    return [[term.inserted(indices.dim(), call.results[0].shape[-1]) for term in call.seen(indices)]]


# Windows


def _tapped(
    term: Term, axis: int, taps: Callable[[int], Iterable[int]], size: int, period: int = 1, shift: int = 1
) -> Term:
    return term.tapped(axis, taps, period, shift, size)


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
def _convolution(call: Call) -> list[Terms]:
    weight = call.get("weight")
    axes = weight.dim() - 2
    settings = [expand(call.get(name), axes) for name in ("stride", "padding", "dilation")]
    transposed = call.get("transposed", False)
    windows = _transposed_windows if transposed else _windows
    unbatched = call.input.dim() == axes + 1
    shape = tuple(call.results[0].shape)
    channels = 0 if unbatched else 1
    found = [term.lost(shape) for term in call.seen(weight)]
    for term in call.terms:
        term = term.reduced(channels, shape[channels])
        for place, (stride, padding, dilation) in enumerate(zip(*settings, strict=True)):
            axis = channels + 1 + place
            taps = windows(weight.shape[2 + place], stride, padding, dilation)
            period, shift = (stride, 1) if transposed else (1, stride)
            term = _tapped(term, axis, taps, shape[axis], period, shift)
        found.append(term)
    return [found]


@rule("max_pool1d", "max_pool2d", "max_pool2d_with_indices", "max_pool3d", "max_pool3d_with_indices")
@rule("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _pool(call: Call) -> list[Terms]:
    axes = int(next(letter for letter in call.name if letter.isdigit()))
    kernels = expand(call.get("kernel_size"), axes)
    strides = expand(call.get("stride") or kernels, axes)
    paddings, dilations = expand(call.get("padding", 0), axes), expand(call.get("dilation", 1), axes)
    shape = tuple(call.results[0].shape)
    found = []
    for term in call.terms:
        for place, window in enumerate(zip(kernels, strides, paddings, dilations, strict=True)):
            axis = len(shape) - axes + place
            term = _tapped(term, axis, _windows(*window), shape[axis], 1, window[1])
        found.append(term)
    return [found]


@rule("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d")
@rule("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_pool(call: Call) -> list[Terms]:
    axes = int(next(letter for letter in call.name if letter.isdigit()))
    shape = tuple(call.results[0].shape)
    found = []
    for term in call.terms:
        for axis in range(len(shape) - axes, len(shape)):
            size, given = shape[axis], call.input.shape[axis]
            term = term.reduced(axis) if size == 1 else _tapped(term, axis, *_bins(given, size))
        found.append(term)
    return [found]


def _bins(given: int, size: int) -> tuple[Callable[[int], Iterable[int]], int, int, int]:
    """Taps, size, period and shift of an adaptive pooling's bins."""
    common = gcd(given, size)
    taps = lambda q: range(q * given // size, -(-(q + 1) * given // size))  # noqa: E731
    return taps, size, size // common, given // common


@rule("pixel_shuffle")
def _pixel_shuffle(call: Call) -> list[Terms]:
    factor = call.get("upscale_factor")
    return [_spatial(call, lambda q: (q // factor,), factor, 1)]


@rule("pixel_unshuffle")
def _pixel_unshuffle(call: Call) -> list[Terms]:
    factor = call.get("downscale_factor")
    return [_spatial(call, lambda q: range(q * factor, (q + 1) * factor), 1, factor)]


def _spatial(call: Call, taps: Callable[[int], Iterable[int]], period: int, shift: int) -> list[Term]:
    shape = tuple(call.results[0].shape)
    found = []
    for term in call.terms:
        term = term.reduced(len(shape) - 3, shape[-3])
        for axis in (len(shape) - 2, len(shape) - 1):
            term = _tapped(term, axis, taps, shape[axis], period, shift)
        found.append(term)
    return found


# Interpolation


@rule("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d")
@rule("_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "_upsample_nearest_exact3d")
@rule("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
def _interpolation(call: Call) -> list[Terms]:
    shape, given = tuple(call.results[0].shape), tuple(call.input.shape)
    axes = len(shape) - 2
    factors = call.get("scale_factors")
    names = {1: ("scales",), 2: ("scales_h", "scales_w"), 3: ("scales_d", "scales_h", "scales_w")}[axes]
    scales = list(factors) if factors else [call.get(name) for name in names]
    corners = call.get("align_corners", False)
    reach = 0 if "nearest" in call.name else 2 if "cubic" in call.name else 1
    found = []
    for term in call.terms:
        for place, scale in enumerate(scales):
            axis = 2 + place
            ratio = 1 / Fraction(scale).limit_denominator(1000) if scale else Fraction(given[axis], shape[axis])
            offset = (ratio - 1) / 2
            if corners:
                ratio, offset = Fraction(given[axis] - 1, max(1, shape[axis] - 1)), Fraction(0)
            elif not reach:
                offset = ratio / 2 if "exact" in call.name else Fraction(0)
            taps = _neighbours(ratio, offset, reach)
            term = _tapped(term, axis, taps, shape[axis], ratio.denominator, ratio.numerator)
        found.append(term)
    return [found]


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
def _product(call: Call) -> list[Terms]:
    right = next(call.get(name) for name in ("mat2", "vec", "other", "tensor") if call.get(name) is not None)
    return [_products(call, call.input, right)]


@rule("addmm", "baddbmm", "addmv", "addbmm")
def _added_product(call: Call) -> list[Terms]:
    names = {"addmm": ("mat1", "mat2"), "addmv": ("mat", "vec")}.get(call.name, ("batch1", "batch2"))
    left, right = (call.get(name) for name in names)
    if call.name == "addbmm":
        return _unknown(call)
    shape = tuple(call.results[0].shape)
    return [[*_products(call, left, right), *(term.aligned(shape) for term in call.terms)]]


def _products(call: Call, left: Tensor, right: Tensor) -> list[Term]:
    shape = tuple(call.results[0].shape)
    rows, columns = left.dim() - 1, max(right.dim() - 2, 0)
    found = []
    for term in call.seen(left):
        term = term.removed(rows)
        found.append((term.inserted(rows) if right.dim() > 1 else term).aligned(shape))
    for term in call.seen(right):
        term = term.removed(columns)
        found.append((term.inserted(columns) if left.dim() > 1 and right.dim() > 1 else term).aligned(shape))
    return found


@rule("_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu")
@rule("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention")
@rule("_scaled_dot_product_fused_attention_overrideable", "_scaled_dot_product_attention_math")
def _attention(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    length = len(shape) - 2
    found = [term.reduced(length + 1, shape[-1]) for term in call.seen(call.get("query"))]
    for name in ("key", "value"):
        given = (term.reduced(length + 1, shape[-1]) for term in call.seen(call.get(name)))
        found += [term.reduced(length, shape[-2]).aligned(shape) for term in given]
    return [found, *([] for _ in call.results[1:])]
