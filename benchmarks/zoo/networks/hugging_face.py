"""How networks of transformers are built: from their own configuration, small."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import nn

from benchmarks.zoo.entry import Entry, Inputs, library

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "vocab_size": 1000,
}
"""Settings of most of them, by the names that their configurations share."""


def transformer(name: str, inputs: Callable[[], Inputs], **settings: Any) -> Entry:
    """A network of transformers, by its class; `settings` stand in its configuration, functions called for values."""
    return Entry("transformers", name, functools.partial(_built, name, settings), inputs)


def small(name: str, inputs: Callable[[], Inputs], **settings: Any) -> Entry:
    """The same, of the sizes in `SMALL` where `settings` don't say others."""
    return transformer(name, inputs, **(SMALL | settings))


def config(kind: str, **settings: Any) -> Callable[[], Any]:
    """A function that makes a configuration, to stand in another."""
    return lambda: getattr(library("transformers"), kind)(**_called(settings))


def _called(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value() if callable(value) else value for name, value in settings.items()}


def _built(name: str, settings: dict[str, Any]) -> nn.Module:
    kind = getattr(library("transformers"), name)
    network: nn.Module = kind(kind.config_class(**_called(settings)))
    return network
