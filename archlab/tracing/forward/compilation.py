"""Compiled functions and modules, which a trace runs as they were written."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch


@contextmanager
def uncompiled() -> Iterator[None]:
    """A context in which functions and modules run as they were written, whether they are compiled or are to be."""
    before = torch.compile
    torch.compile = _as_written
    try:
        # If the compiler isn't loaded, nothing can have been compiled.
        stance = torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()
        with stance, warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
            yield
    finally:
        torch.compile = before


def _as_written(model: Any = None, **settings: Any) -> Any:
    """Stands in for `torch.compile`, which is also a decorator with settings."""
    return model if model is not None else lambda function: function
