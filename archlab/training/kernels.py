"""Faster kernels for a network that is trained, chosen by rule from its layers and its images.

On a processor there are five forms, of which each gives what the layers themselves give, the last four up to rounding:

- **Pooling.** torch's max-pooling goes through a map value by value, unless the channels lie beside each other. As the
  larger of columns, then of rows, both whole vectors at a time, it gives the same to the bit, in an eighth of the time
  (LeNet's first map, batch 256). The gradient goes the same way back, to the value that torch takes among equal ones.
- **Pooling before a sigmoid or tanh.** Neither turns the order of two values round, so the largest value may as well be
  looked for first. That leaves a quarter of the values to go through the exponential function, there and back.
- **Weight gradients of a convolution of one channel.** oneDNN's kernels take 8 or 16 input channels at once, of which
  grey images fill one. As matrix products of the gradient with shifted columns they take a quarter of the time.
- **channels_last**, where torch's kernels for pooling, BatchNorm and activations take a vector of channels at once: in
  networks whose layers usually have `VECTOR_CHANNELS` or more. A step also brings the weights into that order and their
  gradients back, which pays where a step has more activations than weights.
- **Winograd's algorithm** for weight gradients, in the same steps and where channels are many: `winograd.py`.

On an NVIDIA accelerator, channels_last is what tensor cores take without turning it round first: with `--precision
bf16` or `tf32`, in the same networks.

Equal settings give equal bits, as ever; a run whose last bits any but the first may have changed says so in its record,
and by that in its key. `--kernels plain` leaves everything to the network's own modules.
"""

from __future__ import annotations

import copy
import functools
import statistics
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from archlab.networks import members
from archlab.networks.strangers import contained, settings_kept
from archlab.records import TrainingConfig
from archlab.training import seeding, winograd

VECTOR_CHANNELS = 16
"""float32 values of the widest vector register (AVX-512); half of it is what most processors have."""
_RISING = (nn.Sigmoid, nn.Tanh)
"""Activations of which the larger value has the larger result, and which take their time."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """What a training's passes are made of, beside the network's own modules."""

    pooling: bool = False
    """Whether there is a max-pooling to be taken by rows and columns."""
    pooling_first: bool = False
    """Whether there is a max-pooling to be taken before the activation in front of it."""
    columns: bool = False
    """Whether there is a convolution of one channel, whose weights get their gradients from columns."""
    tests_last: bool = False
    """Whether images are channels_last in evaluation mode."""
    steps_last: bool = False
    """The same in training mode."""
    winograd: bool = False
    """Whether there is a convolution whose weights get their gradients by Winograd's algorithm."""

    @property
    def name(self) -> str:
        """What a record says of those that change the last bits; empty where none does.

        >>> Kernels(columns=True, tests_last=True).name, Kernels(pooling=True).name
        ('columns, channels_last in tests', '')
        """
        last = "channels_last" if self.steps_last else "channels_last in tests" if self.tests_last else ""
        first = "pooling first" if self.pooling_first else ""
        parts = first, "columns" if self.columns else "", last, "winograd" if self.winograd else ""
        return ", ".join(part for part in parts if part)


def chosen(network: nn.Module, config: TrainingConfig, shape: tuple[int, int, int], device: torch.device) -> Kernels:
    """Which kernels a training takes.

    Args:
        network: with its first weights; it stays as it is, and so do random states.
        config: of the training.
        shape: (channels, height, width) of an image.
        device: where it is trained.
    """
    on_processor = device.type == "cpu" and config.precision == "fp32"
    on_tensor_cores = device.type == "cuda" and config.precision != "fp32"
    if config.kernels == "plain" or not (on_processor or on_tensor_cores):
        return Kernels()
    layers = list(members.modules(network))
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    widths = [layer.out_channels for layer in convolutions]
    pooling = on_processor and any(map(_is_halving, layers))
    first = on_processor and any(_order(layer) != list(layer) for layer in layers if _is_a_row(layer))
    if not widths or statistics.median(widths) < VECTOR_CHANNELS:
        return Kernels(pooling, first, on_processor and any(map(_has_one_channel, layers)))
    values = _values_of_a_step(network, shape, device)
    if values is None:
        return Kernels(pooling, first)
    weights = sum(layer.weight.numel() for layer in convolutions if max(layer.kernel_size) > 1)
    steps_last = on_tensor_cores or values * config.batch_size >= weights
    by_winograd = on_processor and steps_last and any(map(winograd.pays, layers))
    return Kernels(pooling_first=first, tests_last=True, steps_last=steps_last, winograd=by_winograd)


