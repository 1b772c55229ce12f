"""Shape functions of what layers consist of: products, attention, normalisation, activations.

Most of torch's layers are such a function, called with the layer's settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from archlab.formulas import (
    DROPOUT_PER_ELEMENT,
    SOFTMAX_PER_ELEMENT,
    attention_elementwise,
    attention_macs,
    broadcast,
    convolution_macs,
    convolution_shape,
    matmul_macs,
    matmul_shape,
    normalisation,
    rms_normalisation,
)
from archlab.tracing.quick.results import axis_of, check_floating, check_same_type, check_tensors, like, new, per_axis
from archlab.tracing.quick.shape_function import MismatchError, Result, for_functions, for_modules

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
VARYING_FUNCTIONS = frozenset(["div", "linear", "one_hot", "rms_norm", "scaled_dot_product_attention"])
"""What torch runs in ways that differ by device and version: counted by its formula also where it is dispatched."""
VARYING_LAYERS = frozenset(
    [*_BATCH_NORMS, nn.Linear, nn.RMSNorm, nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell]
)
"""The same of layers."""

# Products


@for_functions("matmul")
def _matmul(input: Tensor, other: Tensor) -> Result | None:
    check_tensors(other)
    left = tuple(input.shape)
    shape = matmul_shape(left, tuple(other.shape))
    if shape is None:
        return None
    check_same_type(input, other)
    return new(shape, input.dtype), matmul_macs(left, shape), 0


@for_functions("mm")
def _mm(input: Tensor, mat2: Tensor) -> Result | None:
    return _matmul(input, mat2) if input.dim() == mat2.dim() == 2 else None


@for_functions("bmm")
def _bmm(input: Tensor, mat2: Tensor) -> Result | None:
    """Unlike `matmul` it makes the batches equal by no broadcast."""
    return _matmul(input, mat2) if input.dim() == mat2.dim() == 3 and input.size(0) == mat2.size(0) else None


@for_functions("linear")
@for_modules(nn.Linear, settings=("weight", "bias"))
def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Result | None:
    check_tensors(weight)
    if weight.dim() != 2 or not input.dim():
        return None
    features, inputs = weight.shape
    check_same_type(input, weight)
    if input.shape[-1] != inputs:
        raise MismatchError(f"the layer multiplies {inputs} features, and was given {input.shape[-1]}")
    return new((*input.shape[:-1], features), input.dtype), input.numel() * features, 0


@for_functions("conv1d", "conv2d", "conv3d")
@for_modules(
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    settings=("weight", "bias", "stride", "padding", "dilation", "groups"),
)
def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Result | None:
    check_tensors(weight)
    kernel, shape = tuple(weight.shape), tuple(input.shape)
    axes = len(kernel) - 2
    unbatched = len(shape) == axes + 1
    if unbatched:
        shape = (1, *shape)
    if len(shape) != axes + 2 or any(part.dtype is not input.dtype for part in (weight, bias) if part is not None):
        return None
    if shape[1] != kernel[1] * groups:
        raise MismatchError(f"the layer convolves {kernel[1] * groups} channels, and was given {shape[1]}")
    steps = per_axis(stride, axes)
    if min(steps) <= 0 or (padding == "same" and max(steps) > 1):
        return None
    if padding == "same":
        output = (shape[0], kernel[0], *shape[2:])
    else:
        pads = per_axis(0 if padding == "valid" else padding, axes)
        output = convolution_shape(shape, kernel, steps, pads, per_axis(dilation, axes))
    if min(output[2:]) <= 0:
        raise MismatchError(f"the kernel of {kernel[2:]} is larger than the input of {shape[2:]} with its padding")
    macs = convolution_macs(shape, kernel, output, transposed=False)
    if unbatched:
        output = output[1:]
    elif axes == 2 and not input.is_contiguous() and input.is_contiguous(memory_format=torch.channels_last):
        return new(output, input.dtype).to(memory_format=torch.channels_last), macs, 0
    return new(output, input.dtype), macs, 0


@for_functions("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
@for_modules(
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
    settings=("weight", "bias", "stride", "padding", "output_padding", "groups", "dilation"),
)
def _transposed_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Result | None:
    check_tensors(weight)
    kernel, shape = tuple(weight.shape), tuple(input.shape)
    axes = len(kernel) - 2
    if len(shape) != axes + 2 or input.dtype is not weight.dtype or not input.is_contiguous():
        return None
    if shape[1] != kernel[0]:
        raise MismatchError(f"the layer convolves {kernel[0]} channels, and was given {shape[1]}")
    settings = (per_axis(setting, axes) for setting in (stride, padding, dilation, output_padding))
    sizes = [
        (size - 1) * step - 2 * pad + gap * (window - 1) + extra + 1
        for size, window, step, pad, gap, extra in zip(shape[2:], kernel[2:], *settings, strict=True)
    ]
    if min(sizes) <= 0:
        return None
    output = (shape[0], kernel[1] * groups, *sizes)
    return new(output, input.dtype), convolution_macs(shape, kernel, output, transposed=True), 0


@for_functions("scaled_dot_product_attention")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Result | None:
    check_tensors(key, value)
    shapes = tuple(query.shape), tuple(key.shape), tuple(value.shape)
    if min(map(len, shapes)) < 2 or query.dtype is not key.dtype:
        return None
    if (attn_mask is not None and attn_mask.dim() > query.dim()) or (enable_gqa and len(set(map(len, shapes))) > 1):
        return None
    if shapes[0][-1] != shapes[1][-1] or shapes[1][-2] != shapes[2][-2]:
        return None
    batch = shapes[0][:-2]
    if not enable_gqa and broadcast(*(shape[:-2] for shape in shapes)) != batch:
        return None
    masked = is_causal or attn_mask is not None
    elementwise = attention_elementwise(shapes[0], shapes[1], masked=masked)
    shape = (*batch, shapes[0][-2], shapes[2][-1])
    # A fused kernel keeps the order of the query's axes, so that heads can be joined by a view behind it.
    is_fused = len(shape) == 4 and not dropout_p and shape == shapes[0] and query.stride(-1) == 1
    out = like(query) if is_fused else new(shape, query.dtype)
    return out, attention_macs(*shapes), elementwise


@for_functions("one_hot")
def _one_hot(input: Tensor, num_classes: int = -1) -> Result | None:
    if num_classes < 1:
        return None  # as many as the largest value says
    return new((*input.shape, num_classes), torch.int64), 0, 0


@for_functions("flex_attention")
def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, score_mod: object, block_mask: object, scale: float, *rest: Any
) -> Result | None:
    return _attention(query, key, value, scale=scale, enable_gqa=True)


@for_functions("einsum", first=str)
def _einsum(equation: str, left: Tensor, right: Tensor) -> Result | None:
    check_tensors(left, right)
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


@for_functions("embedding")
@for_modules(nn.Embedding, settings=("weight", "padding_idx", "max_norm"))
def _embedding(
    input: Tensor, weight: Tensor, padding_idx: Any = None, max_norm: float | None = None, *rest: Any, **options: Any
) -> Result | None:
    check_tensors(weight)
    if input.dtype not in (torch.int64, torch.int32) or weight.dim() != 2 or max_norm is not None:
        return None
    return new((*input.shape, weight.shape[1]), weight.dtype), 0, 0


# Normalisation


@for_functions("batch_norm")
def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: bool,
) -> Result | None:
    if input.dim() < 2 or (training and input.numel() == input.shape[1]):
        return None
    channels = (input.shape[1],)
    given = [part for part in (running_mean, running_var, weight, bias) if part is not None]
    if any(part.shape != channels for part in given) or not (training or running_mean is not None):
        return None
    return like(input), 0, normalisation(input.numel(), static=not training, affine=weight is not None)


@for_modules(*_BATCH_NORMS)
def _batch_norm_layer(module: Any, input: Tensor) -> Result | None:
    """Also where torch would refuse to train, for one value per channel: the trace says so, and counts it."""
    check_tensors(input)
    try:
        module._check_input_dim(input)
    except ValueError as error:
        raise MismatchError(str(error)) from error
    check_floating(input)
    if input.shape[1] != module.num_features or not input.numel():
        return None
    static = not module.training and module._buffers.get("running_mean") is not None
    affine = module._parameters["weight"] is not None
    return like(input), 0, normalisation(input.numel(), static=static, affine=affine)


def has_one_value(module: nn.Module, args: tuple[Any, ...]) -> bool:
    """Whether a BatchNorm is given one value per channel, so that torch refuses to train it."""
    if not isinstance(module, _BATCH_NORMS) or not args or not isinstance(args[0], Tensor):
        return False
    given = args[0]
    return given.dim() > 1 and given.numel() == given.shape[1] > 0


@for_functions("layer_norm")
@for_modules(nn.LayerNorm, settings=("normalized_shape", "weight", "bias"))
def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int], weight: Any = None, bias: Any = None, eps: float = 1e-5, *rest: bool
) -> Result | None:
    check_floating(input)
    if not _ends_with(input, normalized_shape):
        return None
    return new(input.shape, input.dtype), 0, normalisation(input.numel(), affine=weight is not None)


@for_functions("rms_norm")
@for_modules(nn.RMSNorm, settings=("normalized_shape", "weight"))
def _rms_norm(input: Tensor, normalized_shape: Sequence[int], weight: Any = None, eps: Any = None) -> Result | None:
    if not _ends_with(input, normalized_shape) or (weight is not None and weight.shape != tuple(normalized_shape)):
        return None
    return like(input), 0, rms_normalisation(input.numel(), affine=weight is not None)


def _ends_with(input: Tensor, shape: Sequence[int]) -> bool:
    return isinstance(shape, (tuple, list)) and tuple(input.shape[-len(shape) :]) == tuple(shape)


@for_functions("group_norm")
@for_modules(nn.GroupNorm, settings=("num_groups", "weight", "bias"))
def _group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Result | None:
    if input.dim() < 2 or not input.numel() or input.shape[1] % num_groups or not input.is_contiguous():
        return None
    if any(part is not None and part.shape != input.shape[1:2] for part in (weight, bias)):
        return None
    return like(input), 0, normalisation(input.numel(), affine=weight is not None)


@for_functions("normalize")
def _normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Any = None) -> Result | None:
    axis = axis_of(dim, input.dim())
    if out is not None or not input.is_floating_point() or not input.numel():
        return None
    # The norm takes each element, its clamp each norm, the division each element again.
    return like(input), 0, 2 * input.numel() + input.numel() // input.shape[axis]


# Activations


@for_functions("softmax", "log_softmax")
@for_modules(nn.Softmax, nn.LogSoftmax, settings=("dim",))
def _softmax(input: Tensor, dim: Any = None, _stacklevel: int = 3, dtype: torch.dtype | None = None) -> Result | None:
    if not isinstance(dim, int) or not isinstance(_stacklevel, int) or dtype not in (None, input.dtype):
        return None
    check_floating(input)
    return like(input), 0, SOFTMAX_PER_ELEMENT * input.numel()


@for_functions("gelu")
@for_modules(nn.GELU, settings=("approximate",))
def _gelu(input: Tensor, approximate: str = "none") -> Result | None:
    check_floating(input)
    return (like(input), 0, input.numel()) if approximate in ("none", "tanh") else None


@for_functions("dropout")
@for_modules(nn.Dropout, settings=("p", "training", "inplace"))
def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Result | None:
    if not training or p == 0:
        return like(input), 0, 0
    check_floating(input)
    if not 0 < p < 1:
        return None
    return (input if inplace else like(input)), 0, DROPOUT_PER_ELEMENT * input.numel()


@for_modules(
    *(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    settings=("training", "inplace"),
)
def _feature_dropout(input: Tensor, training: bool, inplace: bool) -> Result | None:
    return None if training or inplace else (like(input), 0, 0)


@for_functions("pad")
def _pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: Any = None) -> Result | None:
    sizes = list(input.shape)
    if not isinstance(pad, (tuple, list)) or len(pad) > 2 * len(sizes) or len(pad) % 2:
        return None
    for position in range(0, len(pad), 2):
        sizes[-1 - position // 2] += pad[position] + pad[position + 1]
    return (new(tuple(sizes), input.dtype), 0, 0) if min(sizes) > 0 else None
