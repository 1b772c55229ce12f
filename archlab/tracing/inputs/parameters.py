"""What a network's `forward` takes at each place: its signature, as far as it tells."""

from __future__ import annotations

import inspect
import re
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

Kind: TypeAlias = Literal["tensor", "text", "value", "unknown"]
"""What a parameter takes: a tensor, a string, a number or other value that is no tensor, or it doesn't say."""

_PLAIN = {
    "int",
    "float",
    "bool",
    "str",
    "complex",
    "tuple",
    "list",
    "sequence",
    "optional",
    "union",
    "none",
    "nonetype",
}
"""Words of annotations that no tensor satisfies, in small letters."""
_ROOMS = {"typing", "collections", "abc", "class"}
"""Words that only say where a type comes from."""


def signature_of(network: nn.Module) -> inspect.Signature | None:
    """The signature of `forward`; None where other arguments may reach it than the network is called with."""
    if network._forward_pre_hooks or type(network).__call__ is not nn.Module.__call__:
        return None
    try:
        return inspect.signature(network.forward)
    except (TypeError, ValueError):  # it is no function of Python's
        return None


def parameter_at(signature: inspect.Signature | None, place: int | str) -> inspect.Parameter | None:
    """The parameter at a position or of a name, if there is one."""
    if signature is None:
        return None
    if isinstance(place, str):
        return signature.parameters.get(place)
    parameters = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    return parameters[place] if place < len(parameters) else None


def kind_of(parameter: inspect.Parameter | None) -> Kind:
    """What a parameter takes, by its annotation, else by its default.

    `x: Tensor` takes a tensor, `head="a"` a string, `scale=1.0` and `size: tuple[int, int]` a value; `mask=None`
    doesn't say, nor does `states=()`.
    """
    if parameter is None:
        return "unknown"
    kind = _annotated(parameter.annotation) if parameter.annotation is not parameter.empty else "unknown"
    if kind != "unknown":
        return kind
    default: Any = parameter.default
    if isinstance(default, Tensor):
        return "tensor"
    if isinstance(default, str):
        return "text"
    is_value = isinstance(default, (int, float, complex)) or (isinstance(default, (tuple, list)) and len(default) > 0)
    return "value" if is_value else "unknown"


def is_size(parameter: inspect.Parameter | None) -> bool:
    """Whether a parameter is called `size`, `shape` or the like: what such ones take is no tensor of that shape."""
    return parameter is not None and re.fullmatch(r"(\w+_)?(size|shape)", parameter.name) is not None


def _annotated(annotation: Any) -> Kind:
    # Annotations may be strings whose names can't be looked up here, so their words are read.
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "") + str(annotation)
    if "Tensor" in text:
        return "tensor"
    words = {word.lower() for word in re.findall(r"[A-Za-z_]\w*", text)} - _ROOMS
    if not words or not words <= _PLAIN:
        return "unknown"
    return "text" if words <= {"str", "optional", "union", "none", "nonetype"} and "str" in words else "value"
