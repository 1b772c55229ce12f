"""What a shape function is, where it is registered, and how it is called.

A shape function takes an operation's own arguments and returns (result, MACs, elementwise operations), where the
result is an empty tensor on the meta device. Three things may happen otherwise, each said in its own way:

- it returns None, or raises `UnknownCallError`, for a call that it doesn't know (an index by a mask, a sum over
  integers): torch runs the operation;
- it raises `MismatchError` for a call that torch would refuse too (3 channels for a convolution over 4);
- anything else that it raises is its own fault, and leaves as `ShapeFunctionError`.

>>> input, weight = torch.empty(2, 3, device="meta"), torch.empty(5, 3, device="meta")
>>> result, macs, elementwise = function_result("linear", (input, weight), {})
>>> tuple(result.shape), macs  # 2 * 3 * 5 = 30
((2, 5), 30)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

Result = tuple[Any, int, int]
"""What the operation returns, its MACs and its elementwise operations."""
ShapeFunction = Callable[..., Result | None]
Registered = TypeVar("Registered", bound=ShapeFunction)


class MismatchError(RuntimeError):
    """An operation can't take what it is given: its shape function says so, as torch would."""


class UnknownCallError(Exception):
    """A shape function doesn't know this way of calling its operation."""


class ShapeFunctionError(Exception):
    """A shape function failed by its own fault: no error of the network's, and nothing that a network may catch."""


class _Entry(NamedTuple):
    shape_function: ShapeFunction
    first: type | tuple[type, ...] = Tensor
    """What the first argument must be: for anything else torch says what is wrong."""
    settings: tuple[str, ...] | None = None
    """Attributes of a module that follow its input as arguments; None where it is called with the module itself."""


_FUNCTIONS: dict[str, _Entry] = {}
_MODULES: dict[Any, _Entry] = {}
"""By the `forward` of the class, which a subclass may have taken over."""
_BY_CLASS: dict[type, _Entry | None] = {}


def of_functions(*names: str, first: type | tuple[type, ...] = Tensor) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the shape function of torch's functions and methods.

    Args:
        names: as in the table: `add` stands for `torch.add`, `+`, `add_` and `Tensor.add`.
        first: what the first argument must be.
    """

    def add(function: Registered) -> Registered:
        _FUNCTIONS.update(dict.fromkeys(names, _Entry(function, first)))
        return function

    return add


def of_modules(*kinds: type[nn.Module], settings: Sequence[str] | None = None) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the shape function of some classes of layers.

    Args:
        kinds: torch's own layers.
        settings: attributes that follow the input as positional arguments: with `("weight", "bias")` a layer's result
            is `function(input, layer.weight, layer.bias)`. None where it is `function(layer, input)`.
    """

    def add(function: Registered) -> Registered:
        entry = _Entry(function, settings=None if settings is None else tuple(settings))
        _MODULES.update((kind.forward, entry) for kind in kinds)
        return function

    return add


def knows_function(name: str) -> bool:
    """Whether there is a shape function for a function of torch's."""
    return name in _FUNCTIONS


def function_result(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    """What a function of torch's returns and takes, without running it; None if nothing is known of this call.

    Raises:
        MismatchError: torch would refuse the call.
        ShapeFunctionError: the shape function fails.
    """
    entry = _FUNCTIONS.get(name)
    if entry is None or not args or not isinstance(args[0], entry.first):
        return None
    return _call(entry.shape_function, args, kwargs)


def knows_module(module: nn.Module) -> bool:
    """Whether there is a shape function for a module's class.

    A subclass has its parent's as long as it takes over everything that the computation goes through. Parametrised
    modules have none: their weights are computed by other modules.
    """
    return _entry(module) is not None


def module_result(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    """What a module returns and takes, without running it; None if nothing is known of this call.

    Raises:
        MismatchError: the module would refuse the call.
        ShapeFunctionError: the shape function fails.
    """
    entry = _entry(module)
    if entry is None or not args or not isinstance(args[0], (Tensor, PackedSequence)):
        return None
    if entry.settings is None:
        return _call(entry.shape_function, (module, *args), kwargs)
    if len(args) > 1 or kwargs or not isinstance(args[0], Tensor):
        return None
    own = module._parameters
    settings = [own[name] if name in own else getattr(module, name) for name in entry.settings]
    return _call(entry.shape_function, (args[0], *settings), {})


def _entry(module: nn.Module) -> _Entry | None:
    kind = type(module)
    try:
        return _BY_CLASS[kind]
    except KeyError:
        own_weights = "parametrizations" not in module._modules and not isinstance(module, torch.jit.ScriptModule)
        entry = _MODULES.get(kind.forward) if own_weights else None
        if entry is not None and not kind.__module__.startswith("torch."):
            base = next(parent for parent in kind.__mro__ if "forward" in vars(parent))
            if any(getattr(kind, name) is not getattr(base, name) for name in _PARTS if hasattr(base, name)):
                entry = None
        _BY_CLASS[kind] = entry
        return entry


_PARTS = ("_conv_forward", "_check_input_dim", "__getattr__", "__call__")
"""Methods beside `forward` that a layer's computation goes through."""


def _call(shape_function: ShapeFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
    try:
        return shape_function(*args, **kwargs)
    except UnknownCallError:
        return None
    except MismatchError:
        raise
    except Exception as error:
        traceback = error.__traceback__
        if isinstance(error, TypeError) and traceback is not None and traceback.tb_next is None:
            return None  # it has no such parameter, so that not a line of it was run: a call that it doesn't know
        name = getattr(shape_function, "__qualname__", repr(shape_function))
        raise ShapeFunctionError(f"the shape function {name} fails: {type(error).__name__}: {error}") from error
