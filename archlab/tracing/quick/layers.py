"""Quick handlers of the functions that layers consist of: products, normalisation, pooling, attention."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from archlab.tracing.costs.formulas import (
    DROPOUT,
    SOFTMAX,
    attention_elementwise,
    attention_macs,
    broadcast,
    convolution_macs,
    convolution_shape,
    expand,
    matmul_macs,
    matmul_shape,
    normalisation,
    rms_normalisation,
)
from archlab.tracing.quick.functions import handles
from archlab.tracing.quick.results import Result, check_same_type, like, new, pooled


@handles("matmul", "mm", "bmm")
def _matmul(input: Tensor, other: Tensor) -> Result | None:
    left = tuple(input.shape)
    shape = matmul_shape(left, tuple(other.shape))
    if shape is None:
        return None
    check_same_type(input, other)
    return new(shape, input.dtype), matmul_macs(left, shape), 0


@handles("linear")
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Result | None:
    if weight.dim() != 2 or input.shape[-1] != weight.shape[1]:
        return None
    check_same_type(input, weight)
    return new((*input.shape[:-1], weight.shape[0]), input.dtype), input.numel() * weight.shape[0], 0


@handles("conv1d", "conv2d", "conv3d")
def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Result | None:
    shape, kernel = tuple(input.shape), tuple(weight.shape)
    axes = len(kernel) - 2
    if (
        len(shape) != axes + 2
        or shape[1] != kernel[1] * groups
        or isinstance(padding, str)
        or not input.is_contiguous()
    ):
        return None
    output = convolution_shape(shape, kernel, expand(stride, axes), expand(padding, axes), expand(dilation, axes))
    if min(output[2:]) <= 0 or input.dtype is not weight.dtype:
        return None
    return new(output, input.dtype), convolution_macs(shape, kernel, output, transposed=False), 0


@handles("softmax", "log_softmax")
def _softmax(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Result | None:
    if not isinstance(dim, int) or dtype not in (None, input.dtype):
        return None
    return like(input), 0, SOFTMAX * input.numel()


@handles("layer_norm")
def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *rest: Any
) -> Result | None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        return None
    return new(input.shape, input.dtype), 0, normalisation(input.numel(), affine=weight is not None)


@handles("dropout")
def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result | None:
    if inplace or p == 1:
        return None
    return like(input), 0, DROPOUT * input.numel() if training and p > 0 else 0


@handles("embedding")
def _embedding(input: Tensor, weight: Tensor, padding_idx: Any = None) -> Result | None:
    if input.is_floating_point():
        return None
    return new((*input.shape, weight.shape[1]), weight.dtype), 0, 0


@handles("scaled_dot_product_attention")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,
) -> Result | None:
    shapes = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    if query.dtype is not key.dtype or shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        return None
    batch = broadcast(shapes[0][:-2], shapes[2][:-2]) if not options.get("enable_gqa") else shapes[0][:-2]
    if batch is None:
        return None
    masked = is_causal or attn_mask is not None
    elementwise = attention_elementwise(shapes[0], shapes[1], masked=masked)
    return new((*batch, shapes[0][-2], shapes[2][-1]), query.dtype), attention_macs(*shapes), elementwise


@handles("rms_norm")
def _rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Any = None, eps: Any = None) -> Result | None:
    if tuple(input.shape[-len(normalized_shape) :]) != tuple(normalized_shape):
        return None
    return like(input), 0, rms_normalisation(input.numel(), affine=weight is not None)


@handles("normalize")
def _normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Result | None:
    if not isinstance(dim, int) or not input.is_floating_point() or out is not None:
        return None
    # The norm takes each element, its clamp each norm, the division each element again.
    return like(input), 0, 2 * input.numel() + input.numel() // input.shape[dim]


@handles("pad")
def _pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Result | None:
    sizes = list(input.shape)
    for position in range(0, len(pad), 2):
        sizes[-1 - position // 2] += pad[position] + pad[position + 1]
    return (new(tuple(sizes), input.dtype), 0, 0) if min(sizes) > 0 else None


@handles("max_pool2d")
def _max_pool(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Result | None:
    if return_indices:
        return None
    return pooled(input, 2, kernel_size, stride, padding, dilation, ceil_mode)


@handles("avg_pool2d")
def _avg_pool(
    input: Tensor, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, *rest: Any
) -> Result | None:
    return pooled(input, 2, kernel_size, stride, padding, 1, ceil_mode)


@handles("adaptive_avg_pool2d")
def _adaptive_pool(input: Tensor, output_size: Any) -> Result | None:
    shape = tuple(input.shape)
    sizes = [given if size is None else size for size, given in zip(expand(output_size, 2), shape[-2:], strict=True)]
    return new((*shape[:-2], *sizes), input.dtype), 0, input.numel()


@handles("batch_norm")
def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    *rest: Any,
    **options: Any,
) -> Result | None:
    channels = input.shape[1]
    if training and input.numel() == channels:
        return None
    given = [part for part in (running_mean, running_var, weight, bias) if part is not None]
    if any(tuple(part.shape) != (channels,) for part in given):
        return None
    return like(input), 0, normalisation(input.numel(), static=not training, affine=weight is not None)


@handles("group_norm")
def _group_norm(input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, *rest: Any) -> Result | None:
    if input.shape[1] % num_groups or not input.is_contiguous():
        return None
    return like(input), 0, normalisation(input.numel(), affine=weight is not None)


@handles("gelu")
def _gelu(input: Tensor, approximate: str = "none") -> Result | None:
    return (like(input), 0, input.numel()) if input.is_floating_point() else None


@handles("einsum")
def _einsum(equation: str, left: Tensor, right: Tensor) -> Result | None:
    given, arrow, kept = equation.replace(" ", "").partition("->")
    operands = given.split(",")
    if len(operands) != 2 or not arrow or "." in equation or left.dtype is not right.dtype:
        return None
    sizes: dict[str, int] = {}
    for letters, tensor in zip(operands, (left, right), strict=True):
        if len(letters) != tensor.dim() or len(set(letters)) != len(letters):
            return None
        for letter, size in zip(letters, tensor.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                return None
    one, other = map(set, operands)
    if set(kept) - (one | other) or (one ^ other) - set(kept) or not (one & other) - set(kept):
        return None  # an axis is summed before the product, or there is none to sum over: no plain product
    return new(tuple(sizes[letter] for letter in kept), left.dtype), prod(sizes.values()), 0
