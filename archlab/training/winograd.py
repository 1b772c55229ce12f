"""Weight gradients of convolutions of three rows, with half the multiplications.

Row k of the weights gets the sum, over the rows i of the result, of image row i + k times gradient row i. Winograd's
minimal filtering (Lavin and Gray 2016, "Fast algorithms for convolutional neural networks", section 4), here F(3, m)
along the rows alone, takes m rows of the gradient with the m + 2 rows of the image that they meet: m + 2 products of
sums of rows in the place of 3 m products of rows. For example F(3, 2), image rows a, b, c, d and gradient rows p and q.
The weights' rows are to get ap + bq, bp + cq and cp + dq. Of the four products

    s = (a - c) p      t = (b + c) (p + q)      u = (c - b) (p - q)      v = (d - b) q

they are s + (t + u) / 2, (t - u) / 2 and (t + u) / 2 + v. A "product" is a matrix product over images and columns, so
the sums around it cost little where channels are many. The columns of the weights are met one by one.

Values differ from torch's by rounding: by as much as oneDNN's own do (`benchmarks/README.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

IN_CACHE = 2**20
"""Values that the sums of some images may have, so that the cache holds them until they are multiplied."""


class Form(NamedTuple):
    """F(3, m): which sums it takes."""

    images: tuple[tuple[float, ...], ...]
    """(m + 2, m + 2): product x image row."""
    gradients: tuple[tuple[float, ...], ...]
    """(m + 2, m): product x gradient row."""
    weights: tuple[tuple[float, ...], ...]
    """(3, m + 2): weight row x product."""

    @property
    def rows(self) -> int:
        """m, of the gradient."""
        return len(self.images) - 2


FORMS = (
    Form(
        images=(
            (2, -1, -2, 1, 0),
            (0, -2, -1, 1, 0),
            (0, 2, -3, 1, 0),
            (0, -1, 0, 1, 0),
            (0, 2, -1, -2, 1),
        ),
        gradients=((1, 0, 0), (1, 1, 1), (1, -1, 1), (1, 2, 4), (0, 0, 1)),
        weights=((1 / 2, -1 / 2, -1 / 6, 1 / 6, 0), (0, -1 / 2, 1 / 6, 1 / 3, 0), (0, -1 / 2, -1 / 6, 2 / 3, 1)),
    ),
    Form(
        images=(
            (4, 0, -5, 0, 1, 0),
            (0, -4, -4, 1, 1, 0),
            (0, 4, -4, -1, 1, 0),
            (0, -2, -1, 2, 1, 0),
            (0, 2, -1, -2, 1, 0),
            (0, 4, 0, -5, 0, 1),
        ),
        gradients=((1, 0, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 2, 4, 8), (1, -2, 4, -8), (0, 0, 0, 1)),
        weights=(
            (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24, 0),
            (0, -1 / 6, 1 / 6, 1 / 12, -1 / 12, 0),
            (0, -1 / 6, -1 / 6, 1 / 6, 1 / 6, 1),
        ),
    ),
)
"""Toom and Cook's, at the points 0, 1, -1, 2 and infinity, and at -2 too."""


