"""What a network finds around it while it is traced.

There is no accelerator to wait for, no distribution checks values, and all methods of tensors announce themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


@contextmanager
def surroundings() -> Iterator[None]:
    """A context in which all of them are so."""
    with no_accelerator_to_wait_for(), unvalidated(), announced():
        yield


@contextmanager
def no_accelerator_to_wait_for() -> Iterator[None]:
    """A context in which waiting for an accelerator is over at once: no operation is on one, and there may be none.

    Where there is none, its streams and events can be made and waited for too.
    """
    changed: dict[str, Any] = {"synchronize": lambda device=None: None}
    if not torch.cuda.is_available():
        changed |= dict.fromkeys(["Stream", "Event", "stream", "current_stream", "default_stream"], _Queue)
    before = {name: getattr(torch.cuda, name) for name in changed}
    for name, value in changed.items():
        setattr(torch.cuda, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(torch.cuda, name, value)


class _Queue:
    """Stands for a stream or an event of an accelerator that isn't there: whatever it is asked for is done."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        pass

    def __enter__(self) -> _Queue:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def query(self) -> bool:
        """All is done."""
        return True

    def elapsed_time(self, end: object) -> float:
        """Milliseconds: none."""
        return 0.0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *args, **settings: self


@contextmanager
def unvalidated() -> Iterator[None]:
    """A context in which distributions don't look at the values of their parameters, whatever they were built with."""
    from torch.distributions import Distribution

    before = Distribution._validate_args, vars(Distribution)["set_default_validate_args"]
    Distribution._validate_args = _Never()  # type: ignore[assignment]
    Distribution.set_default_validate_args = staticmethod(lambda value: None)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Distribution._validate_args, Distribution.set_default_validate_args = before  # type: ignore[method-assign]


class _Never:
    """An attribute that is false, whatever an instance is given: that is kept for later."""

    def __get__(self, owner: object, kind: type) -> bool:
        return False

    def __set__(self, owner: object, value: bool) -> None:
        owner.__dict__["_validate_args"] = value


@contextmanager
def announced() -> Iterator[None]:
    """A context in which the methods that torch announces to no function mode are announced too."""
    for name in _UNANNOUNCED:
        setattr(Tensor, name, _announcing(getattr(Tensor, name)))
    try:
        yield
    finally:
        for name in _UNANNOUNCED:
            delattr(Tensor, name)  # those of the base class are back


_UNANNOUNCED = ("as_subclass", "set_")


def _announcing(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def announce(tensor: Tensor, *args: Any, **kwargs: Any) -> Any:
        if has_torch_function_unary(tensor):
            return handle_torch_function(method, (tensor,), tensor, *args, **kwargs)
        return method(tensor, *args, **kwargs)

    return announce
