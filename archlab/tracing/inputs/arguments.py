"""What a network is called with: from texts, shapes, tensors and values to its arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archlab.errors import InputError
from archlab.networks.members import parameters
from archlab.records import Shape
from archlab.tracing.inputs.parameters import is_size, kind_of, parameter_at, signature_of
from archlab.tracing.inputs.shorthand import beginning, completed, shape_text
from archlab.tracing.inputs.texts import AsIs, Input, read, split
from archlab.tracing.inputs.values import filled, from_file

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Positional and keyword arguments."""


def arguments(inputs: object, network: nn.Module, defaults: Sequence[Shape], batch: int | None) -> Arguments:
    """The arguments that a network is called with; a tensor that no values are given for has none.

    Args:
        inputs: None for the defaults; a text; a shape; a tensor; a sequence of these; a mapping for keywords. Nested
            containers stay as they are, with a tensor for each shape and text in them. Numbers, booleans, None and
            whatever is in `AsIs` are handed over as they are; so are texts and tuples that stand where `forward`, by an
            annotation or a default, takes them. The text `none` alone, or an empty sequence, is no input at all.
        network: decides the element type where none is given.
        defaults: shapes that the source knows.
        batch: replaces the first size of every shape, of those that only a tensor or a file has apart.

    Raises:
        InputError: there are no inputs, or one can't be understood.
    """
    if batch is not None and batch < 1:
        raise InputError(f"the batch is {batch}: it must be 1 or more")
    signature = signature_of(network)
    if inputs is None:
        if not defaults and signature is not None and not signature.parameters:
            return (), {}  # a network that takes nothing
        if not defaults:
            raise InputError(
                "it isn't known what the network takes: give its inputs, as in --input 1x3x224x224 or "
                "trace(network, [(1, 3, 224, 224)])"
            )
        inputs = list(defaults)
    maker = _Maker(network, signature, tuple(defaults) or (beginning(network),), batch)
    if isinstance(inputs, Mapping):
        return _bound(network, signature, (), {str(name): maker.named(str(name), inputs[name]) for name in inputs})
    is_list_of_one = isinstance(inputs, list) and len(inputs) == 1
    is_one = isinstance(inputs, (str, int, Tensor, AsIs, PackedSequence)) or (_is_shape(inputs) and not is_list_of_one)
    if is_one:
        inputs = [inputs]
    if not isinstance(inputs, Sequence):
        raise InputError(f"the inputs are {inputs!r}, expected a list of shapes or tensors, or a dict of keywords")
    if len(inputs) == 1 and isinstance(inputs[0], str) and inputs[0].strip() == "none":
        inputs = []
    if not inputs and batch is not None:
        raise InputError(f"the batch is {batch}, and there is no input: leave one of them out")
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for value in inputs:
        name, body = split(value) if isinstance(value, str) else ("", "")
        if not name:
            positional.append(maker.positional(len(positional), value))
        elif name in named:
            raise InputError(f"the input {value!r} names {name!r}, which is given already: leave one of them out")
        else:
            named[name] = maker.read(value, body, name)
    return _bound(network, signature, tuple(positional), named)


