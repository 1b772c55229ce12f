"""What each of the dispatcher's operations does to the positions of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.tracing.pytree import tensors
from archlab.tracing.receptive.regions import Region

Regions = Iterable[Region]


@dataclass(frozen=True, slots=True)
class DispatchedCall:
    """One operation that was dispatched."""

    name: str
    """Without namespace, overload and the mark of those that work in place."""
    arguments: dict[str, Any]
    """By the names of the schema; those left to their defaults are missing."""
    results: list[Tensor]
    function: Any
    regions_of: Callable[[Tensor], tuple[Region, ...]]
    """The regions that a tensor's elements see."""

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        return self.arguments.get(name, default)

    @property
    def input(self) -> Tensor:
        """The first tensor that the operation takes."""
        tensor: Tensor = self.arguments["self"] if "self" in self.arguments else self.arguments["input"]
        return tensor

    @property
    def regions(self) -> tuple[Region, ...]:
        """What the first tensor's elements see."""
        return self.regions_of(self.input)

    def axis(self, name: str = "dim", default: int = 0) -> int:
        """An axis of the first tensor, counted from the front."""
        number: int = self.get(name, default)
        return number % self.input.dim() if self.input.dim() else 0


Rule = Callable[[DispatchedCall], list[Regions]]
Mapping = Callable[[DispatchedCall, Region], Region]
Written = TypeVar("Written", bound=Callable[..., Any])

_RULES: dict[str, Rule] = {}


def regions_after(call: DispatchedCall) -> list[Regions]:
    """What the results' elements see, result by result; a loose bound where the operation isn't known."""
    usual = _pointwise if torch.Tag.pointwise in call.function.tags else unknown
    found = _RULES.get(call.name, usual)(call)
    return found * len(call.results) if len(found) == 1 else found


def rule(*names: str) -> Callable[[Written], Written]:
    """A decorator that makes a function the rule of some operations; it returns what one or all results see."""

    def add(function: Written) -> Written:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return add


def each(*names: str) -> Callable[[Mapping], Mapping]:
    """A decorator for operations of one result, which sees what each of the first tensor's regions becomes."""

    def add(function: Mapping) -> Mapping:
        rule(*names)(lambda call: [[function(call, region) for region in call.regions]])
        return function

    return add


@rule(
    *[
        "native_dropout",
        "masked_fill",
        "_prelu_kernel",
        "clone",
        "_to_copy",
        "contiguous",
        "copy",
        "lift_fresh",
        "where",
        "fill",
    ]
)
def _pointwise(call: DispatchedCall) -> list[Regions]:
    shape = tuple(call.results[0].shape)
    return [[region.aligned(shape) for tensor in tensors(call.arguments) for region in call.regions_of(tensor)]]


def unknown(call: DispatchedCall) -> list[Regions]:
    """What is known of an operation that isn't: the results may see all that the arguments come from."""
    given = [region for tensor in tensors(call.arguments) for region in call.regions_of(tensor)]
    return [[region.unknown(tuple(result.shape)) for region in given] for result in call.results]


@rule("empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like", "bernoulli")
@rule("new_zeros", "new_ones", "new_full", "new_empty", "zero", "uniform", "normal")
def _nothing(call: DispatchedCall) -> list[Regions]:
    return [[] for _ in call.results]


# Normalisation, reductions