def is_usual(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether it is torch's own convolution of stride 1, with zeros or nothing around the images."""
    return (
        type(layer) is nn.Conv2d
        and layer.stride == layer.dilation == (1, 1)
        and isinstance(layer.padding, tuple)
        and layer.padding_mode == "zeros"
    )


def pays(layer: nn.Module) -> bool:
    """Whether it is a usual convolution of three rows, of so many channels that it takes less time."""
    return (
        is_usual(layer)
        and layer.kernel_size[0] == 3
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= 32
        and max(layer.in_channels, layer.out_channels) >= 64
    )


class Conv2d(nn.Conv2d):
    """A convolution of three rows, of stride 1, whose weights get their gradients so."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        learns = torch.is_grad_enabled() and weight.requires_grad
        if learns and input.dim() == 4 and self.groups == 1 and isinstance(self.padding, tuple):
            result: Tensor = _ThreeRows.apply(input, weight, bias, self.padding)
        else:
            result = super()._conv_forward(input, weight, bias)
        return result


class _ThreeRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.padding = padding
        return F.conv2d(images, weight, bias, padding=padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight = ctx.saved_tensors
        of_images = None
        if ctx.needs_input_grad[0]:  # and nothing else: oneDNN would have the weights' gradients with a bias's
            settings = None, (1, 1), ctx.padding, (1, 1), False, (0, 0), 1, (True, False, False)
            of_images = torch.ops.aten.convolution_backward(gradient, images, weight, *settings)[0]
        of_bias = gradient.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return of_images, weight_gradient(images, gradient, weight, ctx.padding), of_bias, None


def weight_gradient(images: Tensor, gradient: Tensor, weight: Tensor, padding: tuple[int, int]) -> Tensor:
    """The gradient of a convolution's weights.

    Args:
        images: (images, channels, height, width).
        gradient: of the result, (images, out, rows, columns).
        weight: (out, channels, 3, width of the kernel).
        padding: zeros above and below, left and right of the images.
    """
    pixels, slopes = images.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)  # channels last
    count, height, width, channels = pixels.shape
    rows, columns, out = slopes.shape[1:]
    reach = weight.shape[3]
    form = min(FORMS, key=lambda form: len(form.images) * -(-rows // form.rows))
    products, step = len(form.images), form.rows
    strips = -(-rows // step)
    most = max(1, IN_CACHE // (products * strips * width * max(channels, reach * out)))
    most = -(-count // -(-count // most))  # in parts of one size
    padded = pixels.new_zeros(most, strips * step + 2, width, channels)
    framed = slopes.new_zeros(most, strips * step, columns, out)
    image_rows = [padded[:, row : row + step * (strips - 1) + 1 : step] for row in range(products)]
    slope_rows = framed.view(most, strips, step, columns, out).unbind(2)
    of_images = pixels.new_empty(products, most, strips, width, channels)
    of_slopes = slopes.new_empty(products, most, strips, width, reach, out)
    slope_sum = slopes.new_empty(most, strips, columns, out)
    total = pixels.new_zeros(products, reach * out, channels)
    meetings = []  # for each column of the weights, the image columns that it meets, and where they meet the gradient's
    for column in range(reach):
        shift = column - padding[1]
        low = min(max(0, shift), width)
        high = max(low, min(width, columns + shift))
        meetings.append((column, slice(low, high), slice(low - shift, high - shift)))
        of_slopes[..., :low, column, :] = 0
        of_slopes[..., high:, column, :] = 0
    for start in range(0, count, most):
        part = slice(start, start + most)
        _fill(padded[:, padding[0] : padding[0] + height], pixels[part])
        _fill(framed[:, :rows], slopes[part])
        for factors, image_sum in zip(form.images, of_images, strict=True):
            _add(factors, image_rows, image_sum)
        for factors, met in zip(form.gradients, of_slopes, strict=True):
            _add(factors, slope_rows, slope_sum)
            for column, images_met, slopes_met in meetings:
                met[:, :, images_met, column] = slope_sum[:, :, slopes_met]
        met_by = of_slopes.view(products, -1, reach * out).transpose(1, 2)
        total.baddbmm_(met_by, of_images.view(products, -1, channels))
    summed = total.new_tensor(form.weights) @ total.view(products, -1)
    return summed.view(3, reach, out, channels).permute(2, 3, 0, 1).contiguous()


def _fill(whole: Tensor, given: Tensor) -> None:
    """Put the images of a part into their place, and zeros where the last part has fewer."""
    whole[: len(given)] = given
    whole[len(given) :] = 0


def _add(factors: Sequence[float], rows: Sequence[Tensor], result: Tensor) -> None:
    """Put the sum of the rows times their factors, of which one is 1, into the result."""
    one = factors.index(1)
    others = [(factor, row) for factor, row in zip(factors, rows, strict=True) if factor and row is not rows[one]]
    if not others:
        result.copy_(rows[one])
    for number, (factor, row) in enumerate(others):
        torch.add(result if number else rows[one], row, alpha=factor, out=result)
