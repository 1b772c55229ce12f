"""On which device a tensor is while a network runs without values, and which tensors keep theirs.

Parameters, and what is computed with them, are on the meta device. What is made of numbers alone stays on the CPU, and
has values that the network may ask for. Of

    def forward(self, x, mask):                                # x without values; mask was given with its values
        positions = torch.arange(x.shape[1], device=x.device)  # x.device is "cpu" for the network: this has values
        length = int(mask.sum(1).max())                        # so has what follows from the mask alone
        return self.layer(x[:, :length] + positions[:length])  # on the meta device, as one of its arguments is

so that neither the mask nor the positions need arithmetic on what is large. Every device is the CPU for the network,
whatever it names ("cuda" on a machine without one): its code would have one device, and here there is none.

What would be large itself, and was asked for on the device of a tensor without values, gets none either: the zeros
that a recurrent state begins with, say.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from archlab.formulas import broadcast
from archlab.tracing.pytree import convert, tensors

VALUED_ELEMENTS = 2**24
"""Elements of a tensor of integers or booleans that may keep its values: a mask over 4,096 tokens, and no more."""
FLOATING_ELEMENTS = 2**16
"""Elements of a tensor of fractions that may keep its values: sines of many positions would take seconds."""
CPU = torch.device("cpu")
_META = torch.device("meta")


def new_tensor_on(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], *, real: bool
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a function that makes a tensor, with the device that it is to be on.

    Args:
        name: the function, one of `archlab.tracing.forward.names.FACTORIES`.
        args: its positional arguments, a tensor that it is asked on first.
        kwargs: its keywords; without `device` it is the first tensor's.
        real: whether all tensors have values.
    """
    model = args[0] if args and isinstance(args[0], Tensor) else None
    device = kwargs.get("device")
    if device is None and (model is None or not model.is_meta):
        return args, kwargs
    if not real:
        dtype = kwargs.get("dtype") or (model.dtype if model is not None else _usual_type(name, args))
        dtype = _OF_PYTHON.get(dtype, dtype)
        limit = FLOATING_ELEMENTS if dtype.is_floating_point or dtype.is_complex else VALUED_ELEMENTS
        if _elements(name, args, kwargs) > limit:
            return args, {**kwargs, "device": _META}
    kwargs = {**{key: value for key, value in kwargs.items() if key != "pin_memory"}, "device": CPU}
    return (_near(args[0], name), *args[1:]) if args else args, kwargs


def _near(model: Any, name: str) -> Any:
    """What stands on the CPU for the tensor that a new one there takes its type, shape and strides from.

    From one device to another torch works `x.new_zeros(3)` and `zeros_like(x)` out in Python, in 100 us; beside a
    tensor of the same device, which nobody has filled, it takes 3.
    """
    if type(model) is not Tensor or not model.is_meta or model.layout is not torch.strided:
        return model
    if name.startswith("new_"):
        return torch.empty(0, dtype=model.dtype)
    return torch.empty(model.shape, dtype=model.dtype) if name.endswith("_like") and model.is_contiguous() else model


_OF_PYTHON: dict[Any, torch.dtype] = {
    bool: torch.bool,
    int: torch.int64,
    float: torch.float64,
    complex: torch.complex128,
}
"""Python's types, as torch takes them for its own."""


def _usual_type(name: str, args: tuple[Any, ...]) -> torch.dtype:
    if name in ("arange", "randint", "randperm", "tensor", "tril_indices", "triu_indices"):
        return torch.int64
    if name == "full" and len(args) > 1 and isinstance(args[1], int):
        return torch.bool if isinstance(args[1], bool) else torch.int64
    return torch.get_default_dtype()


def _elements(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """At least as many elements as a new tensor will have."""
    if name.endswith("_like") and isinstance(args[0], Tensor):
        return args[0].numel()
    if name in ("arange", "linspace", "logspace", "randperm", "scalar_tensor"):
        return max([1, *(abs(int(item)) for item in args if isinstance(item, (int, float)))])
    sizes = args[0:1] if name == "full" else args
    if name == "randint":
        sizes = tuple(item for item in args if isinstance(item, (tuple, list)))
    wanted = [*sizes, kwargs.get("size")]
    return prod(
        size
        for item in wanted
        for size in (item if isinstance(item, (tuple, list)) else [item])
        if isinstance(size, int) and not isinstance(size, bool)
    )


def converted(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], *, real: bool
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]] | None:
    """What stands for a conversion (`to`, `cpu`, `cuda`): the element type changes, the device doesn't.

    None where nothing changes, and the tensor itself is the result.
    """
    if real and not _names_other_device(function, args, kwargs):
        return function, args, kwargs
    tensor = args[0]
    dtype = tensor.dtype
    for item in [*args[1:], kwargs.get("dtype"), kwargs.get("other")]:
        dtype = item if isinstance(item, torch.dtype) else item.dtype if isinstance(item, Tensor) else dtype
    if dtype is tensor.dtype:
        is_copy = not tensor.is_meta and (kwargs.get("copy") or (len(args) > 3 and args[3] is True))
        return (torch.clone, (tensor,), {}) if is_copy else None
    return Tensor.to, (tensor, dtype), {}


