"""What a network finds around it while it is traced: no accelerator to wait for, no distribution that checks values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


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
    """A context in which distributions don't look at the values of their parameters."""
    from torch.distributions import Distribution

    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
