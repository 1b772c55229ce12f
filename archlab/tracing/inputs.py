"""What a network is called with: from specs, shapes and tensors to arguments without values."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archlab.errors import InputError, nearest
from archlab.records import Shape
from archlab.tracing.pytree import convert

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""

_SPEC = re.compile(r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>[^:=]*)(?::(?P<dtype>\w+))?")
_FORMS = "96 (a square), 3x224x224, 1x3x224x224 or NAME=1x128:int64"


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a network: its shape with the batch, and what is known beside it."""

    shape: Shape
    name: str = ""
    """The keyword that it is given by; empty for a positional one."""
    dtype: torch.dtype | None = None
    """None for the network's own floating-point type."""


def parse_input(spec: str, default: Shape = ()) -> Input:
    """The input that a spec describes.

    Args:
        spec: `96` (square, the default's own channels, batch 1), `3x224x224` (batch 1), `1x3x224x224`, each with
            `NAME=` in front and `:dtype` behind.
        default: shape with the batch that the network was made for; empty if that isn't known.

    Raises:
        InputError: the spec can't be read, or doesn't fit the default.

    >>> parse_input("96", (1, 3, 224, 224)).shape
    (1, 3, 96, 96)
    >>> parse_input("ids=1x128:int64")
    Input(shape=(1, 128), name='ids', dtype=torch.int64)
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise InputError(f"the input {spec!r} can't be read: expected {_FORMS}")
    words = match["shape"].replace("×", "x").lower().split("x")
    if not all(word.isdecimal() for word in words):
        raise InputError(f"the input {spec!r} can't be read: {match['shape']!r} is no size, expected {_FORMS}")
    sizes = tuple(int(word) for word in words)
    if 0 in sizes:
        raise InputError(f"the input {spec!r} has a size of 0: every size must be 1 or more, as in {_FORMS}")
    return Input(_complete(sizes, default, spec), match["name"] or "", _dtype(match["dtype"]))


def _complete(sizes: Shape, default: Shape, spec: str) -> Shape:
    """A shape with the batch and the channels that the spec left out."""
    if len(sizes) == 1 and len(default) >= 3:
        spatial = sizes * min(2, len(default) - 2)
        return (*default[: len(default) - len(spatial)], *spatial)
    if len(sizes) == len(default) - 1:
        sizes = (1, *sizes)
    if default and 0 in default:
        return sizes  # the default is a guess
    if not default:
        if len(sizes) == 1:
            raise InputError(
                f"the input {spec!r} is one number, and it isn't known what shape the network takes: give all sizes "
                f"with the batch, as in 1x3x{spec}x{spec}"
            )
        return sizes
    if len(sizes) != len(default):
        raise InputError(
            f"the input {spec!r} has {len(sizes)} sizes, expected {len(default)} as in {shape_text(default)} "
            f"(or {len(default) - 1} without the batch)"
        )
    if len(default) >= 3 and sizes[1] != default[1]:
        raise InputError(
            f"the input {spec!r} has {sizes[1]} channels, expected {default[1]} as in {shape_text(default)}; if the "
            f"network can be built for other channels, there is an option for it (--option in_channels={sizes[1]})"
        )
    return sizes


def shape_text(shape: Sequence[int]) -> str:
    """A shape as people write it: `1x3x224x224`."""
    return "x".join(map(str, shape))


def _dtype(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        known = [f"{kind}{bits}" for kind in ("int", "float", "complex") for bits in (8, 16, 32, 64, 128)]
        known = [key for key in (*known, "uint8", "bool", "bfloat16") if hasattr(torch, key)]
        raise InputError(f"there is no element type {name!r}: {nearest(name, known)}")
    return dtype


def arguments(inputs: object, network: nn.Module, defaults: Sequence[Shape], batch: int | None) -> Arguments:
    """The arguments that a network is called with; what isn't given as a tensor is one without values.

    Args:
        inputs: None for the defaults; a spec; a shape; a tensor; a sequence of these; a mapping for keywords. Nested
            containers stay as they are, with a tensor for each shape and spec in them.
        network: decides the element type where none is given.
        defaults: shapes that the source knows.
        batch: replaces the first size of every shape.

    Raises:
        InputError: there are no inputs, or one can't be understood.
    """
    if batch is not None and batch < 1:
        raise InputError(f"the batch is {batch}: it must be 1 or more")
    dtype = _floating_type(network)
    defaults = tuple(defaults) or _guess(network)
    if inputs is None:
        if not defaults or 0 in defaults[0]:
            raise InputError(
                "it isn't known what the network takes: give its inputs, as in --input 1x3x224x224 or "
                "trace(network, [(1, 3, 224, 224)])"
            )
        inputs = list(defaults)

    def make(shape: Shape, given: torch.dtype | None) -> Tensor:
        if batch is not None:
            shape = (batch, *shape[1:])
        return torch.empty(shape, dtype=given or dtype, device="meta")

    if isinstance(inputs, (str, int, Tensor)) or _is_shape(inputs):
        inputs = [inputs]
    if isinstance(inputs, Mapping):
        return _bound(network, (), {str(name): _build(value, make, ()) for name, value in inputs.items()})
    if not isinstance(inputs, Sequence):
        raise InputError(f"the inputs are {inputs!r}, expected a list of shapes or tensors, or a dict of keywords")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for position, value in enumerate(inputs):
        default = defaults[min(position, len(defaults) - 1)] if defaults else ()
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            parsed = parse_input(str(value), default)
            if parsed.name:
                named[parsed.name] = make(parsed.shape, parsed.dtype)
            else:
                positional.append(make(parsed.shape, parsed.dtype))
        else:
            positional.append(_build(value, make, default))
    return _bound(network, tuple(positional), named)


def _bound(network: nn.Module, positional: tuple[Any, ...], named: dict[str, Any]) -> Arguments:
    """The arguments, if the network's `forward` takes so many and by these names.

    Raises:
        InputError: it does not, with what it takes.
    """
    given = positional, named
    if network._forward_pre_hooks or type(network).__call__ is not nn.Module.__call__:
        return given  # they may make other arguments of them
    try:
        signature = inspect.signature(network.forward)
    except (TypeError, ValueError):  # it is no function of Python's
        return given
    try:
        signature.bind(*positional, **named)
    except TypeError:
        shown = [*map(_shown, positional), *(f"{name}={_shown(value)}" for name, value in named.items())]
        raise InputError(
            f"{type(network).__name__} takes ({_parameters(signature)}), and was given "
            f"({', '.join(shown)}): give each input once, in this order or by its name"
        ) from None
    return given


def _shown(value: object) -> str:
    return shape_text(value.shape) if isinstance(value, Tensor) else type(value).__name__


def _parameters(signature: inspect.Signature) -> str:
    """The parameters of a function in words: `x, mask by name, scale if wanted`."""
    found = []
    for name, parameter in signature.parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            found.append("any more" + " by name" * (parameter.kind is parameter.VAR_KEYWORD))
        else:
            by_name = " by name" * (parameter.kind is parameter.KEYWORD_ONLY)
            found.append(name + by_name + " if wanted" * (parameter.default is not parameter.empty))
    return ", ".join(found)


def _build(value: Any, make: Callable[[Shape, torch.dtype | None], Tensor], default: Shape) -> Any:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, str):
        parsed = parse_input(value, default)
        return make(parsed.shape, parsed.dtype)
    if _is_shape(value):
        return make(_checked(value), None)
    if isinstance(value, Mapping):
        return {key: _build(item, make, default) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_build(item, make, default) for item in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_build(item, make, default) for item in value)
    return value


def _is_shape(value: object) -> bool:
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(isinstance(size, int) and not isinstance(size, bool) for size in value)


def _checked(shape: Sequence[int]) -> Shape:
    """The shape, with its sizes checked.

    Raises:
        InputError: a size is below 1.
    """
    if min(shape) < 1:
        raise InputError(f"the input shape {shape_text(shape)} has a size below 1: every size must be 1 or more")
    return tuple(shape)


def _floating_type(network: nn.Module) -> torch.dtype:
    for parameter in nn.Module.parameters(network):
        if parameter.is_floating_point() or parameter.is_complex():
            return parameter.dtype
    return torch.get_default_dtype()


def _guess(network: nn.Module) -> tuple[Shape, ...]:
    """A shape with the right rank and channels, as the first convolution tells them, and sizes of 0."""
    for module in nn.Module.modules(network):
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            return ((1, module.in_channels, *[0] * len(module.kernel_size)),)
    return ()


def without_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the meta device."""

    def empty(tensor: Tensor) -> Tensor:
        if tensor.layout is not torch.strided:
            return tensor.detach().to("meta")
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")

    changed: Arguments = convert(given, empty)
    return changed


def with_values(given: Arguments) -> Arguments:
    """The same arguments, each tensor a new one on the CPU, with its values if it has any.

    Else they are zeros for integers, which are valid in any look-up, and uniform random numbers for the others.
    """
    generator = torch.Generator().manual_seed(0)

    def fill(tensor: Tensor) -> Tensor:
        if not tensor.is_meta:
            return tensor.detach().to("cpu", copy=True)
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        return torch.rand(tensor.shape, generator=generator).to(tensor.dtype)

    changed: Arguments = convert(given, fill)
    return changed
