"""Costs of torch's own operations, as the dispatcher sees them, and of those of torchvision and bitsandbytes.

Counting semantics
------------------
As in `archlab.formulas`: MACs without biases; the elementwise conventions are listed there. Operations
that move, look up, compare or draw at random are free; pointwise ones (torch marks them so) cost 1 per output element.
Whatever stands in none of these tables has no formula, and is listed as uncounted.
"""

from __future__ import annotations

from math import prod
from typing import Any

from archlab.formulas import (
    DROPOUT_PER_ELEMENT,
    SOFTMAX_PER_ELEMENT,
    Cost,
    attention_elementwise,
    attention_macs,
    convolution_macs,
    expand,
    fourier_operations,
    grouped_macs,
    matmul_macs,
    normalisation,
    rms_normalisation,
)
from archlab.records import Shape
from archlab.tracing.costs.registry import register_cost


@register_cost("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def _convolution(
    input: Shape,
    weight: Shape,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *rest: object,
    output: Shape,
) -> int:
    return convolution_macs(input, weight, output, transposed=transposed)


@register_cost(
    *("aten::mkldnn_convolution", "aten::cudnn_convolution", "aten::_slow_conv2d_forward", "aten::conv_depthwise3d"),
    *("aten::_conv_depthwise2d", "torchvision::deform_conv2d", "aten::miopen_convolution", "aten::_mps_convolution"),
    *("aten::miopen_depthwise_convolution", "aten::_nnpack_spatial_convolution", "aten::slow_conv3d_forward"),
    *("aten::slow_conv_dilated2d", "aten::slow_conv_dilated3d", "aten::cudnn_convolution_relu"),
    *("aten::cudnn_convolution_add_relu", "aten::miopen_convolution_relu", "aten::miopen_convolution_add_relu"),
)
def _untransposed_convolution(input: Shape, weight: Shape, *rest: object, output: Shape, **options: object) -> int:
    return convolution_macs(input, weight, output, transposed=False)


@register_cost(
    *("aten::cudnn_convolution_transpose", "aten::miopen_convolution_transpose", "aten::slow_conv_transpose2d"),
    *("aten::slow_conv_transpose3d", "aten::_mps_convolution_transpose"),
)
def _transposed_convolution(input: Shape, weight: Shape, *rest: object, output: Shape, **options: object) -> int:
    return convolution_macs(input, weight, output, transposed=True)


@register_cost("aten::conv_tbc")
def _time_first_convolution(input: Shape, weight: Shape, *rest: object, output: Shape) -> int:
    return prod(output) * prod(weight[:-1])  # (time, batch, out) with a kernel of (window, in, out)


@register_cost("aten::_grouped_mm", "aten::_scaled_grouped_mm", "aten::_scaled_grouped_mm_v2")
def _grouped_product(left: Shape, right: Shape, *rest: object, output: Shape, **options: object) -> int:
    return grouped_macs(left, right, output)


@register_cost("aten::mkldnn_rnn_layer")
def _recurrent_layer(input: Shape, weight: Shape, recurrent: Shape, *rest: object, output: object) -> int:
    return prod(input[:-1]) * (prod(weight) + prod(recurrent))  # each step of each sample; one layer, one direction


@register_cost("aten::_cudnn_rnn", "aten::miopen_rnn", "aten::_lstm_mps")
def _recurrent_layers(input: Shape, second: Any, third: Any, *rest: object, output: object, **options: object) -> int:
    # The list of weights, of every layer and direction, biases among them, stands in different places.
    lists = [item for item in (second, third, *rest) if isinstance(item, list) and item]
    weights: list[Shape] = next(item for item in lists if isinstance(item[0], tuple))
    return prod(input[:-1]) * sum(prod(weight) for weight in weights if len(weight) == 2)


@register_cost("aten::_thnn_fused_lstm_cell", "aten::_thnn_fused_gru_cell")
def _recurrent_gates(inputs: Shape, recurrent: Shape, state: Shape, *rest: object, output: Any) -> Cost:
    return Cost(0, (13 if inputs[-1] == 4 * state[-1] else 11) * prod(state))


