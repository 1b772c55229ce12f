"""Quick handlers of torch's own layers, by the forward method that a class has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from archlab.tracing.costs.formulas import (
    DROPOUT,
    SOFTMAX,
    convolution_macs,
    convolution_shape,
    expand,
    normalisation,
    rms_normalisation,
)
from archlab.tracing.quick.results import (
    Handler,
    MismatchError,
    Result,
    check_floating,
    check_same_type,
    like,
    new,
    pooled,
)

Registered = TypeVar("Registered", bound=Handler)

_HANDLERS: dict[Any, Handler] = {}
_BY_TYPE: dict[type, Handler | None] = {}


def module_handler(module: nn.Module) -> Handler | None:
    """The handler of a module's class, called as `handler(module, *args, **kwargs)`; None if there is none.

    A subclass has its parent's as long as it takes over everything that the computation goes through. Parametrised
    modules have none: their weights are computed by other modules.
    """
    kind = type(module)
    try:
        return _BY_TYPE[kind]
    except KeyError:
        own_weights = "parametrizations" not in module._modules and not isinstance(module, torch.jit.ScriptModule)
        handler = _HANDLERS.get(kind.forward) if own_weights else None
        if handler is not None and not kind.__module__.startswith("torch."):
            base = next(parent for parent in kind.__mro__ if "forward" in vars(parent))
            if any(getattr(kind, name) is not getattr(base, name) for name in _HOOKS if hasattr(base, name)):
                handler = None
        _BY_TYPE[kind] = handler
        return handler


def has_one_value(module: nn.Module, args: tuple[Any, ...]) -> bool:
    """Whether a BatchNorm is given one value a channel, so that torch refuses to train it."""
    if not isinstance(module, _BATCH_NORMS) or not args or not isinstance(args[0], Tensor):
        return False
    given = args[0]
    return given.dim() > 1 and given.numel() == given.shape[1] > 0


_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
BY_FORMULA = frozenset(
    [*_BATCH_NORMS, nn.Linear, nn.RMSNorm, nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell]
)
"""Layers that torch runs in ways that differ by device and version: counted by formula also where they run."""


_HOOKS = ("_conv_forward", "_check_input_dim", "__getattr__", "__call__")


def handles(*kinds: type[nn.Module]) -> Callable[[Registered], Registered]:
    """A decorator that makes a function the handler of some classes of layers."""

    def add(handler: Registered) -> Registered:
        for kind in kinds:
            _HANDLERS[kind.forward] = handler
        return handler

    return add


@handles(nn.Conv1d, nn.Conv2d, nn.Conv3d)
def _convolution(module: Any, x: Tensor) -> Result | None:
    weight = module._parameters["weight"]
    kernel = tuple(weight.shape)
    shape = tuple(x.shape)
    axes = len(kernel) - 2
    unbatched = len(shape) == axes + 1
    if unbatched:
        shape = (1, *shape)
    if len(shape) != axes + 2 or x.dtype is not weight.dtype:
        return None
    if shape[1] != kernel[1] * module.groups:
        raise MismatchError(f"the layer convolves {kernel[1] * module.groups} channels, and was given {shape[1]}")
    padding = module.padding
    if isinstance(padding, str):
        if padding == "same":
            output = (shape[0], kernel[0], *shape[2:])
        else:
            output = convolution_shape(shape, kernel, module.stride, (0,) * axes, module.dilation)
    else:
        output = convolution_shape(shape, kernel, module.stride, padding, module.dilation)
    if min(output[2:]) <= 0:
        raise MismatchError(f"the kernel of {kernel[2:]} is larger than the input of {shape[2:]} with its padding")
    macs = convolution_macs(shape, kernel, output, transposed=False)
    if axes == 2 and not x.is_contiguous() and not unbatched and x.is_contiguous(memory_format=torch.channels_last):
        return new(output, x.dtype).to(memory_format=torch.channels_last), macs, 0
    return new(output[1:] if unbatched else output, x.dtype), macs, 0


@handles(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
def _transposed(module: Any, input: Tensor) -> Result | None:
    weight = module._parameters["weight"]
    kernel, shape = tuple(weight.shape), tuple(input.shape)
    axes = len(kernel) - 2
    if len(shape) != axes + 2 or input.dtype is not weight.dtype or not input.is_contiguous():
        return None
    if shape[1] != kernel[0]:
        raise MismatchError(f"the layer convolves {kernel[0]} channels, and was given {shape[1]}")
    settings = (module.stride, module.padding, module.dilation, module.output_padding)
    spatial = tuple(
        (size - 1) * step - 2 * pad + gap * (window - 1) + extra + 1
        for size, window, step, pad, gap, extra in zip(shape[2:], kernel[2:], *settings, strict=True)
    )
    if min(spatial) <= 0:
        return None
    output = (shape[0], kernel[1] * module.groups, *spatial)
    return new(output, input.dtype), convolution_macs(shape, kernel, output, transposed=True), 0


@handles(nn.Linear)
def _linear(module: Any, input: Tensor) -> Result | None:
    weight = module._parameters["weight"]
    shape = tuple(input.shape)
    features, inputs = weight.shape
    if not shape:
        return None
    check_same_type(input, weight)
    if shape[-1] != inputs:
        raise MismatchError(f"the layer multiplies {inputs} features, and was given {shape[-1]}")
    output = (*shape[:-1], features)
    return new(output, input.dtype), input.numel() * features, 0


@handles(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
def _batch_norm(module: Any, input: Tensor) -> Result | None:
    module._check_input_dim(input)
    check_floating(input)
    elements = input.numel()
    if input.shape[1] != module.num_features or not elements:
        return None
    static = not module.training and module._buffers.get("running_mean") is not None
    return like(input), 0, normalisation(elements, static=static, affine=module._parameters["weight"] is not None)


@handles(nn.LayerNorm)
def _layer_norm(module: Any, input: Tensor) -> Result | None:
    check_floating(input)
    shape = module.normalized_shape
    if tuple(input.shape[-len(shape) :]) != tuple(shape):
        return None
    affine = module._parameters["weight"] is not None
    return new(input.shape, input.dtype), 0, normalisation(input.numel(), affine=affine)


@handles(nn.GroupNorm)
def _group_norm(module: Any, input: Tensor) -> Result | None:
    if input.dim() < 2 or input.shape[1] != module.num_channels or not input.is_contiguous():
        return None
    return like(input), 0, normalisation(input.numel(), affine=module._parameters["weight"] is not None)


@handles(nn.RMSNorm)
def _rms_norm(module: Any, x: Tensor) -> Result | None:
    shape = module.normalized_shape
    if tuple(x.shape[-len(shape) :]) != tuple(shape):
        return None
    return like(x), 0, rms_normalisation(x.numel(), affine=module._parameters["weight"] is not None)


@handles(
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Hardtanh,
    nn.SiLU,
    nn.Mish,
)
def _activation(module: Any, input: Tensor) -> Result | None:
    if not input.is_floating_point():
        return None
    return (input if module.inplace else like(input)), 0, input.numel()


@handles(nn.Sigmoid, nn.Tanh)
def _bounded_activation(module: Any, input: Tensor) -> Result | None:
    return (like(input), 0, input.numel()) if input.is_floating_point() else None


@handles(nn.GELU)
def _gelu(module: Any, input: Tensor) -> Result | None:
    check_floating(input)
    return like(input), 0, input.numel()


@handles(nn.Softmax, nn.LogSoftmax)
def _softmax(module: Any, input: Tensor) -> Result | None:
    check_floating(input)
    return like(input), 0, SOFTMAX * input.numel()


@handles(nn.Dropout)
def _dropout(module: Any, input: Tensor) -> Result | None:
    if not module.training or module.p == 0:
        return like(input), 0, 0
    check_floating(input)
    if module.p == 1:
        return None
    return (input if module.inplace else like(input)), 0, DROPOUT * input.numel()


@handles(nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
def _feature_dropout(module: Any, input: Tensor) -> Result | None:
    return None if module.training or module.inplace else (like(input), 0, 0)


@handles(nn.Identity)
def _identity(module: Any, input: Tensor) -> Result | None:
    return input.detach(), 0, 0


@handles(nn.Flatten)
def _flatten(module: Any, input: Tensor) -> Result | None:
    flat = new(input.shape, input.dtype).flatten(module.start_dim, module.end_dim)
    return (input.view(flat.shape) if input.is_contiguous() else flat), 0, 0


@handles(nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
def _max_pool(module: Any, input: Tensor) -> Result | None:
    if module.return_indices:
        return None
    axes = int(type(module).__name__[-2])
    settings = module.padding, module.dilation, module.ceil_mode
    return pooled(input, axes, module.kernel_size, module.stride, *settings)


@handles(nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
def _avg_pool(module: Any, input: Tensor) -> Result | None:
    axes = int(type(module).__name__[-2])
    return pooled(input, axes, module.kernel_size, module.stride, module.padding, 1, module.ceil_mode)


@handles(nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
def _adaptive_pool(module: Any, input: Tensor) -> Result | None:
    axes = int(type(module).__name__[-2])
    shape = tuple(input.shape)
    if len(shape) not in (axes + 1, axes + 2) or 0 in shape:
        return None
    check_floating(input)
    sizes = expand(module.output_size, axes) if module.output_size is not None else (None,) * axes
    spatial = [given if size is None else size for size, given in zip(sizes, shape[-axes:], strict=True)]
    return new((*shape[:-axes], *spatial), input.dtype), 0, input.numel()


@handles(nn.Embedding)
def _embedding(module: Any, input: Tensor) -> Result | None:
    weight = module._parameters["weight"]
    if input.dtype not in (torch.int64, torch.int32) or module.max_norm is not None:
        return None
    return new((*input.shape, weight.shape[1]), weight.dtype), 0, 0