class _Maker:
    """Makes arguments for one network."""

    def __init__(
        self,
        network: nn.Module,
        signature: inspect.Signature | None,
        defaults: Sequence[Shape],
        batch: int | None,
    ) -> None:
        self.signature = signature
        self.defaults = defaults
        self.batch = batch
        self.floating = _floating_type(network)

    def positional(self, position: int, value: Any) -> Any:
        """The argument at a position, counted from 0."""
        default = self.defaults[position] if position < len(self.defaults) else ()
        if isinstance(value, str):
            return self.read(value, value, position, default)
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if is_number and position == 0 and kind_of(parameter_at(self.signature, 0)) != "value":
            return self.read(str(value), str(value), 0, default)
        return self._argument(position, value, default)

    def named(self, name: str, value: Any) -> Any:
        """The argument of a name."""
        if isinstance(value, str):
            return self.read(f"{name}={value}", value, name)
        return self._argument(name, value, ())

    def _argument(self, place: int | str, value: Any, default: Shape) -> Any:
        parameter = parameter_at(self.signature, place)
        kind = kind_of(parameter)
        is_plain = kind == "value" or (kind == "unknown" and is_size(parameter))
        if is_plain and isinstance(value, (list, tuple)):
            return value
        if _is_shape(value):
            sizes = _checked(value)
            return self.tensor(Input(completed(sizes, default, shape_text(sizes))), shape_text(sizes))
        return self._nested(value)

    def _nested(self, value: Any) -> Any:
        """The same containers, with a tensor for each shape and text in them; no shape in them is shorthand."""
        if isinstance(value, AsIs):
            return value.value
        if isinstance(value, (Tensor, PackedSequence)):
            return value
        if isinstance(value, str):
            found = read(value, (), "unknown", is_first=False)
            return found.value if isinstance(found, AsIs) else self.tensor(found, value)
        if _is_shape(value):
            return self.tensor(Input(_checked(value)), shape_text(value))
        if isinstance(value, Mapping):
            return {key: self._nested(item) for key, item in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_fields"):
            return type(value)(*(self._nested(item) for item in value))
        if isinstance(value, (list, tuple)):
            return type(value)(self._nested(item) for item in value)
        return value

    def read(self, text: str, body: str, place: int | str, default: Shape = ()) -> Any:
        """The argument that a text stands for; `body` is what comes behind a name."""
        if body.removeprefix("=").startswith("@"):
            return from_file(body.removeprefix("=")[1:], text)
        kind = kind_of(parameter_at(self.signature, place))
        found = read(text, default, kind, is_first=place == 0)
        return found.value if isinstance(found, AsIs) else self.tensor(found, text)

    def tensor(self, given: Input, text: str) -> Tensor:
        """The tensor that an input describes, with the batch that was asked for."""
        shape = given.shape
        if self.batch is not None and shape:
            shape = (self.batch, *shape[1:])
        if given.values:
            return filled(given.values, shape, given.dtype, self.floating, text)
        try:
            return torch.empty(shape, dtype=given.dtype or self.floating, device="meta")
        except (RuntimeError, TypeError, ValueError) as error:  # more elements than 64 bits can count
            raise InputError(f"the input {text!r} is larger than any tensor can be: expected smaller sizes") from error


def _bound(
    network: nn.Module, signature: inspect.Signature | None, positional: tuple[Any, ...], named: dict[str, Any]
) -> Arguments:
    """The arguments, if the network's `forward` takes so many and by these names.

    Raises:
        InputError: it does not, with what it takes.
    """
    given = positional, named
    if signature is None:
        return given  # hooks or a call of its own may make other arguments of them
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


def parameters_text(network: nn.Module) -> str:
    """What a network's `forward` takes, in words; empty where that isn't known."""
    signature = signature_of(network)
    return "" if signature is None else _parameters(signature)


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
        raise InputError(
            f"the input shape {shape_text(shape)} has a size below 1: every size must be 1 or more; numbers that are "
            f"no shape are given as archlab.tracing.AsIs({shape!r})"
        )
    return tuple(shape)


def _floating_type(network: nn.Module) -> torch.dtype:
    """The element type of inputs for which none is given: that of the first parameter with fractions.

    Complex weights say nothing about the input, which may be a signal that the network transforms itself: the type is
    real then. Only where the input goes straight into one of torch's own layers with complex weights, it is complex,
    since such a layer takes no other.
    """
    layer = network
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[0]
    if type(layer).__module__.startswith("torch.nn."):
        weights = [weight.dtype for weight in layer._parameters.values() if weight is not None and weight.is_complex()]
        if weights:
            return weights[0]
    first: torch.dtype | None = None
    for parameter in parameters(network):
        if parameter.is_floating_point():
            return parameter.dtype
        if parameter.is_complex() and first is None:
            first = parameter.dtype.to_real()
    return first or torch.get_default_dtype()
