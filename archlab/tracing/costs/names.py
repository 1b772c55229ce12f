"""Names of the dispatcher's operations, and of pointwise functions, sorted by what they cost."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


FREE_OPERATIONS = words(
    """
    __ilshift__ __irshift__ _assert_async _assert_scalar _assert_tensor_metadata _chunk_cat _coalesced _conj
    _conj_copy _conj_physical _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo
    _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu _copy_from _copy_from_and_resize
    _cslt_compress _cudnn_init_dropout_state _cudnn_rnn_flatten_weight _dimI _dimV _dyn_quant_pack_4bit_weight
    _efficientzerotensor _embedding_bag_no_grad _empty_affine_quantized _empty_per_channel_affine_quantized
    _fill_mem_eff_dropout_mask _foreach_clone _foreach_copy _foreach_zero _functional_assert_async
    _functional_assert_scalar _functional_sym_constrain_range _functional_sym_constrain_range_for_size
    _fused_sdp_choice _fw_primal _fw_primal_copy _has_same_storage_numel _histogramdd_bin_edges
    _histogramdd_from_bin_cts _histogramdd_from_bin_tensors _index_put_impl _indices_copy _is_all_true
    _is_any_true _jagged_to_padded_dense_forward _lazy_clone _linalg_check_errors _local_scalar_dense
    _make_dep_token _make_dual_copy _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor
    _mkldnn_reshape _mkldnn_transpose _neg_view _neg_view_copy _nested_compute_contiguous_strides_offsets
    _nested_from_padded _nested_from_padded_and_nested_example _nested_from_padded_tensor
    _nested_get_jagged_dummy _nested_get_lengths _nested_get_max_seqlen _nested_get_min_seqlen
    _nested_get_offsets _nested_get_ragged_idx _nested_get_values _nested_get_values_copy
    _nested_tensor_from_mask _nested_tensor_from_mask_left_aligned _nested_tensor_from_tensor_list
    _nested_tensor_size _nested_tensor_storage_offsets _nested_tensor_strides _nested_view_from_buffer_copy
    _nested_view_from_jagged _nested_view_from_jagged_copy _new_zeros_with_same_feature_meta _nnz
    _pack_padded_sequence _padded_dense_to_jagged_forward _philox_key_fold_in _philox_key_split _philox_normal
    _philox_uniform _pin_memory _print _reshape_alias _reshape_alias_copy _reshape_copy _resize_output
    _sample_dirichlet _shape_as_tensor _sparse_broadcast_to_copy _sparse_compressed_tensor_with_dims
    _sparse_coo_tensor_unsafe _sparse_coo_tensor_with_dims _sparse_coo_tensor_with_dims_and_tensors
    _sparse_mask_projection _stack _standard_gamma _to_copy _to_cpu _to_dense _to_sparse _to_sparse_bsc
    _to_sparse_bsr _to_sparse_csc _to_sparse_csr _to_sparse_semi_structured _unique _unique2 _unsafe_index
    _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate _unsafe_view _use_cudnn_ctc_loss
    _use_miopen_ctc_loss _validate_compressed_sparse_indices _values_copy alias alias_copy all allclose any
    arange argmax argmin argsort argwhere as_strided as_strided_copy as_strided_scatter bernoulli bincount
    binomial bitwise_and bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor block_diag
    bucketize cat cauchy ccol_indices_copy channel_shuffle chunk clone col2im col_indices_copy complex
    constant_pad_nd contiguous copy copy_sparse_to_sparse count_nonzero crow_indices_copy dense_dim detach
    detach_copy diag_embed diagonal diagonal_copy diagonal_scatter dim embedding embedding_renorm empty
    empty_like empty_permuted empty_quantized empty_strided eq equal expand expand_copy exponential eye fill
    flip from_file full full_like gather ge geometric gt hash_tensor heaviside histc histogram hstack im2col
    index index_copy index_fill index_put index_select indices_copy int_repr is_coalesced is_nonzero is_pinned
    is_same_size is_set_to isfinite isin isinf isnan isneginf isposinf item kthvalue layout le lift lift_fresh
    lift_fresh_copy linspace log_normal logical_and logical_not logical_or logical_xor logspace lt lu_unpack
    masked_fill masked_scatter masked_select max_unpool2d max_unpool3d median mkldnn_reorder_conv2d_weight
    mkldnn_reorder_conv3d_weight mode multinomial narrow_copy native_channel_shuffle ne new_empty
    new_empty_strided new_full new_ones new_zeros nms nonzero nonzero_static normal normal_functional one_hot
    ones ones_like permute permute_copy pixel_shuffle pixel_unshuffle poisson polar put q_per_channel_axis
    q_per_channel_scales q_per_channel_zero_points q_scale q_zero_point qscheme rand rand_like randint
    randint_like randn randn_like random randperm range record_stream reflection_pad1d reflection_pad2d
    reflection_pad3d repeat repeat_interleave replication_pad1d replication_pad2d replication_pad3d
    requires_grad reshape resize resize_as resize_as_sparse roll rot90 row_indices_copy scalar_tensor scatter
    searchsorted select select_copy select_scatter set set_data shallow_copy_data slice slice_copy slice_scatter
    sort sparse_compressed_tensor sparse_coo_tensor sparse_dim sparse_mask sparse_resize sparse_resize_and_clear
    split split_copy split_with_sizes split_with_sizes_copy squeeze squeeze_copy stack sym_constrain_range
    sym_constrain_range_for_size sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride t t_copy
    take take_along_dim tile to to_mkldnn to_padded_tensor topk transpose transpose_copy tril tril_indices triu
    triu_indices unbind unbind_copy unfold unfold_copy uniform unique_consecutive unique_dim
    unique_dim_consecutive unsafe_chunk unsafe_split unsafe_split_with_sizes unsqueeze unsqueeze_copy
    values_copy view view_as_complex view_as_complex_copy view_as_real view_as_real_copy view_copy where zero
    zeros zeros_like
    """
)
"""As the dispatcher calls them: they move, look up, compare, select or draw at random, without arithmetic."""

REDUCTIONS = words(
    """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _aminmax _cummax_helper _cummin_helper _embedding_bag
    _embedding_bag_forward_only _fake_quantize_learnable_per_channel_affine
    _fake_quantize_learnable_per_tensor_affine _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
    _fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional _logcumsumexp adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d amax
    amin aminmax batch_norm_gather_stats batch_norm_gather_stats_with_counts batch_norm_stats
    batch_norm_update_stats binary_cross_entropy binary_cross_entropy_with_logits cummax cummin cumprod cumsum
    dist fake_quantize_per_channel_affine_cachemask fake_quantize_per_tensor_affine_cachemask huber_loss
    index_add index_reduce linalg__powsum linalg_vector_norm logcumsumexp logsumexp max mean min
    mkldnn_adaptive_avg_pool2d mse_loss multi_margin_loss multilabel_margin_loss_forward nanmedian nansum
    native_norm nll_loss2d_forward nll_loss_forward nll_loss_nd norm prod rrelu_with_noise
    rrelu_with_noise_functional scatter_add scatter_reduce segment_reduce smooth_l1_loss soft_margin_loss std
    std_mean sum trace var var_mean
    """
)
"""As the dispatcher calls them: 1 elementwise operation per element of the first argument."""

POINTWISE = words(
    """
    _add_relu _dirichlet_grad _masked_scale _prelu_kernel _standard_gamma_grad _transform_bias_rescale_qkv
    _weight_norm_interface abs addcdiv addcmul
    addr bartlett_window batch_norm_elemt blackman_window celu copysign cross dequantize fft_fftfreq
    fft_rfftfreq floor_divide gcd gelu glu glu_jvp hamming_window hann_window hardshrink hardswish kaiser_window
    lcm linalg_cross log_sigmoid_forward mish quantize_per_channel quantize_per_tensor
    quantize_per_tensor_dynamic softshrink threshold
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

