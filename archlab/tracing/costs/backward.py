"""What the operations of a backward pass cost.

Counting semantics
------------------
Of a product's two gradients, that of the data and that of the weights, each takes as many MACs as the product itself,
and counts where autograd asks for it:

    y = conv(x, w)              # M
    dx = conv^T(dy, w)          # M, if x needs a gradient
    dw = correlation(x, dy)     # M, if w needs one

The gradients of matrix products are matrix products, which `archlab.tracing.costs.aten` counts. The backward pass of a
fused attention kernel makes five products where the forward pass makes two, since it computes the scores again. What
is no product (of an activation, a normalisation, a pooling) has no MACs.
"""

from __future__ import annotations

from math import prod
from typing import Any

from archlab.formulas import convolution_macs
from archlab.records import Shape
from archlab.tracing.costs.names import GRADIENTS_WITHOUT_PRODUCTS
from archlab.tracing.costs.registry import cost_of, operation_name, register_cost


def gradient_macs(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: object) -> int | None:
    """MACs of an operation that a backward pass dispatches; None if nobody knows."""
    if operation_name(func).rpartition("::")[2].removesuffix("_") in GRADIENTS_WITHOUT_PRODUCTS:
        return 0
    cost = cost_of(func, args, kwargs, out)
    return None if cost is None else cost.macs


@register_cost("aten::convolution_backward", "aten::convolution_backward_overrideable")
def _convolution(gradient: Shape, input: Shape, weight: Shape, *rest: Any, output: object, **options: Any) -> int:
    # The arguments end with: transposed, output padding, groups, output mask; the older name has no bias sizes.
    mask: list[bool] = options["output_mask"] if "output_mask" in options else rest[-1]
    transposed = options["transposed"] if "transposed" in options else next(x for x in rest if isinstance(x, bool))
    return sum(mask[:2]) * convolution_macs(input, weight, gradient, transposed=transposed)


@register_cost("aten::_slow_conv2d_backward")
def _slow_convolution(gradient: Shape, input: Shape, weight: Shape, *rest: Any, output: Any, **options: Any) -> int:
    mask: list[bool] = options["output_mask"] if "output_mask" in options else rest[-1]
    return sum(mask[:2]) * convolution_macs(input, weight, gradient, transposed=False)


@register_cost("torchvision::_deform_conv2d_backward")
def _deformable_convolution(gradient: Shape, input: Shape, weight: Shape, *rest: object, output: object) -> int:
    return 2 * convolution_macs(input, weight, gradient, transposed=False)  # always both


@register_cost("aten::conv_tbc_backward")
def _time_first_convolution(gradient: Shape, input: Shape, weight: Shape, *rest: object, output: object) -> int:
    return 2 * prod(gradient) * prod(weight[:-1])  # always both


@register_cost("aten::linear_backward")
def _linear(input: Shape, gradient: Shape, weight: Shape, mask: list[bool], *, output: object) -> int:
    return sum(mask[:2]) * prod(gradient) * weight[-1]


@register_cost(
    *("aten::_scaled_dot_product_flash_attention_backward", "aten::_scaled_dot_product_cudnn_attention_backward"),
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "aten::_scaled_dot_product_efficient_attention_backward",
    "aten::_scaled_dot_product_fused_attention_overrideable_backward",
)
def _attention(gradient: Shape, query: Shape, key: Shape, value: Shape, *rest: object, **options: object) -> int:
    # For each pair of positions: the scores again, the gradients of query and key; those of the value and the weights.
    return prod(query[:-1]) * key[-2] * (3 * query[-1] + 2 * value[-1])