def fit(network: nn.Module, config: TrainingConfig, shape: tuple[int, int, int], device: torch.device) -> nn.Module:
    """The network, whose passes take the kernels that are chosen for it.

    Args:
        network: changed in place: some layers change their class, and its inputs their order in memory.
        config: of the training.
        shape: (channels, height, width) of an image.
        device: where it is trained.
    """
    kernels = chosen(network, config, shape, device)
    for layer in members.modules(network):
        if kernels.pooling and _is_halving(layer):
            layer.__class__ = MaxPool2d
        elif kernels.columns and _has_one_channel(layer):
            layer.__class__ = Conv2d
        elif kernels.winograd and winograd.pays(layer):
            layer.__class__ = winograd.Conv2d
        elif kernels.pooling_first and _is_a_row(layer):
            kind: Any = type(layer)  # for mypy, to whom a class has no hash
            layer.__class__ = _pooling_first(kind)
    if kernels.tests_last:

        def before(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            if module.training and not kernels.steps_last:
                return args
            return tuple(channels_last(value) if isinstance(value, Tensor) else value for value in args)

        network.register_forward_pre_hook(before)
    return network


class MaxPool2d(nn.MaxPool2d):
    """Max-pooling of 2 x 2 values, of which none is left over."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., channels, height, width) -> (..., channels, height / 2, width / 2)."""
        if input.shape[-1] % 2 or input.shape[-2] % 2:
            result: Tensor = super().forward(input)
        elif torch.is_grad_enabled() and input.requires_grad:
            result = _Halved.apply(input)
        else:
            rows = torch.maximum(input[..., 0::2, :], input[..., 1::2, :])
            result = torch.maximum(rows[..., 0::2], rows[..., 1::2])
        return result


class _Halved(torch.autograd.Function):
    """Of each 2 x 2 values the largest, and of equal ones the first in reading order, to which the gradient goes."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        columns = torch.maximum(maps[..., 0::2], maps[..., 1::2])  # (..., height, width / 2)
        ctx.save_for_backward(maps, columns)
        return torch.maximum(columns[..., 0::2, :], columns[..., 1::2, :])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        maps, columns = ctx.saved_tensors
        # Ones and zeros as floats, since torch compares and chooses value by value where it has truth values.
        is_top = torch.ge(columns[..., 0::2, :], columns[..., 1::2, :], out=torch.empty_like(gradient))
        of_columns = torch.empty_like(columns)
        top = torch.mul(gradient, is_top, out=of_columns[..., 0::2, :])
        torch.sub(gradient, top, out=of_columns[..., 1::2, :])
        is_left = torch.sub(maps[..., 0::2], columns).eq_(0)
        of_maps = torch.empty_like(maps)
        left = torch.mul(of_columns, is_left, out=of_maps[..., 0::2])
        torch.sub(of_columns, left, out=of_maps[..., 1::2])
        return of_maps


class Conv2d(nn.Conv2d):
    """A convolution of one channel, of stride 1; or of several such side by side, a group each."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if torch.is_grad_enabled() and weight.requires_grad and not input.requires_grad and input.dim() == 4:
            padding = self.padding[0] if isinstance(self.padding, tuple) else 0
            result: Tensor = _OneChannel.apply(input, weight, bias, padding, self.groups)
        else:
            result = super()._conv_forward(input, weight, bias)
        return result


class _OneChannel(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: int, groups: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding, ctx.has_bias = padding, bias is not None
        return F.conv2d(images, weight, bias, padding=padding, groups=groups)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        (gradient,) = gradients
        slope = _weight_gradient(F.pad(images, (ctx.padding,) * 4), gradient, weight)
        return None, slope, gradient.sum((0, 2, 3)) if ctx.has_bias else None, None, None


def _weight_gradient(images: Tensor, gradient: Tensor, weight: Tensor) -> Tensor:
    """The gradient of the weights, (out, 1, rows, columns).

    A weight at row k and column l is met by image rows k to k + height - 1 and columns l to l + width - 1 of the
    gradient's map. For each l these columns are copied once; rows k on are then one stretch of memory in each copy, and
    the sum over all places a matrix product.

    Args:
        images: (images, groups, image height, image width), padded.
        gradient: (images, out, height, width).
        weight: of the convolution.
    """
    count, groups, image_height = images.shape[:3]
    out, height, width = gradient.shape[1:]
    rows, columns = weight.shape[2:]
    shifted = images.flatten(0, 1).unfold(2, width, 1).transpose(1, 2)  # (maps, columns, image height, width)
    shifted = shifted.reshape(count * groups, columns, image_height * width)
    maps = gradient.reshape(count * groups, out // groups, height * width)
    stretches = [shifted[:, :, row * width : (row + height) * width] for row in range(rows)]
    products = [torch.bmm(maps, stretch.transpose(1, 2)).view(count, out, columns).sum(0) for stretch in stretches]
    return torch.stack(products, 1).view(out, 1, rows, columns)


@functools.cache
def _pooling_first(kind: Any) -> Any:
    """The class, whose layers run in their `_order`."""

    def forward(self: nn.Sequential, input: Any) -> Any:
        for layer in _order(self):
            input = layer(input)
        return input

    return type(kind.__name__, (kind,), {"__module__": kind.__module__, "__doc__": kind.__doc__, "forward": forward})


def _order(row: nn.Sequential) -> list[nn.Module]:
    """The layers, a max-pooling before the activation in front of it where nobody looks at what either gives."""
    layers = list(row)
    for place, (one, other) in enumerate(pairwise(tuple(layers))):
        is_pair = type(one) in _RISING and isinstance(other, nn.MaxPool2d) and not other.return_indices
        if is_pair and not (_is_watched(one) or _is_watched(other)):
            layers[place : place + 2] = other, one
    return layers


def _is_a_row(layer: nn.Module) -> TypeGuard[nn.Sequential]:
    return isinstance(layer, nn.Sequential) and type(layer).forward is nn.Sequential.forward


def _is_watched(layer: nn.Module) -> bool:
    return any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks))


def channels_last(images: Tensor) -> Tensor:
    """The images in that order of memory, also where one channel leaves it open.

    >>> channels_last(torch.zeros(2, 1, 3, 3)).stride(), channels_last(torch.zeros(2, 5)).stride()
    ((9, 1, 3, 1), (5, 1))
    """
    if images.dim() != 4:
        return images
    if images.shape[1] == 1:
        return images[:, 0].unsqueeze(-1).permute(0, 3, 1, 2)
    return images.contiguous(memory_format=torch.channels_last)


def _is_halving(layer: nn.Module) -> bool:
    """Whether it is torch's own pooling of 2 x 2 values that don't overlap."""
    if type(layer) is not nn.MaxPool2d or layer.return_indices or layer.ceil_mode:
        return False
    asked = (layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    return [value if isinstance(value, tuple) else (value, value) for value in asked] == [
        (2, 2),
        (2, 2),
        (0, 0),
        (1, 1),
    ]


def _has_one_channel(layer: nn.Module) -> bool:
    """Whether it is a usual convolution of one channel, padded alike on all sides."""
    return winograd.is_usual(layer) and layer.in_channels == 1 and len(set(layer.padding)) == 1


def _values_of_a_step(network: nn.Module, shape: tuple[int, int, int], device: torch.device) -> int | None:
    """Values per image that convolutions give; None where the network can't be trained on channels_last images.

    A forward that asks for `view` where only `reshape` will do is tried on a copy, with two images, there and back.
    """
    values: list[int] = []

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor):
            values.append(output.numel() // 2)

    try:
        with seeding.preserved(), settings_kept(), contained(), torch.enable_grad():
            tried = members.set_training(copy.deepcopy(network), True)
            for layer in members.modules(tried):
                if isinstance(layer, nn.Conv2d):
                    layer.register_forward_hook(after)
            tried(channels_last(torch.zeros(2, *shape, device=device))).sum().backward()
    except Exception:  # training will say what is wrong with the network, if anything is
        return None
    return sum(values)