UNKNOWN_OPERATIONS = words(
    """
    _amp_foreach_non_finite_check_and_unscale _amp_update_scale _cholesky_solve_helper _coalesce
    _compute_linear_combination _cslt_sparse_mm _cslt_sparse_mm_search _cudnn_attention_forward
    _efficient_attention_forward _flash_attention_forward
    _flash_attention_forward_no_dropout_inplace _foobar _foreach_mm _fused_adagrad _fused_adam _fused_adamw
    _fused_sgd _linalg_det _linalg_eigh _linalg_eigvals _linalg_slogdet
    _linalg_solve_ex _linalg_svd _native_multi_head_attention _nested_tensor_softmax_with_shape _sparse_addmm
    _sparse_csr_prod _sparse_csr_sum _sparse_log_softmax _sparse_mm_reduce_impl _sparse_semi_structured_addmm
    _sparse_semi_structured_apply _sparse_semi_structured_apply_dense _sparse_semi_structured_linear
    _sparse_semi_structured_mm _sparse_semi_structured_tile _sparse_softmax _sparse_sparse_matmul _sparse_sum
    _spdiags _spsolve _transformer_encoder_layer_fwd _triton_multi_head_attention
    _triton_scaled_dot_attention cholesky_inverse cholesky_solve geqrf glu_backward_jvp hspmm
    linalg_cholesky_ex linalg_eig linalg_eigvals linalg_householder_product linalg_inv_ex linalg_ldl_factor_ex
    linalg_ldl_solve linalg_lstsq linalg_lu linalg_lu_factor_ex linalg_lu_solve linalg_matrix_exp
    linalg_matrix_sqrth linalg_pinv linalg_polar linalg_qr linalg_solve_triangular ormqr
    quantized_gru quantized_lstm sparse_sampled_addmm sspaddmm triangular_solve
    """
)
"""As the dispatcher calls them: named as uncounted, by intention.

Decompositions and solvers iterate; sparse and packed operands, and attention over lengths in a tensor, take what their
values say; optimisers belong to no forward pass. What ends in `backward`, and what torch only tests itself with
(`_test_...`), is not listed, and treated alike.
"""

