"""Quick handlers of functions that make tensors which hold nothing of the data: masks, grids, positions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archlab.tracing.quick.functions import handles
from archlab.tracing.quick.results import Result, like, new


@handles("zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "full_like")
def _same_kind(input: Tensor, value: Any = 0, *, dtype: torch.dtype | None = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    return like(input, dtype), 0, 0


@handles("new_zeros", "new_ones", "new_empty")
def _new(input: Tensor, *size: Any, dtype: torch.dtype | None = None, device: Any = None) -> Result | None:
    if not input.is_meta or device not in (None, input.device):
        return None
    shape = tuple(size[0]) if isinstance(size[0], (tuple, list)) else size
    return new(shape, dtype or input.dtype), 0, 0


@handles("zeros", "ones", "empty", "rand", "randn")
def _made(*size: Any, dtype: torch.dtype | None = None, device: Any = None, **options: Any) -> Result | None:
    if not _is_meta(device) or options:
        return None
    shape = tuple(size[0]) if isinstance(size[0], (tuple, list)) else size
    return new(shape, dtype or torch.get_default_dtype()), 0, 0


@handles("arange")
def _range(start: Any, end: Any = None, step: Any = 1, *, dtype: Any = None, device: Any = None) -> Result | None:
    if end is None:
        start, end = 0, start
    if not _is_meta(device) or not all(type(value) is int for value in (start, end, step)):
        return None
    return new((max(0, -((start - end) // step)),), dtype or torch.int64), 0, 0


@handles("outer")
def _outer(input: Tensor, vec2: Tensor) -> Result | None:
    if not (input.is_meta and vec2.is_meta) or input.dim() != 1 or vec2.dim() != 1 or input.dtype is not vec2.dtype:
        return None
    return new((input.shape[0], vec2.shape[0]), input.dtype), 0, input.shape[0] * vec2.shape[0]


@handles("tril", "triu")
def _triangle(input: Tensor, diagonal: int = 0) -> Result | None:
    return (like(input), 0, 0) if input.is_meta else None


def _is_meta(device: Any) -> bool:
    return device is not None and torch.device(device).type == "meta"