@rule("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "cudnn_batch_norm")
@rule("_batch_norm_with_update", "_batch_norm_no_update")
def _batch_norm(call: DispatchedCall) -> list[Regions]:
    if call.get("running_mean") is not None:
        return [call.regions]
    axes = [axis for axis in range(call.input.dim()) if axis != 1]  # instance normalisation
    return [[_mixed(region, axes) for region in call.regions]]


@rule("native_group_norm", "native_layer_norm", "_fused_rms_norm")
def _group_norm(call: DispatchedCall) -> list[Regions]:
    first = 1 if call.name == "native_group_norm" else call.input.dim() - len(call.get("normalized_shape"))
    return [[_mixed(region, range(first, call.input.dim())) for region in call.regions]]


@rule("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax", "sort", "argsort", "glu")
@rule("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "renorm")
def _along(call: DispatchedCall) -> list[Regions]:
    axis = call.axis(default=-1)
    return [[region.reduced(axis, call.results[0].shape[axis]) for region in call.regions if region.layout]]


def _mixed(region: Region, axes: Iterable[int]) -> Region:
    """Each position sees itself (as part of all) and everything along some axes."""
    for axis in axes:
        region = region.reduced(axis, prod(factor.size for factor in region.layout[axis]))
    return region


@rule("mean", "sum", "amax", "amin", "max", "min", "prod", "std", "var", "var_mean", "std_mean", "any", "all", "topk")
@rule("argmax", "argmin", "norm", "linalg_vector_norm", "logsumexp", "median", "nansum", "kthvalue", "mode", "aminmax")
def _reduction(call: DispatchedCall) -> list[Regions]:
    if isinstance(call.get("other"), Tensor):
        return _pointwise(call)
    dimensions = call.input.dim()
    given = call.get("dim", -1 if call.name in ("topk", "kthvalue", "mode") else None)
    axes = range(dimensions) if given is None or given == [] else [given] if isinstance(given, int) else given
    dropped = sorted({axis % dimensions for axis in axes}, reverse=True) if dimensions else []
    shape = tuple(call.results[0].shape)
    found = []
    for region in call.regions:
        for axis in dropped:
            region = region.reduced(axis) if len(shape) == dimensions else region.removed(axis)
        found.append(region.aligned(shape))
    return [found]


# Views


@rule("alias", "detach", "view_as_real_copy", "_conj", "lift", "resolve_conj")
def _same(call: DispatchedCall) -> list[Regions]:
    return [call.regions]


@rule("view", "_unsafe_view", "reshape", "_reshape_alias", "view_copy")
def _view(call: DispatchedCall) -> list[Regions]:
    if call.results[0].numel() != call.input.numel():
        return unknown(call)  # another element type
    shape = tuple(call.results[0].shape)
    return [[region.regrouped(shape) for region in call.regions]]


@rule("as_strided")
def _as_strided(call: DispatchedCall) -> list[Regions]:
    """The same elements in another order of memory; whatever else it is used for isn't followed."""
    return [call.regions] if tuple(call.get("size")) == tuple(call.input.shape) else unknown(call)


@each("permute", "permute_copy")
def _permute(call: DispatchedCall, region: Region) -> Region:
    return region.permuted([axis % call.input.dim() for axis in call.get("dims")])


@each("t", "transpose", "transpose_copy", "swapaxes")
def _transpose(call: DispatchedCall, region: Region) -> Region:
    order = list(range(call.input.dim()))
    if order[1:]:
        first, second = (0, 1) if call.name == "t" else (call.axis("dim0"), call.axis("dim1"))
        order[first], order[second] = order[second], order[first]
    return region.permuted(order)


@each("unsqueeze")
def _unsqueeze(call: DispatchedCall, region: Region) -> Region:
    return region.inserted(call.get("dim") % (call.input.dim() + 1))


@each("squeeze")
def _squeeze(call: DispatchedCall, region: Region) -> Region:
    shape = tuple(call.input.shape)
    given = call.get("dim")
    axes = range(len(shape)) if given is None else [given] if isinstance(given, int) else given
    for axis in sorted({axis % len(shape) for axis in axes if shape[axis] == 1}, reverse=True):
        region = region.removed(axis)
    return region


@each("expand", "expand_copy")
def _expand(call: DispatchedCall, region: Region) -> Region:
    return region.aligned(tuple(call.results[0].shape))


@each("slice", "slice_copy")
def _slice(call: DispatchedCall, region: Region) -> Region:
    axis = call.axis()
    length = call.input.shape[axis]
    start = call.get("start") or 0
    start = min(max(start + length if start < 0 else start, 0), length)
    return region.sliced(axis, start, call.get("step", 1), call.results[0].shape[axis])


@each("select", "select_copy")
def _select(call: DispatchedCall, region: Region) -> Region:
    axis = call.axis()
    return region.selected(axis, call.get("index") % call.input.shape[axis])


@rule("unbind", "unbind_copy")
def _unbind(call: DispatchedCall) -> list[Regions]:
    axis = call.axis()
    return [[region.selected(axis, index) for region in call.regions] for index in range(len(call.results))] or [[]]


@rule("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "chunk", "split_copy")
def _split(call: DispatchedCall) -> list[Regions]:
    axis = call.axis()
    found: list[Regions] = []
    start = 0
    for result in call.results:
        found.append([region.sliced(axis, start, 1, result.shape[axis]) for region in call.regions])
        start += result.shape[axis]
    return found


# Joining and moving


@rule("cat", "stack")
def _cat(call: DispatchedCall) -> list[Regions]:
    parts: Sequence[Tensor] = call.get("tensors")
    dimensions = call.results[0].dim()
    axis = call.get("dim", 0) % dimensions
    size = call.results[0].shape[axis]
    parts = [part for part in parts if part.dim() == dimensions or call.name == "stack"]
    given = [
        [region.inserted(axis) for region in call.regions_of(part)] if call.name == "stack" else call.regions_of(part)
        for part in parts
    ]
    several = (
        sum(any(any(factor.axes for factor in region.layout[axis]) for region in regions) for regions in given) > 1
    )
    found = []
    start = 0
    for part, regions in zip(parts, given, strict=True):
        length = 1 if call.name == "stack" else part.shape[axis]
        for region in regions:
            positions = [factor for factor in region.layout[axis] if factor.axes]
            if positions and (several or len(region.layout[axis]) > 1 or len(positions[0].axes) > 1):
                found.append(region.unordered(axis, size))
            elif positions:
                found.append(region.sliced(axis, -start, 1, size))
            else:
                found.append(region.reduced(axis, size))
        start += length
    return [found]


@each("constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d")
@each("replication_pad1d", "replication_pad2d", "replication_pad3d")
def _pad(call: DispatchedCall, region: Region) -> Region:
    for number, before in enumerate(call.get("pad", call.get("padding"))[::2]):
        axis = call.input.dim() - 1 - number
        size = call.results[0].shape[axis]
        if size != call.input.shape[axis] or before:
            region = region.sliced(axis, -before, 1, size)
    return region


@each("roll")
def _roll(call: DispatchedCall, region: Region) -> Region:
    if not call.get("dims"):
        return region.unknown(tuple(call.input.shape))
    for shift, axis in zip(call.get("shifts"), call.get("dims"), strict=False):
        axis %= call.input.dim()
        region = region.tapped(axis, lambda q, shift=shift: (q - shift,), call.input.shape[axis])  # type: ignore[misc]
    return region


@each("flip")
def _flip(call: DispatchedCall, region: Region) -> Region:
    for axis in call.get("dims"):
        size = call.input.shape[axis]
        region = region.tapped(axis % call.input.dim(), lambda q, size=size: (size - 1 - q,), size, 1, -1)  # type: ignore[misc]
    return region


@rule("index_select", "index", "gather")
def _index(call: DispatchedCall) -> list[Regions]:
    shape = tuple(call.results[0].shape)
    given = call.get("indices") if call.name == "index" else [None] * call.axis() + [call.get("index")]
    where = [axis for axis, item in enumerate(given) if item is not None]
    if call.name == "gather" or len(where) != 1 or given[where[0]].dim() != 1 or given[where[0]].dtype is torch.bool:
        return unknown(call)
    (axis,) = where
    found = []
    for region in call.regions:
        moved = any(factor.axes for factor in region.layout[axis])
        found.append(
            region.unordered(axis, shape[axis])._replace(loose=True) if moved else region.reduced(axis, shape[axis])
        )
    return [found]


@rule("embedding")
def _embedding(call: DispatchedCall) -> list[Regions]:
    indices = call.get("indices")
    return [[region.inserted(indices.dim(), call.results[0].shape[-1]) for region in call.regions_of(indices)]]