@register_cost("aten::_fft_r2c", "aten::_fft_c2c", "aten::_fft_c2r")
def _fourier(input: Shape, axes: Any, *rest: object, output: Shape, **options: object) -> Cost:
    longer = max(input, output, key=prod)  # of a real transform, the side of the real numbers
    size = prod(longer[axis] for axis in axes)
    return Cost(0, fourier_operations(size, prod(longer) // max(1, size)))


@register_cost("aten::affine_grid_generator", "aten::cudnn_affine_grid_generator")
def _affine_grid(theta: Shape, *rest: object, output: Shape) -> Cost:
    return Cost(0, 2 * theta[-1] * prod(output))  # each coordinate: product and sum over position and offset


@register_cost("aten::renorm")
def _renorm(input: Shape, *rest: object, output: object) -> Cost:
    return Cost(0, 2 * prod(input))  # the norm of each part, and its scale


@register_cost(
    *("aten::mm", "aten::bmm", "aten::matmul", "aten::mv", "aten::dot", "aten::vdot", "aten::_int_mm"),
    *("aten::_scaled_mm", "aten::_scaled_mm_v2", "aten::_mixed_dtypes_linear", "aten::_dyn_quant_matmul_4bit"),
    *("aten::_weight_int8pack_mm", "aten::_weight_int4pack_mm", "aten::_weight_int4pack_mm_for_cpu"),
    "aten::_weight_int4pack_mm_with_scales_and_zeros",
    *("aten::linear", "aten::mkldnn_linear", "aten::_mkl_linear", "mkldnn::_linear_pointwise"),
    *("quantized::linear", "quantized::linear_relu", "quantized::linear_dynamic"),
    *("quantized::linear_relu_dynamic", "quantized::linear_dynamic_fp16"),
)
def _product(left: Shape, right: Shape, *rest: object, output: Shape, **options: object) -> int:
    return matmul_macs(left, output)


@register_cost("aten::addmm", "aten::addmv", "aten::baddbmm", "aten::_addmm_activation")
def _added_product(added: Shape, left: Shape, right: Shape, *rest: object, output: Shape, **options: object) -> int:
    return matmul_macs(left, output)


@register_cost("aten::addbmm")
def _summed_products(added: Shape, left: Shape, right: Shape, *rest: object, output: Shape, **options: object) -> int:
    return prod(left) * right[-1]


@register_cost("aten::_trilinear")
def _trilinear(
    first: Shape,
    second: Shape,
    third: Shape,
    new1: Any,
    new2: Any,
    new3: Any,
    summed: Any,
    *rest: object,
    output: Shape,
) -> int:
    operands = [_with_axes(shape, axes) for shape, axes in ((first, new1), (second, new2), (third, new3))]
    full: list[int] = [max(sizes) for sizes in zip(*operands, strict=True)]
    # The weight with one input for every triple, then what remains of it with the other.
    axis: int = summed[0]
    return prod(full) + prod(full) // full[axis]


def _with_axes(shape: Shape, axes: Any) -> list[int]:
    sizes = list(shape)
    for axis in sorted(axes):
        sizes.insert(axis, 1)
    return sizes


@register_cost(
    *("aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_flash_attention_for_cpu"),
    *("aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention"),
    *("aten::_scaled_dot_product_fused_attention_overrideable", "aten::_scaled_dot_product_attention_math"),
    "aten::_scaled_dot_product_attention_math_for_mps",
)
def _attention(query: Shape, key: Shape, value: Shape, *rest: object, output: object, **options: object) -> Cost:
    return Cost(attention_macs(query, key, value), attention_elementwise(query, key, masked=False))


@register_cost(
    "aten::native_batch_norm",
    "aten::_native_batch_norm_legit",
    "aten::_batch_norm_with_update",
    "aten::_batch_norm_with_update_functional",
    "aten::_native_batch_norm_legit_functional",
)
def _batch_norm(
    input: Shape, weight: Shape | None, bias: Shape | None, *rest: Any, output: object, **options: object
) -> Cost:
    training = next((item for item in rest if isinstance(item, bool)), True)
    return Cost(0, normalisation(prod(input), static=not training, affine=weight is not None))


@register_cost(
    "aten::_native_batch_norm_legit_no_training", "aten::_batch_norm_no_update", "aten::quantized_batch_norm"
)
def _static_batch_norm(input: Shape, *rest: object, output: object, **options: object) -> Cost:
    return Cost(0, normalisation(prod(input), static=True))


@register_cost("aten::cudnn_batch_norm", "aten::miopen_batch_norm")
def _cudnn_batch_norm(
    input: Shape, weight: Shape, bias: Any, mean: Any, variance: Any, training: bool, *rest: object, output: object
) -> Cost:
    return Cost(0, normalisation(prod(input), static=not training))


@register_cost("aten::native_layer_norm")
def _layer_norm(input: Shape, shape: Any, weight: Shape | None, *rest: object, output: object) -> Cost:
    return Cost(0, normalisation(prod(input), affine=weight is not None))


@register_cost("aten::native_group_norm")
def _group_norm(input: Shape, weight: Shape | None, *rest: object, output: object) -> Cost:
    return Cost(0, normalisation(prod(input), affine=weight is not None))


@register_cost("aten::_fused_rms_norm")
def _rms_norm(input: Shape, shape: Any, weight: Shape | None, *rest: object, output: object) -> Cost:
    return Cost(0, rms_normalisation(prod(input), affine=weight is not None))


@register_cost(
    "aten::_masked_softmax",
    "aten::_softmax",
    "aten::_log_softmax",
    "aten::_safe_softmax",
    "aten::softmax",
    "aten::log_softmax",
)
def _softmax(input: Shape, *rest: object, output: object, **options: object) -> Cost:
    return Cost(0, SOFTMAX_PER_ELEMENT * prod(input))


@register_cost(
    *("aten::max_pool1d", "aten::max_pool2d", "aten::max_pool3d", "aten::max_pool2d_with_indices"),
    *("aten::mkldnn_max_pool2d", "aten::mkldnn_max_pool3d", "aten::quantized_max_pool1d"),
    *("aten::quantized_max_pool2d", "aten::quantized_max_pool3d"),
    *("aten::max_pool3d_with_indices", "aten::avg_pool1d", "aten::avg_pool2d", "aten::avg_pool3d"),
)
def _pooling(input: Shape, kernel: Any, *rest: object, output: Any, **options: object) -> Cost:
    shape = output[0] if isinstance(output[0], tuple) else output
    return Cost(0, prod(shape) * prod(expand(kernel, _axes(kernel, len(shape)))))


def _axes(kernel: Any, dimensions: int) -> int:
    return len(kernel) if isinstance(kernel, (list, tuple)) and len(kernel) > 1 else max(1, min(3, dimensions - 2))


@register_cost("aten::fractional_max_pool2d", "aten::fractional_max_pool3d")
def _fractional_pooling(input: Shape, kernel: Any, *rest: object, output: Any) -> Cost:
    return Cost(0, prod(output[0]) * prod(kernel))


@register_cost("aten::native_dropout", "aten::_fused_dropout")
def _dropout(input: Shape, p: float, train: object = True, *, output: Any) -> Cost:
    return Cost(0, DROPOUT_PER_ELEMENT * prod(input) if train is not False else 0)


@register_cost(
    *("aten::upsample_nearest1d", "aten::upsample_nearest2d", "aten::upsample_nearest3d"),
    *("aten::_upsample_nearest_exact1d", "aten::_upsample_nearest_exact2d", "aten::_upsample_nearest_exact3d"),
)
def _nearest(input: Shape, *rest: object, output: Shape, **options: object) -> Cost:
    return Cost(0, prod(output))


@register_cost(
    *("aten::upsample_linear1d", "aten::upsample_bilinear2d", "aten::_upsample_bilinear2d_aa"),
    "aten::upsample_trilinear3d",
)
def _linear_interpolation(input: Shape, *rest: object, output: Shape, **options: object) -> Cost:
    return Cost(0, 2 * 2 ** (len(output) - 2) * prod(output))


@register_cost("aten::upsample_bicubic2d", "aten::_upsample_bicubic2d_aa")
def _cubic_interpolation(input: Shape, *rest: object, output: Shape, **options: object) -> Cost:
    return Cost(0, 2 * 4 ** (len(output) - 2) * prod(output))


@register_cost("aten::_upsample_lanczos2d_aa")
def _lanczos_interpolation(input: Shape, *rest: object, output: Shape, **options: object) -> Cost:
    return Cost(0, 2 * 6 ** (len(output) - 2) * prod(output))  # a window of three positions to either side


@register_cost("aten::grid_sampler_2d", "aten::grid_sampler_3d", "aten::_grid_sampler_2d_cpu_fallback")
def _grid_sample(input: Shape, grid: Shape, mode: int, *rest: object, output: Shape) -> Cost:
    neighbours = {0: 2, 1: 0, 2: 4}[mode] ** (len(output) - 2)
    return Cost(0, max(1, 2 * neighbours) * prod(output))


@register_cost("aten::cudnn_grid_sampler")
def _bilinear_grid_sample(input: Shape, grid: Shape, *, output: Shape) -> Cost:
    return _grid_sample(input, grid, 0, output=output)


@register_cost("aten::unfold_backward")
def _overlap_add(frames: Shape, *rest: object, output: Shape) -> Cost:
    return Cost(0, prod(frames))  # each element is added to its place: what `istft` joins its windows by


@register_cost("aten::_ctc_loss", "aten::_cudnn_ctc_loss", "aten::miopen_ctc_loss")
def _labelling(scores: Shape, labels: Shape, *rest: object, output: object, **options: object) -> Cost:
    # Labels with a blank around each; at each step, a state is the logsumexp of three and the score of its label.
    states = 2 * prod(labels) + (scores[1] if len(scores) == 3 else 1)
    return Cost(0, 4 * scores[0] * states)


@register_cost("aten::_pdist_forward")
def _own_distances(input: Shape, *rest: object, output: Shape) -> Cost:
    return Cost(0, 3 * input[-1] * prod(output))  # difference, power, sum


@register_cost("aten::_cdist_forward", "aten::_euclidean_dist")
def _distances(left: Shape, right: Shape, *rest: object, output: Shape) -> Cost:
    return Cost(0, 3 * left[-1] * prod(output))  # difference, power, sum


@register_cost("torchvision::roi_pool", "torchvision::ps_roi_pool")
def _region_maximum(input: Shape, regions: Shape, *rest: object, output: tuple[Shape, Shape]) -> Cost:
    return Cost(0, prod(output[0]))  # each cell is the largest, or the mean, of at least one element


@register_cost("torchvision::ps_roi_align")
def _sensitive_region_pooling(
    input: Shape, regions: Shape, scale: Any, height: Any, width: Any, samples: int, *, output: tuple[Shape, Shape]
) -> Cost:
    return Cost(0, prod(output[0]) * max(1, samples) ** 2 * 8)


@register_cost("torchvision::roi_align")
def _region_pooling(
    input: Shape, regions: Shape, scale: Any, height: Any, width: Any, samples: int, *rest: object, output: Shape
) -> Cost:
    # Each sample mixes four neighbours; as many samples per cell as it takes, if none are said, are at least one.
    return Cost(0, prod(output) * max(1, samples) ** 2 * 8)


@register_cost(
    *("quantized::conv1d", "quantized::conv1d_relu", "quantized::conv2d", "quantized::conv2d_relu"),
    *("quantized::conv3d", "quantized::conv3d_relu", "quantized::conv2d_dynamic"),
)
def _quantised_convolution(input: Shape, packed: Any, *rest: object, output: Shape, **options: object) -> int:
    return convolution_macs(input, tuple(packed.unpack()[0].shape), output, transposed=False)


@register_cost(
    *("bitsandbytes::int8_linear_matmul", "bitsandbytes::int8_scaled_mm", "bitsandbytes::int8_mixed_scaled_mm"),
    *("bitsandbytes::gemm_4bit", "bitsandbytes::gemv_4bit"),
)
def _packed_product(left: Shape, *rest: object, output: Any, **options: object) -> int:
    # The weights are packed, two to a byte, or keep their columns of large values apart: each takes part once.
    return matmul_macs(left, output[0] if isinstance(output[0], tuple) else output)


@register_cost(
    *("bitsandbytes::int8_vectorwise_quant", "bitsandbytes::int8_double_quant", "bitsandbytes::quantize_4bit"),
    *("bitsandbytes::quantize_blockwise", "bitsandbytes::dequantize_blockwise", "bitsandbytes::int8_mm_dequant"),
    "bitsandbytes::int8_vectorwise_dequant",
)
def _quantisation(input: Shape, *rest: object, output: object, **options: object) -> Cost:
    return Cost(0, prod(input))


@register_cost("bitsandbytes::dequantize_4bit")
def _packed_dequantisation(input: Shape, *rest: object, output: Shape, **options: object) -> Cost:
    return Cost(0, prod(output))