def _names_other_device(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if getattr(function, "__name__", "") in ("cuda", "xpu", "mps"):
        return True
    named = [item for item in (*args[1:], kwargs.get("device")) if isinstance(item, (str, int, torch.device))]
    return any(not isinstance(item, bool) and torch.device(item).type != "cpu" for item in named)


def is_too_large(given: list[Tensor]) -> bool:
    """Whether what is computed of tensors with values may be larger than what keeps its values."""
    is_fraction = any(tensor.is_floating_point() or tensor.is_complex() for tensor in given)
    limit = FLOATING_ELEMENTS if is_fraction else VALUED_ELEMENTS
    if len(given) == 1:
        return given[0].numel() > limit
    if not given or sum(tensor.numel() for tensor in given) ** 2 <= limit:
        return False
    dimensions = max(tensor.dim() for tensor in given)
    sizes = [1] * dimensions
    for tensor in given:
        for axis, size in enumerate(tensor.shape, dimensions - tensor.dim()):
            sizes[axis] = max(sizes[axis], size)
    return prod(sizes) > limit


def shape_by_values(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The same call in a form that shapes are enough for, where the result's shape depends on values that are known.

    `x[mask]`, where the mask has values and `x` has none, is `x[rows]` with the numbers of the rows that it takes.
    """
    if name in ("getitem", "setitem", "index_put") and len(args) > 1:
        return function, (args[0], _numbered(args[1]), *args[2:]), kwargs
    if name == "masked_select":
        tensor, mask = args[0], args[1] if len(args) > 1 else kwargs["mask"]
        shape = broadcast(tuple(tensor.shape), tuple(mask.shape))
        if not mask.is_meta and shape is not None:
            return Tensor.__getitem__, (tensor.expand(shape), _numbered(mask.expand(shape))), {}
    if name == "repeat_interleave":
        repeats = args[1] if len(args) > 1 else kwargs.get("repeats")
        if isinstance(repeats, Tensor) and not repeats.is_meta and kwargs.get("output_size") is None:
            axis = args[2] if len(args) > 2 else kwargs.get("dim")
            length = args[0].numel() if axis is None else args[0].shape[axis]
            return function, args, {**kwargs, "output_size": int(repeats.expand(length).sum())}
    if name == "tensor_split" and len(args) > 1 and isinstance(args[1], Tensor) and not args[1].is_meta:
        return function, (args[0], tuple(args[1].tolist()), *args[2:]), kwargs
    return function, args, kwargs


def _numbered(index: Any) -> Any:
    """An index in which positions stand in the place of masks."""
    if isinstance(index, Tensor):
        is_mask = index.dtype in (torch.bool, torch.uint8) and not index.is_meta and index.dim()
        positions = index.nonzero(as_tuple=True) if is_mask else ()
        return index if not is_mask else positions[0] if len(positions) == 1 else positions
    if not isinstance(index, (tuple, list)):
        return index
    found: list[Any] = []
    for item in index:
        numbered = _numbered(item) if isinstance(item, Tensor) else item
        found.extend(numbered if isinstance(numbered, tuple) and isinstance(item, Tensor) else [numbered])
    return type(index)(found)


def one_device(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], bool]:
    """The arguments of one of torch's layers, on the device that it computes on, and whether they all have values."""
    given = tensors((args, kwargs))
    if all(tensor.is_meta or not tensor.dim() for tensor in given):
        return args, kwargs, False
    own = (*module._parameters.values(), *module._buffers.values())
    if any(tensor.is_meta for tensor in (*given, *own) if tensor is not None):
        args, kwargs = convert((args, kwargs), on_meta)
        return args, kwargs, False
    return args, kwargs, True


def on_meta(tensor: Tensor) -> Tensor:
    """The tensor on the meta device, as the network's own stand-in if it is a parameter; single numbers as they are."""
    if tensor.is_meta or tensor.dim() == 0:
        return tensor
    origin = getattr(tensor, "_archlab", None)
    state: Any = origin[0] if type(origin) is tuple and origin else None
    if getattr(state, "original", None) is tensor:  # a parameter that no module has registered
        stand_in: Tensor = state.tensor
        return stand_in
    moved = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)
    moved.__dict__.update(tensor.__dict__)  # where it comes from
    return moved


def all_on_meta(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """The arguments on the meta device, single numbers too; None unless some have values and others don't.

    Most operations take single numbers from any device, and some (`masked_fill`, `stack`) don't.
    """
    given = tensors((args, kwargs))
    if not any(tensor.is_meta for tensor in given) or all(tensor.is_meta for tensor in given):
        return None
    args, kwargs = convert((args, kwargs), lambda tensor: on_meta(tensor) if tensor.dim() else tensor.to(_META))
    return args, kwargs