GRADIENTS_WITHOUT_PRODUCTS = words(
    """
    _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward _batch_norm_impl_index_backward
    _cdist_backward _ctc_loss_backward _cudnn_ctc_loss_backward _embedding_bag_backward _embedding_bag_dense_backward
    _embedding_bag_per_sample_weights_backward _embedding_bag_sparse_backward
    _fake_quantize_learnable_per_channel_affine_backward _fake_quantize_learnable_per_tensor_affine_backward
    _fused_rms_norm_backward _log_softmax_backward_data _masked_softmax_backward
    _pack_padded_sequence_backward _pdist_backward _prelu_kernel_backward _ps_roi_align_backward
    _ps_roi_pool_backward _roi_align_backward _roi_pool_backward _segment_reduce_backward
    _softmax_backward_data _thnn_differentiable_gru_cell_backward _thnn_differentiable_lstm_cell_backward
    _thnn_fused_gru_cell_backward _thnn_fused_lstm_cell_backward _upsample_bicubic2d_aa_backward
    _upsample_bilinear2d_aa_backward _upsample_lanczos2d_aa_backward _upsample_nearest_exact1d_backward
    _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward _weight_norm_differentiable_backward
    _weight_norm_interface_backward adaptive_avg_pool3d_backward adaptive_max_pool2d_backward
    adaptive_max_pool3d_backward affine_grid_generator_backward avg_pool2d_backward avg_pool3d_backward
    batch_norm_backward batch_norm_backward_elemt batch_norm_backward_reduce binary_cross_entropy_backward
    cudnn_affine_grid_generator_backward cudnn_batch_norm_backward cummaxmin_backward cumprod_backward
    diagonal_backward elu_backward embedding_backward embedding_dense_backward embedding_sparse_backward
    fake_quantize_per_channel_affine_cachemask_backward fake_quantize_per_tensor_affine_cachemask_backward
    fractional_max_pool2d_backward fractional_max_pool3d_backward gather_backward gelu_backward glu_backward
    grid_sampler_2d_backward grid_sampler_3d_backward hardshrink_backward hardsigmoid_backward
    hardswish_backward hardtanh_backward huber_loss_backward index_select_backward
    infinitely_differentiable_gelu_backward leaky_relu_backward log_sigmoid_backward logit_backward
    masked_scatter_backward masked_select_backward max_pool2d_backward max_pool2d_with_indices_backward
    max_pool3d_with_indices_backward miopen_batch_norm_backward mish_backward
    mkldnn_adaptive_avg_pool2d_backward mkldnn_max_pool2d_backward mkldnn_max_pool3d_backward
    mse_loss_backward multi_margin_loss_backward multilabel_margin_loss_backward native_batch_norm_backward
    native_dropout_backward native_group_norm_backward native_layer_norm_backward nll_loss2d_backward
    nll_loss_backward reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward
    replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward rrelu_with_noise_backward
    select_backward sigmoid_backward silu_backward slice_backward smooth_l1_loss_backward
    soft_margin_loss_backward softplus_backward softshrink_backward tanh_backward threshold_backward
    trace_backward unfold_backward upsample_bicubic2d_backward upsample_bilinear2d_backward
    upsample_linear1d_backward upsample_nearest1d_backward upsample_nearest2d_backward
    upsample_nearest3d_backward upsample_trilinear3d_backward value_selecting_reduction_backward
    _thnn_fused_lstm_cell_backward_impl
    """
)
"""As a backward pass dispatches them: gradients of what is no product, so that they have no MACs."""
