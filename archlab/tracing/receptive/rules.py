"""What each of the dispatcher's operations does to the positions of its arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from archlab.tracing.pytree import tensors
from archlab.tracing.receptive.terms import Term

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
        rule = _pointwise if torch.Tag.pointwise in call.function.tags else unknown
    found = rule(call)
    return found * len(call.results) if len(found) == 1 else found


def rule(*names: str) -> Callable[[Written], Written]:
    """A decorator that makes a function the rule of some operations; it returns what one or all results see."""

    def add(function: Written) -> Written:
        for name in names:
            _RULES[name] = function
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
def _pointwise(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    return [[term.aligned(shape) for tensor in tensors(call.arguments) for term in call.seen(tensor)]]


def unknown(call: Call) -> list[Terms]:
    """What is known of an operation that isn't: the results may see all that the arguments come from."""
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
        return unknown(call)  # another element type
    shape = tuple(call.results[0].shape)
    return [[term.regrouped(shape) for term in call.terms]]


@rule("as_strided")
def _as_strided(call: Call) -> list[Terms]:
    """The same elements in another order of memory; whatever else it is used for isn't followed."""
    return [call.terms] if tuple(call.get("size")) == tuple(call.input.shape) else unknown(call)


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
            term = term.tapped(axis, lambda q, shift=shift: (q - shift,), size)  # type: ignore[misc]
        found.append(term if axes else term.lost(tuple(call.input.shape)))
    return [found]


@rule("flip")
def _flip(call: Call) -> list[Terms]:
    found = []
    for term in call.terms:
        for axis in call.get("dims"):
            size = call.input.shape[axis]
            term = term.tapped(axis % call.input.dim(), lambda q, size=size: (size - 1 - q,), size, 1, -1)  # type: ignore[misc]
        found.append(term)
    return [found]


@rule("index_select", "index", "gather")
def _index(call: Call) -> list[Terms]:
    shape = tuple(call.results[0].shape)
    given = call.get("indices") if call.name == "index" else [None] * call.axis() + [call.get("index")]
    where = [axis for axis, item in enumerate(given) if item is not None]
    if call.name == "gather" or len(where) != 1 or given[where[0]].dim() != 1 or given[where[0]].dtype is torch.bool:
        return unknown(call)
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
