"""Names of the dispatcher's operations, and of pointwise functions, sorted by what they cost."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


FREE_OPERATIONS = words(
    """
    _assert_async _assert_scalar _assert_tensor_metadata _conj _conj_physical _copy_from _embedding_bag_no_grad
    _fw_primal _index_put_impl _local_scalar_dense _neg_view _pack_padded_sequence _reshape_alias _reshape_copy
    _resize_output _shape_as_tensor _sparse_coo_tensor_unsafe _to_copy _to_cpu _unique _unique2 _unsafe_index
    _unsafe_view alias all allclose any arange argmax argmin argsort argwhere as_strided bernoulli bincount
    bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor bucketize cat
    channel_shuffle chunk clone col2im complex constant_pad_nd contiguous copy count_nonzero detach diag_embed
    diagonal diagonal_copy diagonal_scatter embedding embedding_renorm empty empty_like empty_permuted
    empty_strided eq equal expand expand_copy exponential eye fill flip full full_like gather ge geometric gt
    hstack im2col index index_copy index_fill index_put index_select is_nonzero isfinite isin isinf isnan
    isneginf isposinf item kthvalue le lift lift_fresh lift_fresh_copy linspace log_normal logical_and
    logical_not logical_or logical_xor logspace lt masked_fill masked_scatter masked_select max_unpool2d
    max_unpool3d median mode multinomial narrow_copy native_channel_shuffle ne new_empty new_empty_strided
    new_full new_ones new_zeros nms nonzero nonzero_static normal one_hot ones ones_like permute permute_copy
    pixel_shuffle pixel_unshuffle poisson polar rand rand_like randint randint_like randn randn_like random
    randperm reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
    replication_pad2d replication_pad3d requires_grad reshape resize resize_as roll rot90 scalar_tensor scatter
    searchsorted select select_copy select_scatter set set_data slice slice_copy slice_scatter sort split
    split_copy split_with_sizes split_with_sizes_copy squeeze squeeze_copy stack sym_numel sym_size
    sym_storage_offset sym_stride t t_copy take take_along_dim tile to topk transpose transpose_copy tril
    tril_indices triu triu_indices unbind unbind_copy unfold unfold_copy uniform unique_consecutive unique_dim
    unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_copy view view_as_complex view_as_real
    view_copy where zero zeros zeros_like
    """
)
"""As the dispatcher calls them: they move, look up, compare, select or draw at random, without arithmetic."""

REDUCTIONS = words(
    """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _embedding_bag _embedding_bag_forward_only adaptive_avg_pool1d
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax amin aminmax cummax cummin cumprod cumsum
    dist index_add index_reduce linalg_vector_norm logcumsumexp logsumexp max mean min nanmedian nansum
    nll_loss2d_forward nll_loss_forward nll_loss_nd norm prod scatter_add scatter_reduce segment_reduce std
    std_mean sum trace var var_mean
    """
)
"""As the dispatcher calls them: 1 elementwise operation per element of the first argument."""

POINTWISE = words(
    """
    _prelu_kernel _weight_norm_interface abs addcdiv addcmul binary_cross_entropy celu cross glu hardshrink
    hardswish huber_loss log_sigmoid_forward mish mse_loss rrelu_with_noise smooth_l1_loss soft_margin_loss
    softshrink
    """
)
"""As the dispatcher calls them: 1 per element of the results, though torch doesn't mark them as pointwise."""

ACTIVATIONS = words(
    """
    abs cos elu erf exp hardsigmoid hardswish hardtanh leaky_relu log mish neg reciprocal relu relu6 rsqrt
    sigmoid silu sin sqrt square tanh
    """
)
"""Functions of one tensor that cost 1 elementwise operation per element."""
