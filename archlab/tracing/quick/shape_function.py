"""What a shape function is, where it is registered, and how it is called.

A shape function takes an operation's own arguments and returns (result, MACs, elementwise operations), where the
result is an empty tensor on the meta device. Three things may happen otherwise, each said in its own way:

- it returns None, or raises `UnknownCallError`, for a call that it doesn't know (an index by a mask, a sum over
  integers): torch runs the operation;
- it raises `MismatchError` for a call that torch would refuse too (3 channels for a convolution over 4);
- anything else that it raises leaves as `ShapeFunctionError`, and torch is asked. `x.repeat(2, -1)` makes a shape
  function fail at a size of -3, and torch refuses it too: its refusal is what the network gets. What torch accepts is
  a fault of the shape function's own, and surfaces.

>>> input, weight = torch.empty(2, 3, device="meta"), torch.empty(5, 3, device="meta")
>>> result, macs, elementwise = registered_function("linear").result((input, weight), {})
>>> tuple(result.shape), macs  # 2 * 3 * 5 = 30
((2, 5), 30)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from archlab.formulas import REAL_MACS_PER_COMPLEX
from archlab.tracing.pytree import convert, dtype_name, shape_of

Result = tuple[Any, int, int]
"""What the operation returns, its MACs and its elementwise operations."""
ShapeFunction = Callable[..., Result | None]
Registered = TypeVar("Registered", bound=ShapeFunction)


class MismatchError(RuntimeError):
    """An operation can't take what it is given: its shape function says so, as torch would."""


class UnknownCallError(Exception):
    """A shape function doesn't know this way of calling its operation."""


class ShapeFunctionError(Exception):
    """A shape function failed, and said nothing of the call."""


class Registration(NamedTuple):
    """A shape function, and how it is called for a function or a module."""

    shape_function: ShapeFunction
    name: str
    """The function, or the module's class, that it is registered for."""
    first: type | tuple[type, ...] = Tensor
    """What a function's first argument must be: for anything else torch says what is wrong."""
    settings: tuple[str, ...] | None = None
    """Attributes of a module that follow its input as arguments; None where it is called with the module itself."""

    def result(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
        """What a function returns and takes, without running it; None if nothing is known of this call.

        Raises:
            MismatchError: torch would refuse the call.
            ShapeFunctionError: the shape function fails.
        """
        if not args or not isinstance(args[0], self.first) or not is_dense(args[0]):
            return None
        return self._call(args, kwargs)

    def module_result(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
        """The same of a module's call."""
        if not args or not isinstance(args[0], (Tensor, PackedSequence)) or not is_dense(args[0]):
            return None
        if self.settings is None:
            return self._call((module, *args), kwargs)
        if len(args) > 1 or kwargs or not isinstance(args[0], Tensor):
            return None
        own = module._parameters
        return self._call(
            (args[0], *[own[name] if name in own else getattr(module, name) for name in self.settings]), {}
        )

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Result | None:
        try:
            result = self.shape_function(*args, **kwargs)
            if result is not None and result[1] and isinstance(result[0], Tensor) and result[0].is_complex():
                return result[0], result[1] * REAL_MACS_PER_COMPLEX, result[2]
            return result
        except UnknownCallError:
            return None
        except MismatchError:
            raise
        except Exception as error:
            traceback = error.__traceback__
            if isinstance(error, TypeError) and traceback is not None and traceback.tb_next is None:
                return None  # it has no such parameter, so that not a line of it was run: a call that it doesn't know
            name = getattr(self.shape_function, "func", self.shape_function).__qualname__  # of a partial: what it calls
            raise ShapeFunctionError(
                f"the shape function {name} fails: {type(error).__name__}: {error}; "
                f"it stands for {self.name}, called with {_described(args, kwargs)}"
            ) from error


def _described(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Arguments with element type and sizes in each tensor's place: `'float32[2, 3]', 1, dtype=None`."""
    args, kwargs = convert((args, kwargs), lambda tensor: f"{dtype_name(tensor)}{list(shape_of(tensor))}")
    return ", ".join([*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())])


def raise_refusal(
    fault: ShapeFunctionError, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> NoReturn:
    """Let torch decide of a call that a shape function failed at.

    Raises:
        Exception: torch refuses the call too: the mistake is the network's.
        ShapeFunctionError: torch accepts it: the fault is the shape function's.
    """
    try:
        function(*args, **kwargs)
    except Exception as refusal:
        raise refusal from refusal.__cause__  # that the shape function failed before tells the user nothing
    raise fault


def is_dense(value: object) -> bool:
    """Whether shapes tell everything about a value: it is no nested or sparse tensor."""
    return not isinstance(value, Tensor) or (value.layout is torch.strided and not value.is_nested)


_FUNCTIONS: dict[str, Registration] = {}
_MODULES: dict[Any, Registration] = {}
"""By the `forward` of the class, which a subclass may have taken over."""
_BY_CLASS: dict[type, Registration | None] = {}


def for_functions(*names: str, first: type | tuple[type, ...] = Tensor) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the shape function of torch's functions and methods.

    Args:
        names: as in the table: `add` stands for `torch.add`, `+`, `add_` and `Tensor.add`.
        first: what the first argument must be.
    """

    def add(function: Registered) -> Registered:
        _FUNCTIONS.update((name, Registration(function, name, first)) for name in names)
        return function

    return add


def for_modules(*kinds: type[nn.Module], settings: Sequence[str] | None = None) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the shape function of some classes of layers.

    Args:
        kinds: torch's own layers.
        settings: attributes that follow the input as positional arguments: with `("weight", "bias")` a layer's result
            is `function(input, layer.weight, layer.bias)`. None where it is `function(layer, input)`.
    """

    def add(function: Registered) -> Registered:
        names = None if settings is None else tuple(settings)
        _MODULES.update((kind.forward, Registration(function, kind.__name__, settings=names)) for kind in kinds)
        return function

    return add


def registered_function(name: str) -> Registration | None:
    """The shape function of one of torch's functions; None if there is none."""
    return _FUNCTIONS.get(name)


def registered_module(module: nn.Module) -> Registration | None:
    """The shape function of a module's class; None if there is none.

    A subclass has its parent's as long as it takes over everything that the computation goes through. Parametrised
    modules have none: their weights are computed by other modules.
    """
    kind = type(module)
    try:
        return _BY_CLASS[kind]
    except KeyError:
        own_weights = "parametrizations" not in module._modules and not isinstance(module, torch.jit.ScriptModule)
        found = _MODULES.get(kind.forward) if own_weights else None
        if found is not None and not kind.__module__.startswith("torch."):
            base = next(parent for parent in kind.__mro__ if "forward" in vars(parent))
            if any(getattr(kind, name) is not getattr(base, name) for name in _PARTS if hasattr(base, name)):
                found = None
        _BY_CLASS[kind] = found
        return found


_PARTS = ("_conv_forward", "_check_input_dim", "__getattr__", "__call__")
"""Methods beside `forward` that a layer's computation goes through."""
