"""One network of the table, and the usual inputs of its kind, made by hand."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Inputs = list[Any] | dict[str, Any]
"""Positional arguments, or keywords, as `archlab.trace` takes them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A network of a library."""

    library: str
    """As it is imported."""
    name: str
    build: Callable[[], nn.Module]
    """The network with random weights; may raise ImportError."""
    inputs: Callable[[], Inputs]
    reset: Callable[[nn.Module], object] = lambda network: None
    """Puts back what the network keeps from one forward pass to the next (the potentials of spiking neurons)."""


def library(name: str) -> Any:
    """A module of a library, imported only when a network of it is built."""
    return importlib.import_module(name)


def of(kind: str, *args: Any, **options: Any) -> Callable[[], nn.Module]:
    """A function that builds `package.module:Class(*args, **options)`."""

    def build() -> nn.Module:
        home, _, name = kind.partition(":")
        network: nn.Module = getattr(library(home), name)(*args, **options)
        return network

    return build


def noise(*shapes: tuple[int, ...]) -> Callable[[], Inputs]:
    """Normal noise of each shape, by position."""
    return lambda: [torch.randn(shape) for shape in shapes]


def ids(batch: int, length: int, vocabulary: int = 1000) -> Tensor:
    """Token numbers, none of them of the first ten, which stand for padding and the like."""
    return torch.randint(10, vocabulary, (batch, length))


def padding_mask(batch: int, length: int, padded: int) -> Tensor:
    """1 for what is there, 0 for the padding behind it, which the last of the batch has."""
    mask = torch.ones(batch, length, dtype=torch.int64)
    if padded:
        mask[-1, -padded:] = 0
    return mask


def text(
    *, batch: int = 2, length: int = 24, padded: int = 5, segments: bool = False, vocabulary: int = 1000, **others: Any
) -> Callable[[], Inputs]:
    """What a tokenizer gives for sentences of two lengths: token numbers and the mask of the padding.

    With `segments` it says also which of two sentences a token is of. The `others` are further keywords, in which a
    function is called for its value.
    """

    def inputs() -> Inputs:
        made: dict[str, Any] = {
            "input_ids": ids(batch, length, vocabulary),
            "attention_mask": padding_mask(batch, length, padded),
        }
        if segments:
            made["token_type_ids"] = torch.zeros(batch, length, dtype=torch.int64)
            made["token_type_ids"][:, length // 2 :] = 1
        return made | called(others)

    return inputs


def named(**values: Any) -> Callable[[], Inputs]:
    """Keywords; a function is called for its value, a tuple of sizes stands for normal noise."""
    return lambda: called(values)


def called(values: dict[str, Any]) -> dict[str, Any]:
    """The values of functions, the noise of shapes, and whatever else as it is."""
    return {
        name: value() if callable(value) else torch.randn(value) if _is_shape(value) else value
        for name, value in values.items()
    }


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(type(size) is int for size in value)
