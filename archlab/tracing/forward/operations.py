"""Which of torch's functions are operations, what they are called, and what their row says.

A function that torch announces is one of these:

- a *query* about shape, type or state: no row, no cost;
- a *view* or copy: free; a row if it is taken of data, none if it is taken of parameters (then whoever takes the result
  takes the parameter); in place, a tensor that is given another's elements (`x.data = y`, `x.set_(y)`);
- a question for the *device*, which is the CPU for the network;
- a *read* of values (`item`, `bool`): impossible without arithmetic;
- a *composite* whose inside is worth rows of its own;
- a *higher-order* one, which takes functions;
- a *conversion* of device and type;
- a *factory* of new tensors, which are constants;
- anything else *computes*: a row with a cost.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from archlab.tracing.forward.higher_order import is_higher_order
from archlab.tracing.forward.names import CONVERSIONS, FACTORIES, PRODUCTS, QUERIES, READS, VIEWS


class Role(Enum):
    """What a function is to the tracer."""

    QUERY = auto()
    VIEW = auto()
    DEVICE = auto()
    READ = auto()
    COMPOSITE = auto()
    CONVERSION = auto()
    PRODUCT = auto()
    """Computes with MACs, so that it is a row even between constants."""
    HIGHER_ORDER = auto()
    """Takes functions; counted by its formula, or by what they do."""
    FACTORY = auto()
    """Makes a tensor of some shape, which holds nothing of what it was asked on."""
    COMPUTE = auto()


_RENAMED = {
    "__rpow__": "pow",
    "__rsub__": "sub",
    "__rdiv__": "div",
    "__rmatmul__": "matmul",
    "__rfloordiv__": "floor_divide",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """A function as the tracer knows it."""

    name: str
    """What it is called in the table."""
    role: Role
    in_place: bool = False
    is_torchs: bool = True
    """Whether it means what its name does in torch."""

    repeats: bool = field(init=False)
    """Whether calls with the same arguments but for values have the same row, and write into none of them."""

    def __post_init__(self) -> None:
        repeats = self.is_torchs and not self.in_place and self.role in (Role.VIEW, Role.PRODUCT, Role.COMPUTE)
        object.__setattr__(self, "repeats", repeats)


@cache
def operation(function: Any) -> Operation:
    """What a function announced by torch is.

    A getter (`Tensor.shape.__get__`) is a new object at each access, but equal to the last one: it is kept once.
    """
    raw = str(getattr(function, "__name__", function))
    if is_higher_order(function):
        return Operation(raw, Role.HIGHER_ORDER)
    if not _is_torchs(function):
        return Operation(raw.split(".")[0], Role.COMPUTE, is_torchs=False)
    if raw == "__get__":
        name = str(getattr(getattr(function, "__self__", None), "__name__", ""))
        if name == "device":
            return Operation(name, Role.DEVICE)
        return Operation(name, Role.VIEW if name in VIEWS else Role.QUERY)
    if raw == "set_" or (raw == "__set__" and getattr(function, "__self__", None) == Tensor.data):
        return Operation("set_data", Role.VIEW, in_place=True)
    if raw in ("__set__", "__delete__"):
        return Operation(raw, Role.QUERY)
    if raw in READS:
        return Operation(raw.strip("_"), Role.READ)
    if raw in QUERIES:
        return Operation(raw, Role.QUERY)
    name = _RENAMED.get(raw) or raw.split(".")[0].strip("_")
    if raw in _COMPOSITES and getattr(function, "__module__", "") == F.__name__:
        return Operation(name, Role.COMPOSITE)
    if name in VIEWS:
        return Operation(name, Role.VIEW)
    if name in CONVERSIONS:
        return Operation(name, Role.CONVERSION)
    if name in FACTORIES:
        return Operation(name, Role.FACTORY)
    in_place = name == "setitem" or (raw.endswith("_") and not raw.endswith("__"))
    return Operation(name, Role.PRODUCT if name in PRODUCTS else Role.COMPUTE, in_place)


def _is_torchs(function: Any) -> bool:
    """Whether a function means what its name does in torch; another library's may be called anything."""
    namespace = getattr(function, "namespace", None)
    if isinstance(namespace, str):
        return namespace == "aten"
    home = getattr(function, "__module__", None)
    return not isinstance(home, str) or home.partition(".")[0] == "torch"


_COMPOSITES = frozenset(["multi_head_attention_forward"])


@cache
def opened(function: Any) -> Callable[..., Any]:
    """The same Python function, that doesn't announce itself as a whole but lets its parts announce themselves.

    `torch.nn.functional`'s functions first ask whether somebody overrides them. This is a copy of the function whose
    module answers no; nothing in torch is changed.
    """
    never = {name: lambda *args: False for name in F.__dict__ if name.startswith("has_torch_function")}
    copied = types.FunctionType(
        function.__code__, {**F.__dict__, **never}, function.__name__, function.__defaults__, function.__closure__
    )
    copied.__kwdefaults__ = function.__kwdefaults__
    return copied


def detail(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> str:
    """What the shapes don't say: the sum of a concatenation, the kind of attention."""
    write = _DETAILS.get(name)
    if write is None:
        return ""
    try:
        return write(args, kwargs, out)
    except (TypeError, IndexError, KeyError, AttributeError, RuntimeError):
        return ""  # called in a way that the description doesn't foresee


def _cat(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> str:
    parts = args[0] if args else kwargs["tensors"]
    axis = args[1] if len(args) > 1 else kwargs.get("dim", kwargs.get("axis", 0))
    sizes = [str(part.shape[axis]) for part in parts if part.dim() == out.dim()]
    if len(sizes) > 8:
        sizes = [*sizes[:4], "...", *sizes[-2:]]
    return f"{'+'.join(sizes)} -> {out.shape[axis]}"


def _attention(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> str:
    causal = args[5] if len(args) > 5 else kwargs.get("is_causal", False)
    mask = args[3] if len(args) > 3 else kwargs.get("attn_mask")
    return "causal, counted in full" if causal else "masked" if mask is not None else ""


def _einsum(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> str:
    return str(args[0]) if isinstance(args[0], str) else ""


def _scalar(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> str:
    numbers = [item for item in args[:2] if isinstance(item, (int, float)) and not isinstance(item, bool)]
    return f"{numbers[0]:g}" if numbers else ""


_TRANSFORMS = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")


def _fourier(args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> str:
    return "5 N log2 N elementwise per transform"


_DETAILS: dict[str, Callable[[tuple[Any, ...], dict[str, Any], Any], str]] = {
    **dict.fromkeys(["cat", "concat", "concatenate"], _cat),
    **dict.fromkeys(["add", "sub", "mul", "div", "pow"], _scalar),
    **dict.fromkeys(
        [f"fft_{kind}{axes}" for kind in _TRANSFORMS for axes in ("", "2", "n")] + ["stft", "istft"], _fourier
    ),
    "scaled_dot_product_attention": _attention,
    "flex_attention": lambda args, kwargs, out: "counted in full",
    "einsum": _einsum,
}
